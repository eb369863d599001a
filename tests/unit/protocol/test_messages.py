"""Messages: whatever is written is read back equal, and whatever breaks a rule is refused where it breaks it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.json_text import JsonValue, decode_json, encode_json
from standpipe_protocol.members import InvalidMessage, PipesException
from standpipe_protocol.messages import (
    LOG_LEVELS,
    METHODS,
    SEVERITIES,
    STREAMS,
    Closed,
    Ledger,
    Log,
    LogExternalStream,
    Message,
    Opened,
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportAssetObservation,
    ReportCustomMessage,
    message_to_wire,
    parse_message,
)

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=5,
)
objects: st.SearchStrategy[Any] = st.dictionaries(st.text(), values, max_size=3)
exceptions = st.recursive(
    st.builds(PipesException, message=st.text(), stack=st.lists(st.text()).map(tuple), name=st.none() | st.text()),
    lambda inner: st.builds(PipesException, message=st.text(), cause=st.none() | inner, context=st.none() | inner),
    max_leaves=4,
)
ledgers = st.builds(
    Ledger,
    messages=st.integers(0),
    by_method=st.dictionaries(st.sampled_from(METHODS), st.integers(0)),
    last_seq=st.none() | st.integers(0),
    dropped_logs=st.integers(0),
    sha256=st.none() | st.just("0f" * 32),
)
messages: st.SearchStrategy[Message] = st.one_of(
    st.builds(Opened, extras=objects),
    st.builds(
        Closed,
        exception=st.none() | exceptions,
        ledger=st.none() | ledgers,
        signal=st.none() | st.just("SIGTERM"),
    ),
    st.builds(Log, message=st.text(), level=st.sampled_from(LOG_LEVELS), details=st.none() | objects),
    st.builds(LogExternalStream, stream=st.sampled_from(STREAMS), text=st.text(), extras=objects),
    st.builds(
        ReportAssetMaterialization,
        asset_key=st.text(),
        data_version=st.none() | st.text(),
        metadata=st.none() | objects,
    ),
    st.builds(
        ReportAssetCheck,
        asset_key=st.text(),
        check_name=st.text(),
        passed=st.booleans(),
        severity=st.sampled_from(SEVERITIES),
        metadata=st.none() | objects,
    ),
    st.builds(ReportCustomMessage, payload=values),
    st.builds(
        ReportAssetObservation,
        asset_key=st.text(),
        data_version=st.none() | st.text(),
        metadata=st.none() | objects,
        partition=st.none() | st.text(),
        tags=st.none() | objects,
    ),
)


@given(messages)
def test_a_message_is_read_back_equal_from_its_wire_form(message: Message) -> None:
    wire = decode_json(encode_json(message_to_wire(message, sent_at="2026-01-01T00:00:00Z")))
    assert parse_message(wire) == message


@given(messages)
def test_unknown_members_and_parameters_are_ignored(message: Message) -> None:
    wire = message_to_wire(message)
    params = wire["params"]
    assert isinstance(params, dict)
    wider: JsonValue = {**wire, "x-more": 1, "params": {**params, "x-more": {"a": [1]}}}
    assert parse_message(wider) == message


@pytest.mark.parametrize(
    ("wire", "message"),
    [
        ({"method": "opened"}, Opened()),
        ({"method": "opened", "params": None}, Opened()),
        ({"method": "opened", "params": {"extras": None}}, Opened()),
        ({"__dagster_pipes_version": "0.1", "method": "closed", "params": None}, Closed()),
        (
            {"method": "closed", "params": {"message": "boom", "name": "Panic", "stack": None}},
            Closed(exception=PipesException(message="boom", name="Panic")),
        ),
        (
            {
                "method": "closed",
                "params": {"exception": {"message": "m", "stack": ["f"], "cause": None, "context": []}},
            },
            Closed(exception=PipesException(message="m", stack=("f",))),
        ),
        ({"method": "log", "params": {"message": "m"}}, Log(message="m", level="INFO")),
        ({"method": "log", "params": {"message": "m", "level": "debug"}}, Log(message="m", level="debug")),
        (
            {"method": "report_asset_check", "params": {"asset_key": "a", "check_name": "c", "passed": True}},
            ReportAssetCheck(asset_key="a", check_name="c", passed=True, severity="ERROR", metadata=None),
        ),
        (
            {"method": "report_asset_materialization", "params": {"asset_key": "a"}},
            ReportAssetMaterialization(asset_key="a", data_version=None, metadata=None),
        ),
        ({"method": "report_custom_message", "params": {"payload": None}}, ReportCustomMessage(payload=None)),
        ({"method": "closed", "params": {}, "ledger": "nonsense"}, Closed()),
        (
            {"method": "closed", "params": {"ledger": {"messages": 3, "last_seq": 3, "sha256": "AB"}}},
            Closed(ledger=Ledger(messages=3, last_seq=3, sha256="ab")),
        ),
        ({"method": "closed", "params": {"signal": "SIGTERM"}}, Closed(signal="SIGTERM")),
        ({"method": "closed", "params": {"signal": 15}}, Closed()),
    ],
)
def test_what_other_programs_send_is_understood(wire: JsonValue, message: Message) -> None:
    assert parse_message(wire) == message


MATERIALIZATION = "report_asset_materialization"
CHECK = {"asset_key": "a", "check_name": "c", "passed": True}
NO_ENVELOPE = "a JSON object with `method` and `params`"
LEVELS = f"one of {', '.join(LOG_LEVELS)}"


@pytest.mark.parametrize(
    ("wire", "pointer", "expected"),
    [
        ([], "", NO_ENVELOPE),
        ("opened", "", NO_ENVELOPE),
        ({}, "/method", "a string"),
        ({"method": 7}, "/method", "a string"),
        ({"method": "shout", "params": {}}, "/method", f"one of {', '.join(METHODS)}"),
        ({"method": "log"}, "/params", "an object"),
        ({"method": "log", "params": None}, "/params", "an object"),
    ],
)
def test_what_is_no_message_is_refused_where_it_is_wrong(wire: JsonValue, pointer: str, expected: str) -> None:
    assert _refusal(wire) == (pointer, expected)


@pytest.mark.parametrize(
    ("method", "params", "pointer", "expected"),
    [
        ("log", {}, "/message", "a string"),
        ("log", {"message": "m", "level": "LOUD"}, "/level", LEVELS),
        ("log", {"message": "m", "level": None}, "/level", LEVELS),
        ("log_external_stream", {"stream": "stdin", "text": ""}, "/stream", "one of stdout, stderr"),
        (MATERIALIZATION, {"data_version": "1"}, "/asset_key", "a string"),
        (MATERIALIZATION, {"asset_key": "a", "data_version": 1}, "/data_version", "a string or null"),
        (MATERIALIZATION, {"asset_key": "a", "metadata": []}, "/metadata", "an object or null"),
        ("report_asset_check", {**CHECK, "passed": 1}, "/passed", "true or false"),
        ("report_asset_check", {**CHECK, "severity": "warn"}, "/severity", "one of WARN, ERROR"),
        ("report_custom_message", {}, "/payload", "any JSON value"),
    ],
)
def test_a_parameter_of_a_wrong_shape_is_named(
    method: str, params: dict[str, JsonValue], pointer: str, expected: str
) -> None:
    assert _refusal({"method": method, "params": params}) == (f"/params{pointer}", expected)


@pytest.mark.parametrize(
    ("exception", "pointer", "expected"),
    [
        ("boom", "", "an exception object or null"),
        ({}, "/message", "a string"),
        ({"message": "m", "name": 1}, "/name", "a string or null"),
        ({"message": "m", "stack": "s"}, "/stack", "a list of strings or null"),
        ({"message": "m", "cause": {"message": 1}}, "/cause/message", "a string"),
        ({"message": "m", "cause": ""}, "/cause", "an exception object or null"),
    ],
)
def test_an_exception_of_a_wrong_shape_is_refused_in_its_depth(
    exception: JsonValue, pointer: str, expected: str
) -> None:
    refusal = _refusal({"method": "closed", "params": {"exception": exception}})
    assert refusal == (f"/params/exception{pointer}", expected)


def _refusal(wire: JsonValue) -> tuple[str, str]:
    with pytest.raises(InvalidMessage) as refused:
        parse_message(wire)
    assert str(refused.value).endswith(".")
    return refused.value.pointer, refused.value.expected


def test_an_error_does_not_repeat_megabytes_of_what_was_wrong() -> None:
    with pytest.raises(InvalidMessage) as refused:
        parse_message({"method": "x" * 1_000_000, "params": {}})
    assert len(str(refused.value)) < 500


def test_an_error_can_name_an_integer_python_would_not_print() -> None:
    with pytest.raises(InvalidMessage, match="got a number"):
        parse_message({"method": "log", "params": {"message": 10**10_000}})

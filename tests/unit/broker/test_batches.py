"""Bodies become checked messages that keep their own bytes; what cannot be read is refused whole, with the place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.limits import Limits
from standpipe_protocol.members import InvalidMessage
from standpipe_protocol.messages import METHODS, parse_message
from standpipe_protocol.problems import Problem
from standpipe_server.broker.messages.batches import parse_batch
from standpipe_server.broker.messages.lean_structs import decode_lean
from standpipe_server.broker.messages.parsed_message import Check, Closing, Materialization
from standpipe_server.broker.messages.splitting import Media, Refused
from tests.support.processes import run_python

LIMITS = Limits()


def parse(body: bytes, **limits: int):
    return parse_batch(body, media="json", limits=Limits(**limits))


def refusal(body: bytes, limits: Limits = LIMITS, *, media: Media = "json") -> Problem:
    with pytest.raises(Refused) as refused:
        parse_batch(body, media=media, limits=limits)
    return refused.value.problem


def test_a_bare_object_is_told_from_an_array_of_one() -> None:
    text = b'{"method":"opened","params":{}}'
    assert parse(text).bare
    assert not parse(b"[" + text + b"]").bare


def test_each_message_keeps_its_own_bytes() -> None:
    odd = b'{ "method" : "report_custom_message",\n "params":{"payload":{"n":1.50e3,"big":123456789012345678901}} }'
    batch = parse(b"[" + odd + b', {"method":"opened"}]')
    assert batch.array == b"[" + odd + b', {"method":"opened"}]'
    assert batch.array_from(1) == b'[{"method":"opened"}]'
    assert batch.messages[0].problem is None


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (b"5", None),
        (b'[{"method":"nonsense","params":{}}]', "/method"),
        (b'[{"params":{}}]', "/method"),
        (b"[7]", ""),
        (b'[{"method":"report_asset_materialization","params":{}}]', "/params/asset_key"),
        (b'[{"method":"report_asset_materialization","params":{"asset_key":""}}]', "/params/asset_key"),
        (b'[{"method":"report_asset_materialization","params":{"asset_key":"a","metadata":[]}}]', "/params/metadata"),
        (b'[{"method":"report_asset_check","params":{"asset_key":"a","check_name":"c"}}]', "/params/passed"),
        (
            b'[{"method":"report_asset_check","params":{"asset_key":"a","check_name":"c","passed":true,"severity":"BAD"}}]',
            "/params/severity",
        ),
        (b'[{"method":"log","params":{"message":"m","level":"Level 25"}}]', "/params/level"),
        (b'[{"method":"log_external_stream","params":{"stream":"tty","text":""}}]', "/params/stream"),
        (b'[{"method":"report_custom_message","params":{"other":1}}]', "/params/payload"),
        (b'[{"method":"log","params":null}]', "/params"),
        (b'[{"method":"closed","params":{"exception":{"stack":[]}}}]', "/params/exception/message"),
    ],
)
def test_what_breaks_a_rule_says_where(body: bytes, pointer: str | None) -> None:
    if pointer is None:
        assert refusal(body).name == "malformed"
        return
    message = parse(body).messages[0]
    assert message.problem is not None
    assert message.problem.name == "invalid-message"
    assert message.problem.members["pointer"] == pointer


def test_one_broken_message_leaves_its_siblings_untouched() -> None:
    batch = parse(b'[{"method":"opened"},{"method":"log","params":{"message":1}},{"method":"closed"}]')
    assert [message.problem is None for message in batch.messages] == [True, False, True]


@pytest.mark.parametrize("params", [b"null", b"{}", b'{"extras":{}}', b'{"extras":{},"unheard":1}'])
def test_opened_is_taken_as_every_sdk_sends_it(params: bytes) -> None:
    assert parse(b'{"method":"opened","params":' + params + b"}").messages[0].problem is None


@pytest.mark.parametrize(
    "params",
    [
        b'{"exception":{"message":"m","stack":["f"],"name":"E","cause":null,"context":null}}',
        b'{"message":"m","stack":["f"],"name":"E","cause":null,"context":null}',
        b'{"exception":{"message":"m","stack":null,"context":[],"cause":{"message":"c","stack":null}}}',
    ],
)
def test_exceptions_are_read_in_every_sdks_shape(params: bytes) -> None:
    content = parse(b'{"method":"closed","params":' + params + b"}").messages[0].content
    assert isinstance(content, Closing)
    assert content.exception is not None
    assert content.exception.message == "m"


@pytest.mark.parametrize("params", [b"null", b"{}", b'{"exception":null}'])
def test_a_clean_close_has_no_exception(params: bytes) -> None:
    content = parse(b'{"method":"closed","params":' + params + b"}").messages[0].content
    assert content == Closing(None, None)


def test_asset_keys_have_one_spelling() -> None:
    report = {"method": "report_asset_materialization", "params": {"asset_key": "a/b/"}}
    check = {"method": "report_asset_check", "params": {"asset_key": r"a\/b", "check_name": "c", "passed": False}}
    batch = parse(json.dumps([report, check]).encode())
    assert batch.messages[0].content == Materialization("a/b", None)
    assert batch.messages[1].content == Check(r"a\/b", "c", passed=False, severity="ERROR")


def test_non_finite_numbers_and_half_surrogates_are_made_standard_json() -> None:
    text = b'[{"method":"report_custom_message","params":{"payload":[NaN,-Infinity,"NaN","\\ud800","\\ud83d\\ude00"]}}]'
    message = parse(text).messages[0]
    assert message.problem is None
    assert json.loads(parse(text).array)[0]["params"]["payload"] == ["NaN", "-Infinity", "NaN", "\ufffd", "\U0001f600"]


def test_lines_are_messages_and_blank_lines_are_nothing() -> None:
    batch = parse_batch(b'{"method":"opened"}\r\n\n{"method":"closed"}', media="ndjson", limits=LIMITS)
    assert [message.method for message in batch.messages] == ["opened", "closed"]
    assert not batch.bare


@pytest.mark.parametrize(
    "body",
    [
        b'{"method":"opened"},{"method":"closed"}',
        b'{"method":"opened"}\n{"method":"closed"},{"method":"closed"}',
        b'{"a":[{}\n{}]}\n{"b":1},{"c":2}',
    ],
)
def test_two_messages_on_one_line_are_not_lines_of_messages(body: bytes) -> None:
    assert refusal(body, media="ndjson").name == "malformed"
    assert refusal(body).name == "malformed"


@pytest.mark.parametrize(
    ("body", "media", "members"),
    [
        (b'[{"method":', "json", {"line": 1, "offset": 11}),
        (b'{"method":"opened"}\n{"method"}', "ndjson", {"line": 2, "offset": 9}),
        (b'[\n"\xff"]', "json", {"line": 2, "offset": 3}),
        (b"", "json", {"offset": 0}),
        (b"[1,]", "json", {"line": 1, "offset": 3}),
    ],
)
def test_what_is_not_json_is_refused_with_the_place(body: bytes, media: Media, members: dict[str, int]) -> None:
    problem = refusal(body, media=media)
    assert problem.name == "malformed"
    assert problem.members == members


@pytest.mark.parametrize(
    ("body", "limits", "name"),
    [
        (b"[" + b",".join([b'{"method":"opened"}'] * 3) + b"]", {"batch_messages": 2}, "batch_messages"),
        (b'[{"method":"opened","params":{}}]', {"message_bytes": 20}, "message_bytes"),
        (b'[{"method":"opened","params":{"extras":{"a":[[[]]]}}}]', {"json_depth": 5}, "json_depth"),
    ],
)
def test_what_is_too_large_is_refused_with_the_limit(body: bytes, limits: dict[str, int], name: str) -> None:
    problem = refusal(body, Limits(**limits))
    assert problem.name == "too-large"
    assert problem.members["limit_name"] == name
    assert problem.members["limit"] == limits[name]


def test_a_bomb_of_brackets_is_refused_and_harms_nothing() -> None:
    assert refusal(b"[" * 1_000_000).name == "too-large"
    nested = b'[{"method":"report_custom_message","params":{"payload":' + b"[" * 500 + b"]" * 500 + b"}}]"
    assert refusal(nested).name == "too-large"


def test_a_name_longer_than_the_limit_is_rejected_by_name() -> None:
    message = parse(b'{"method":"report_asset_materialization","params":{"asset_key":"' + b"k" * 513 + b'"}}').messages[
        0
    ]
    assert message.problem is not None
    assert message.problem.members == {"pointer": "/params/asset_key", "expected": "at most 512 characters"}


values = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just({}) | st.just([])
parameters = ["asset_key", "check_name", "passed", "severity", "metadata", "data_version", "payload"]
parameters += ["message", "level", "stream", "text", "extras", "exception"]
params = st.dictionaries(st.sampled_from(parameters), values | st.sampled_from(["WARN", "info", "stdout"]), max_size=6)


@given(method=st.sampled_from([*METHODS, "other"]), params=st.none() | params | st.just([]))
def test_the_fast_path_takes_nothing_that_the_vocabulary_refuses(method: str, params: object) -> None:
    wire = {"method": method, "params": params}
    text = json.dumps(wire).encode()
    try:
        parse_message(wire)  # type: ignore[arg-type]
        valid = True
    except InvalidMessage:
        valid = False
    message = parse(text).messages[0]
    empty_key = isinstance(params, dict) and params.get("asset_key") in ("", "/") and method.startswith("report_asset")
    assert (message.problem is None) == (valid and not empty_key)
    if not valid and decode_lean(text) is not None:
        assert message.problem is not None


_WITHOUT_READERS = """
import dataclasses, json, typing
from standpipe_protocol import messages

@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReportNews:
    method: typing.ClassVar[str] = "report_news"
    text: str

messages.MESSAGE_CLASSES += (ReportNews,)
from standpipe_protocol.limits import Limits
from standpipe_server.broker.messages.batches import parse_batch
sent = [{"method": "opened"}, {"method": "report_news", "params": {"text": "x"}}, {"method": "closed"}]
batch = parse_batch(json.dumps(sent).encode(), media="json", limits=Limits())
print([None if message.problem is None else message.problem.members["pointer"] for message in batch.messages])
"""


def test_a_class_without_any_reader_is_rejected_alone_and_its_siblings_are_taken() -> None:
    assert run_python("-c", _WITHOUT_READERS).stdout.strip() == "[None, '/method', None]"

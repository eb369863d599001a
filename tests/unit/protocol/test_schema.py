"""JSON Schema: the published documents say the same as the code that reads messages, and are current."""

from __future__ import annotations

import copy
import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from docs.message_schemas import schema_documents
from standpipe_protocol.context import ContextData, InvalidContext
from standpipe_protocol.invocation import Event, Expected, ExpectedCheck, Invocation, Reason
from standpipe_protocol.limits import Limits
from standpipe_protocol.members import InvalidMessage, PipesException
from standpipe_protocol.messages import METHODS, Closed, Ledger, Log, ReportAssetCheck, message_to_wire, parse_message
from standpipe_protocol.metadata import METADATA_TYPES, normalise_entry
from standpipe_protocol.problems import PROBLEM_TYPES, Problem

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "reference" / "schema"
DOCUMENTS = schema_documents()
# Generated from the server's resources; tests/contract holds them current.
ANSWERS = {
    name: json.loads((PUBLISHED / f"{name}.schema.json").read_text())
    for name in ("event", "invocation", "metadata", "problem")
}
VALIDATORS = {name: Draft202012Validator(schema) for name, schema in {**DOCUMENTS, **ANSWERS}.items()}

odd: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 3, "", "x", "WARN", "stdout", "debug", [], ["a"], [1], {}, {"message": "m"}, {"message": 1}]
)
NAMES = (
    *("extras", "exception", "message", "level", "stream", "text", "asset_key", "data_version", "metadata"),
    *("check_name", "passed", "severity", "payload", "stack", "name", "cause", "context", "signal"),
)


def accepts(name: str, value: Any) -> bool:
    return bool(VALIDATORS[name].is_valid(value))  # pyright: ignore[reportUnknownMemberType]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_published_document_is_current(name: str) -> None:
    text = (PUBLISHED / f"{name}.schema.json").read_text(encoding="utf-8")
    assert json.loads(text) == DOCUMENTS[name], "Run scripts/generate."


def test_nothing_else_is_published() -> None:
    assert {path.name for path in PUBLISHED.iterdir()} == {f"{name}.schema.json" for name in {**DOCUMENTS, **ANSWERS}}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_is_itself_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(DOCUMENTS[name])


def parses(wire: Any) -> bool:
    try:
        parse_message(wire)
    except InvalidMessage:
        return False
    return True


@given(
    st.fixed_dictionaries({}, optional={"method": st.sampled_from([*METHODS, "shout", 7])}),
    st.dictionaries(st.sampled_from(NAMES), odd) | odd,
    st.booleans(),
)
def test_the_schema_accepts_exactly_what_the_reader_accepts(wire: Any, params: Any, with_params: bool) -> None:
    whole = {**wire, "params": params} if with_params else wire
    assert accepts("message", whole) == parses(whole)


@given(st.dictionaries(st.sampled_from([*ContextData().to_wire(), "more"]), odd | st.just({"start": "a", "end": "b"})))
def test_the_context_schema_accepts_exactly_what_the_reader_accepts(wire: Any) -> None:
    try:
        ContextData.from_wire(wire)
    except InvalidContext:
        read = False
    else:
        read = True
    assert accepts("context", wire) == read


def test_what_is_written_is_accepted() -> None:
    inner = PipesException(message="m", stack=("frame",), name="ValueError")
    written = (
        Closed(exception=PipesException(message="m", cause=inner, context=inner), ledger=Ledger(messages=3)),
        Closed(signal="SIGTERM"),
        Log(message="m", level="warning", details={"logger": "l"}),
        ReportAssetCheck(asset_key="a", check_name="c", passed=False, severity="WARN", metadata={"n": 1}),
    )
    for message in written:
        assert accepts("message", message_to_wire(message, sent_at="2026-01-01T00:00:00Z"))
    assert accepts("context", ContextData(asset_keys=("a",)).to_wire())
    assert accepts("limits", Limits().to_wire())
    checks = (ExpectedCheck(asset_key="a", check_name="c"),)
    assert accepts("expected", Expected(asset_keys=("a",), checks=checks, custom_messages=2).to_wire())


def test_an_event_as_a_server_writes_it_is_accepted() -> None:
    event: dict[str, Any] = {
        "position": 1,
        "producer": "p",
        "seq": 1,
        "sent_at": None,
        "received_at": "2026-01-01T00:00:00Z",
        "method": "opened",
        "params": {"extras": {}},
    }
    assert accepts("event", event)
    assert Event.from_wire(event).position == 1
    assert not accepts("event", {**event, "position": "1"})


def test_the_client_reads_every_documented_member() -> None:
    for kind, document in ((Invocation, ANSWERS["invocation"]), (Event, ANSWERS["event"])):
        assert {each.name for each in fields(kind)} == set(document["properties"])
    reason = ANSWERS["invocation"]["$defs"]["Reason"]["properties"]
    assert {each.name for each in fields(Reason)} == set(reason)


@pytest.mark.parametrize("name", PROBLEM_TYPES)
def test_every_problem_fits_its_schema(name: str) -> None:
    wire = Problem(name, "What happened.").to_wire()
    assert accepts("problem", wire)
    broken = copy.deepcopy(wire)
    broken["status"] = 200
    assert not accepts("problem", broken)


@given(st.sampled_from(sorted(METADATA_TYPES)), odd | st.lists(odd) | st.just([{"name": "a", "type": "int"}]))
def test_metadata_in_normal_form_fits_its_schema(kind: str, raw: Any) -> None:
    assert accepts("metadata", normalise_entry({"type": kind, "raw_value": raw}).to_wire())


def test_every_metadata_type_has_a_schema() -> None:
    assert set(ANSWERS["metadata"]["properties"]["type"]["enum"]) == METADATA_TYPES - {"__infer__"}

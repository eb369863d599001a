"""Contexts, invocations, events, limits, problems: read back as written, lenient where sides differ in age."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.context import ContextData, InvalidContext, KeyRange, TimeWindow
from standpipe_protocol.invocation import Control, Event, Expected, ExpectedCheck, Invocation
from standpipe_protocol.json_text import JsonValue, decode_json, encode_json
from standpipe_protocol.limits import Limits
from standpipe_protocol.problems import PROBLEM_TYPES, Problem

objects: st.SearchStrategy[Any] = st.dictionaries(st.text(), st.none() | st.booleans() | st.integers() | st.text())
contexts = st.builds(
    ContextData,
    asset_keys=st.none() | st.lists(st.text()).map(tuple),
    code_version_by_asset_key=st.none() | st.dictionaries(st.text(), st.none() | st.text()),
    provenance_by_asset_key=st.none() | st.dictionaries(st.text(), st.none() | objects),
    partition_key=st.none() | st.text(),
    partition_key_range=st.none() | st.builds(KeyRange, start=st.text(), end=st.text()),
    partition_time_window=st.none() | st.builds(TimeWindow, start=st.text(), end=st.text()),
    run_id=st.none() | st.text(),
    job_name=st.none() | st.text(),
    retry_number=st.integers(0),
    extras=objects,
)


@given(contexts)
def test_a_context_is_read_back_equal_from_its_wire_form(context: ContextData) -> None:
    assert ContextData.from_wire(decode_json(encode_json(context.to_wire()))) == context


def test_missing_fields_are_null_and_unknown_ones_are_ignored() -> None:
    assert ContextData.from_wire({"from_the_future": 1, "retry_number": None, "extras": None}) == ContextData()


@pytest.mark.parametrize(
    ("wire", "pointer"),
    [
        ([], ""),
        ({"asset_keys": "a"}, "/asset_keys"),
        ({"asset_keys": ["a", 1]}, "/asset_keys"),
        ({"retry_number": True}, "/retry_number"),
        ({"retry_number": "1"}, "/retry_number"),
        ({"code_version_by_asset_key": {"pre/a": 1}}, "/code_version_by_asset_key/pre~1a"),
        ({"provenance_by_asset_key": {"a~b": []}}, "/provenance_by_asset_key/a~0b"),
        ({"partition_key_range": {"start": "a"}}, "/partition_key_range"),
        ({"partition_time_window": ["a", "b"]}, "/partition_time_window"),
        ({"run_id": 10**600}, "/run_id"),
        ({"extras": []}, "/extras"),
    ],
)
def test_a_context_of_a_wrong_shape_is_refused_where_it_is_wrong(wire: JsonValue, pointer: str) -> None:
    with pytest.raises(InvalidContext) as refused:
        ContextData.from_wire(wire)
    assert refused.value.pointer == pointer


def test_an_invocation_of_a_newer_server_is_read() -> None:
    wire: dict[str, JsonValue] = {
        "id": "inv_1",
        "status": "ended",
        "verdict": "failed",
        "reasons": [{"code": "exit-code", "detail": "It ended with 3.", "more": 1}],
        "from_the_future": {},
    }
    invocation = Invocation.from_wire(wire)
    assert invocation.ended
    assert [reason.code for reason in invocation.reasons] == ["exit-code"]


@pytest.mark.parametrize("wire", [{}, {"id": "inv_1"}, {"id": "inv_1", "status": "asleep"}, {"status": "ended"}])
def test_what_is_no_invocation_is_refused(wire: dict[str, JsonValue]) -> None:
    with pytest.raises(ValueError, match="Expected an invocation"):
        Invocation.from_wire(wire)


def test_an_event_carries_its_message_and_what_was_remarked() -> None:
    wire: dict[str, JsonValue] = {
        "position": 3,
        "producer": "p",
        "seq": 2,
        "method": "log",
        "params": {"message": "m"},
        "received_at": "2026-01-01T00:00:00Z",
        "problem": {"type": "/problems/invalid-message"},
        "notes": [{"code": "after-closed", "detail": "It came after closed."}, "nonsense"],
    }
    event = Event.from_wire(wire)
    assert event.rejected
    assert [note["code"] for note in event.notes] == ["after-closed"]


def test_an_event_without_a_position_is_refused() -> None:
    with pytest.raises(ValueError, match="integer `position`"):
        Event.from_wire({"method": "log"})


def test_what_is_expected_is_written_only_as_far_as_it_was_given() -> None:
    assert Expected().to_wire() == {}
    given_all = Expected(asset_keys=("a",), checks=(ExpectedCheck(asset_key="a", check_name="c"),), custom_messages=0)
    assert given_all.to_wire() == {
        "asset_keys": ["a"],
        "checks": [{"asset_key": "a", "check_name": "c"}],
        "custom_messages": 0,
    }


@pytest.mark.parametrize("wire", [None, {}, {"cancel_requested": "yes"}, {"cancel_requested": 1}, []])
def test_cancellation_is_asked_for_only_in_so_many_words(wire: JsonValue) -> None:
    assert Control.from_wire(wire) == Control(cancel_requested=False)


def test_limits_of_an_older_or_odd_server_keep_their_defaults() -> None:
    assert Limits.from_wire({"body_bytes": 5, "json_depth": -1, "message_bytes": True, "new": 1}) == Limits(
        body_bytes=5
    )
    assert Limits.from_wire(Limits(batch_messages=3).to_wire()) == Limits(batch_messages=3)


@pytest.mark.parametrize("name", PROBLEM_TYPES)
def test_every_problem_is_read_back_equal_from_its_wire_form(name: str) -> None:
    problem = Problem(name, "What happened.", dict.fromkeys(PROBLEM_TYPES[name].members, 1))
    wire = problem.to_wire()
    assert Problem.from_wire(wire) == problem
    assert wire["status"] == PROBLEM_TYPES[name].status


def test_a_problem_nobody_registered_is_told_as_the_server_told_it() -> None:
    problem = Problem.from_wire({"type": "/problems/from-the-future", "detail": "d", "status": 418})
    assert (problem.name, problem.detail) == ("from-the-future", "d")

"""In what invocations differ, and what is no difference."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from standpipe_orchestrator.comparison import Side, compare, template
from standpipe_protocol.invocation import Event, Invocation


def side(*messages: tuple[str, Any], **members: Any) -> Side:
    wire = {"id": "inv_1", "status": "ended", "verdict": "succeeded", "context": {}, **members}
    events = [
        Event(position=number, producer="p", seq=number, method=method, params=params, received_at="")
        for number, (method, params) in enumerate(messages, 1)
    ]
    return Side.of(Invocation.from_wire(wire), events)


def differences(*sides: Side) -> dict[str, tuple[Any, ...]]:
    return {"/".join(one.path): one.values for one in compare(sides).differences}


def materialized(**metadata: Any) -> tuple[str, Any]:
    return "report_asset_materialization", {"asset_key": "a", "metadata": metadata}


def logged(message: str, level: str = "INFO") -> tuple[str, Any]:
    return "log", {"message": message, "level": level}


def test_equal_invocations_do_not_differ_by_their_ids_and_run_ids() -> None:
    one = side(materialized(rows=3), logged("took 1 s"), context={"run_id": "r1", "extras": {"a": [1]}})
    other = side(materialized(rows=3), logged("took 2 s"), id="inv_2", context={"run_id": "r2", "extras": {"a": [1]}})

    assert compare([one, other]).differences == ()
    assert compare([one, other]).log_templates == ()


def test_extras_differ_where_they_differ_and_not_as_a_whole() -> None:
    one = side(context={"extras": {"model": {"rate": 0.1, "depth": 3}, "same": 1}})
    other = side(context={"extras": {"model": {"rate": 0.2, "depth": 3}, "same": 1, "new": None}})

    (rate, new) = compare([one, other]).differences
    assert (rate.path, rate.values, rate.missing) == (("context", "extras", "model", "rate"), (0.1, 0.2), ())
    assert (new.path, new.values, new.missing) == (("context", "extras", "new"), (None, None), (0,))


@pytest.mark.parametrize(("one", "other", "differ"), [(1, 1.0, False), (1, True, True), ([1], [1, 2], True)])
def test_a_switch_that_became_a_number_is_a_difference_and_a_point_is_none(one: Any, other: Any, differ: bool) -> None:
    found = differences(side(context={"extras": {"x": one}}), side(context={"extras": {"x": other}}))

    assert bool(found) is differ


def test_a_changed_column_of_a_schema_is_named() -> None:
    def schema(*columns: tuple[str, str]) -> tuple[str, Any]:
        wire = [{"name": name, "type": kind} for name, kind in columns]
        return materialized(schema={"type": "table_schema", "raw_value": {"columns": wire}})

    found = compare([side(schema(("id", "int"), ("n", "int"))), side(schema(("id", "str"), ("n", "int")))])

    (changed,) = found.differences
    assert changed.path == ("materialization", "a", "metadata", "schema", "columns", "id", "type")
    assert changed.values == ("int", "str")


def test_checks_results_and_exceptions_of_several_invocations_stand_side_by_side() -> None:
    def check(passed: bool, severity: str = "ERROR") -> tuple[str, Any]:
        return "report_asset_check", {"asset_key": "a", "check_name": "c", "passed": passed, "severity": severity}

    boom = ("closed", {"exception": {"name": "ValueError", "message": "boom", "stack": []}})
    found = differences(
        side(check(True), ("closed", {})), side(check(False), boom), side(check(False, "WARN"), ("closed", {}))
    )

    assert found["check/a/c"] == ("passed", "failed", "failed (warning)")
    assert found["exception"] == (None, "ValueError: boom", None)


def test_what_came_out_stands_before_what_went_in_and_that_before_what_was_reported() -> None:
    one = side(logged("x"), materialized(rows=1), context={"job_name": "a"})
    other = side(materialized(rows=2), context={"job_name": "b"}, verdict="failed")

    assert [path.split("/")[0] for path in differences(one, other)] == [
        "verdict",
        "context",
        "materialization",
        "events",
    ]


def test_new_and_gone_kinds_of_log_lines_are_told_the_severe_ones_first() -> None:
    one = side(logged("read part 1"), logged("read part 2"), logged("all well"))
    other = side(logged("read part 7"), logged("slow"), logged("disk 4 full", "ERROR"))

    told = [(kind.level, kind.text, kind.counts) for kind in compare([one, other]).log_templates]
    assert told[0] == ("ERROR", "disk <n> full", (0, 1))
    assert sorted(told[1:]) == [("INFO", "all well", (1, 0)), ("INFO", "slow", (0, 1))]


def test_a_rejected_message_is_counted_and_reports_nothing() -> None:
    rejected = Event(
        position=1,
        producer="p",
        seq=1,
        method="report_asset_materialization",
        params={"asset_key": "a", "metadata": {}},
        received_at="",
        problem={"detail": "a second one"},
    )
    invocation = side().invocation
    found = differences(side(), Side.of(invocation, [rejected]))

    assert found == {"events/rejected": (None, 1)}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("took 1.5s for item-7", "took <n>s for item-<n>"),
        ("v2 is kept, -3 is not", "v2 is kept, <n> is not"),
        ("at 2026-01-31T12:00:00.123Z and 12:00:01", "at <time> and <time>"),
        ("0xdeadBEEF and 3f2a9c11d0 and deadbeef", "<hex> and <hex> and deadbeef"),
        ("run 019a3c5e-1eb6-7102-90ca-3a4776712c9f", "run <id>"),
        ("first\nsecond", "first"),
        ("", ""),
    ],
)
def test_lines_of_a_kind_have_one_template(text: str, kind: str) -> None:
    assert template(text) == kind


def test_what_is_kept_is_bounded_and_says_so() -> None:
    words = ("".join(letters) for letters in itertools.product("abcdefghij", repeat=4))
    found = compare([side(), side(*(logged(word) for word in itertools.islice(words, 6_000)))])

    assert not found.whole
    assert len(found.log_templates) == 5_000

"""Refused requests: what counts, what is known again, what is bounded, and where the reason stands in the table."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.problems import Problem
from standpipe_server.broker.lifecycle.refusals import (
    MOST_SHOWN,
    NONE,
    Refusal,
    Refusals,
    leaves_trace,
    reason,
    refuse,
    take_back,
)
from standpipe_server.broker.outcome.expected_progress import Reported
from standpipe_server.broker.outcome.verdict import decide_verdict
from standpipe_server.broker.values.state import Finish, InvocationState, ProducerState, replace

RUNNING = InvocationState(pk=1, id="inv", created_at=0, open_within=60.0, settle=10.0, lease_seconds=60.0)
CLEAN = ProducerState(pk=1, name="p", last_seq=2, numbered=2, opened=1, closed=1, counts={"opened": 1, "closed": 1})
REFUSED = {"code": "refused-requests", "detail": "One was refused.", "count": 1}
MALFORMED = Problem("malformed", "The body is not JSON.")


def refused(body: str, *, key: str | None = None, problem: Problem = MALFORMED) -> Refusal:
    return Refusal(problem=problem, length=len(body), start=body.encode(), digest=body.encode(), key=key)


def after(*bodies: str, state: InvocationState = RUNNING, before: Refusals = NONE) -> Refusals:
    for body in bodies:
        before = refuse(before, refused(body), invocation=state, stored=False, now=7)
    return before


@pytest.mark.parametrize(
    ("problem", "counts"),
    [
        (Problem("malformed", ""), True),
        (Problem("too-large", ""), True),
        (Problem("unsupported-media-type", ""), True),
        (Problem("invalid-request", ""), True),
        (Problem("invalid-message", "", {"stored": True}), False),
        (Problem("unauthorized", ""), False),
        (Problem("not-found", ""), False),
        (Problem("idempotency-conflict", ""), False),
        (Problem("sequence-gap", ""), False),
        (Problem("rate-limited", ""), False),
        (Problem("overloaded", ""), False),
        (Problem("internal", ""), False),
    ],
)
def test_a_refusal_counts_where_it_is_the_requests_own_fault(problem: Problem, counts: bool) -> None:
    assert leaves_trace(problem) is counts


@pytest.mark.parametrize(
    ("state", "left", "verdict", "codes"),
    [
        ({}, {}, "incomplete", ["refused-requests"]),
        ({}, {"exception": {"message": "boom"}}, "failed", ["exception", "refused-requests"]),
        ({"finish": Finish(exit_code=3)}, {}, "failed", ["exit-code", "refused-requests"]),
        ({}, {"rejected": 1, "first_rejection": "x"}, "failed", ["rejected-messages", "refused-requests"]),
        (
            {"finish": Finish(outcome="cancelled")},
            {"closed": 0},
            "cancelled",
            ["stopped-outside", "refused-requests", "never-closed"],
        ),
        ({"lease_lost": True}, {}, "lost", ["lease-expired", "refused-requests"]),
        ({"finish": Finish(outcome="unknown")}, {}, "incomplete", ["refused-requests", "unknown"]),
        ({}, {"opened": 0, "closed": 0}, "incomplete", ["refused-requests", "never-opened"]),
        ({}, {"closed": 0}, "incomplete", ["refused-requests", "never-closed"]),
        ({}, {"numbered": 9}, "incomplete", ["refused-requests", "missing-tail"]),
        ({"cancel_requested_at": 1}, {}, "cancelled", ["cancel-requested", "refused-requests"]),
    ],
)
def test_it_stands_behind_what_failed_and_before_what_is_missing(
    state: dict[str, Any], left: dict[str, Any], verdict: str, codes: list[str]
) -> None:
    decided = decide_verdict(replace(RUNNING, **state), [replace(CLEAN, **left)], Reported(), refused=REFUSED)
    assert (decided.name, [each["code"] for each in decided.reasons]) == (verdict, codes)


def test_a_program_that_cannot_report_is_not_judged_by_its_launcher_alone() -> None:
    state = replace(RUNNING, pipes_optional=True, finish=Finish(exit_code=0))
    assert decide_verdict(state, [], Reported()).name == "succeeded"
    assert decide_verdict(state, [], Reported(), refused=REFUSED).name == "incomplete"


def test_the_first_ones_fault_is_told_and_the_next_ones_when_that_is_taken_back() -> None:
    known = refuse(NONE, refused("a", key="k"), invocation=RUNNING, stored=False, now=1)
    known = refuse(
        known, refused("b", problem=Problem("too-large", "Too much.")), invocation=RUNNING, stored=False, now=2
    )
    told = reason(known)
    assert told is not None
    assert told["detail"] == (
        "2 requests with messages were refused, and nothing of that is stored. The first: malformed: The body is not "
        "JSON."
    )
    told = reason(take_back(known, digest=b"", key="k"))
    assert told is not None
    assert str(told["detail"]).endswith("The first: too-large: Too much.")
    assert reason(take_back(take_back(known, digest=b"b", key=None), digest=b"a", key=None)) is None


@pytest.mark.parametrize("verdict", ["succeeded", "cancelled"])
def test_after_a_good_end_nothing_counts_and_what_counted_stays(verdict: Any) -> None:
    ended = replace(RUNNING, status="ended", verdict=verdict)
    late = after("b", state=ended, before=after("a"))
    assert (late.count, late.standing) == (2, 1)


def test_what_is_kept_is_bounded() -> None:
    many = after(*map(str, range(1_000)))
    assert (many.count, many.standing) == (1_000, 1_000)
    assert len(many.entries) == 128
    assert sum(bool(entry.why) for entry in many.entries) == MOST_SHOWN
    keys = many
    for number in range(50):
        keys = refuse(keys, refused("0", key=f"k{number}"), invocation=RUNNING, stored=False, now=8)
    assert keys.count == 1_000
    assert len(keys.entries[0].keys) == 2


@given(
    steps=st.lists(
        st.tuples(st.booleans(), st.sampled_from("abc"), st.sampled_from([None, "k", "l"]), st.booleans()), max_size=12
    )
)
def test_what_stands_is_what_was_refused_and_never_stored(
    steps: list[tuple[bool, str, str | None, bool]],
) -> None:
    known = NONE
    for refuses, body, key, stored in steps:
        if refuses:
            known = refuse(known, refused(body, key=key), invocation=RUNNING, stored=stored, now=1)
        else:
            known = take_back(known, digest=body.encode(), key=key)
        assert 0 <= known.standing <= known.count == len(known.entries)
        assert known.standing == sum(entry.counts for entry in known.entries)
        assert (reason(known) is None) == (known.standing == 0)

"""The end in the launcher's words beside what the processes left: each row of the table, each pair, and all of them."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.process_end import OUTCOMES, Attempt, Cause
from standpipe_server.broker.lifecycle.end_reports import merge_end_reports
from standpipe_server.broker.outcome.expected_progress import Reported
from standpipe_server.broker.outcome.receipt import make_receipt
from standpipe_server.broker.outcome.verdict import decide_verdict
from standpipe_server.broker.values.state import (
    AttemptNumbers,
    Finish,
    InvocationState,
    Lineage,
    ProducerState,
    replace,
)

INVOCATION = InvocationState(pk=1, id="inv", created_at=0, open_within=60.0, settle=10.0, lease_seconds=60.0)
OPTIONAL = replace(INVOCATION, pipes_optional=True)
CLEAN = ProducerState(pk=1, name="p", last_seq=2, numbered=2, opened=1, closed=1, lineage=Lineage(closed_position=2))
OPEN = replace(CLEAN, closed=0)
TERMINATED = replace(
    CLEAN,
    exception={"message": "ended by SIGTERM", "name": "PipesTerminated"},
    lineage=Lineage(closed_position=2, close_signal="SIGTERM"),
)
SUPERVISOR = replace(CLEAN, pk=3, name="s", lineage=Lineage(role="supervisor"))
TIMEOUT = Cause(code="timeout", detail="DeadlineExceeded")
OUT_OF_MEMORY = Cause(code="out-of-memory", detail="OOMKilled", exit_code=137, peak_memory_bytes=512 << 20)


def decide(*producers: ProducerState, state: InvocationState = INVOCATION, **finish: Any):
    word = Finish(**finish) if finish else state.finish
    return decide_verdict(replace(state, finish=word), producers, Reported())


def verdict(*producers: ProducerState, state: InvocationState = INVOCATION, **finish: Any) -> tuple[str, list[object]]:
    decided = decide(*producers, state=state, **finish)
    return decided.name, [reason["code"] for reason in decided.reasons]


def supervisor(**end: Any) -> ProducerState:
    return replace(SUPERVISOR, lineage=replace(SUPERVISOR.lineage, end=Finish(**end).to_wire()))


def test_an_outcome_of_failure_fails_by_the_code_of_its_cause_and_says_it_for_a_person() -> None:
    decided = decide(CLEAN, outcome="failed", cause=OUT_OF_MEMORY)
    assert (decided.name, decided.reasons[0]["code"]) == ("failed", "out-of-memory")
    assert "too much memory (at most 512 MiB were in use), with exit code 137." in str(decided.reasons[0]["detail"])
    assert "The platform said: OOMKilled" in str(decided.reasons[0]["detail"])
    assert decided.reasons[0]["cause"] == OUT_OF_MEMORY.to_wire()
    assert verdict(CLEAN, outcome="failed") == ("failed", ["outcome-failed"])
    assert verdict(CLEAN, outcome="failed", cause=Cause(code="BackoffLimit", detail="")) == ("failed", ["BackoffLimit"])


def test_success_in_the_launchers_words_makes_nothing_greener() -> None:
    assert verdict(CLEAN, outcome="succeeded") == ("succeeded", [])
    assert verdict(OPEN, outcome="succeeded") == ("incomplete", ["never-closed"])
    assert verdict(outcome="succeeded") == ("incomplete", ["never-opened"])
    assert verdict(CLEAN, outcome="succeeded", exit_code=3) == ("failed", ["exit-code"])
    contradicts_itself = Cause(code="x", detail="", exit_code=3)
    assert verdict(CLEAN, outcome="succeeded", cause=contradicts_itself) == ("failed", ["exit-code"])


def test_a_close_at_a_signal_is_a_detail_once_the_launcher_names_what_stopped_the_work() -> None:
    assert verdict(TERMINATED) == ("failed", ["exception"])
    assert verdict(TERMINATED, outcome="failed") == ("failed", ["exception", "outcome-failed"])
    decided = decide(TERMINATED, outcome="failed", cause=Cause(code="preempted", detail="spot"))
    assert (decided.name, [reason["code"] for reason in decided.reasons]) == ("failed", ["preempted"])
    details: Any = decided.reasons[0]["details"]
    assert [detail["code"] for detail in details] == ["exception"]
    assert verdict(TERMINATED, outcome="cancelled") == ("cancelled", ["stopped-outside"])
    own = replace(TERMINATED, lineage=Lineage(closed_position=2))
    assert verdict(own, outcome="cancelled")[0] == "failed"


@pytest.mark.parametrize("code", [-15, 143, -9, 137])
def test_the_end_by_a_signal_is_a_detail_of_a_cancellation_and_any_other_code_a_failure(code: int) -> None:
    assert verdict(OPEN, outcome="cancelled", exit_code=code) == ("cancelled", ["stopped-outside", "never-closed"])
    assert verdict(OPEN, outcome="cancelled", exit_code=3)[0] == "failed"
    # It closed, and was stopped all the same.
    assert verdict(CLEAN, outcome="cancelled", exit_code=code) == ("cancelled", ["stopped-outside"])
    assert verdict(CLEAN, outcome="cancelled", exit_code=0) == ("succeeded", [])


def test_a_launch_that_failed_is_a_note_where_a_process_opened_all_the_same() -> None:
    words: list[dict[str, Any]] = [{"launched": False}, {"outcome": "not-launched"}]
    for word in words:
        assert verdict(**word) == ("incomplete", ["not-launched"])
        decided = decide(CLEAN, **word)
        assert (decided.name, [note["code"] for note in decided.notes]) == ("succeeded", ["opened-all-the-same"])


def test_an_end_that_nobody_knows_is_never_green() -> None:
    assert verdict(CLEAN, outcome="unknown") == ("incomplete", ["unknown"])
    assert verdict(state=OPTIONAL, outcome="unknown") == ("incomplete", ["unknown"])


def test_of_two_speakers_the_worse_counts() -> None:
    assert verdict(CLEAN, supervisor(exit_code=0, outcome="succeeded"), exit_code=0) == ("succeeded", [])
    assert verdict(CLEAN, supervisor(exit_code=3, outcome="failed"), exit_code=0)[0] == "failed"
    assert verdict(CLEAN, supervisor(exit_code=0), outcome="failed", cause=TIMEOUT) == ("failed", ["timeout"])


def test_a_supervisor_never_counts_as_opened_and_its_missing_end_is_missing() -> None:
    assert verdict(supervisor(exit_code=0)) == ("incomplete", ["never-opened"])
    assert verdict(CLEAN, replace(SUPERVISOR, closed=0)) == ("incomplete", ["never-closed"])


def test_where_pipes_are_optional_the_launcher_judges_what_never_opened() -> None:
    judging: list[dict[str, Any]] = [{"exit_code": 0}, {"outcome": "succeeded"}]
    for word in judging:
        decided = decide(state=OPTIONAL, **word)
        assert (decided.name, decided.judged_by) == ("succeeded", "launcher")
    assert decide(supervisor(exit_code=0), state=OPTIONAL).judged_by == "launcher"
    assert verdict(state=OPTIONAL, exit_code=3) == ("failed", ["exit-code"])
    assert verdict(state=OPTIONAL, outcome="cancelled") == ("cancelled", ["stopped-outside"])
    assert verdict(state=OPTIONAL) == ("incomplete", ["never-opened"])
    assert verdict(state=OPTIONAL, reason="it said") == ("incomplete", ["never-opened"])
    assert verdict(state=OPTIONAL, outcome="not-launched") == ("incomplete", ["not-launched"])
    opened = decide(OPEN, state=OPTIONAL, exit_code=0)
    assert (opened.name, opened.judged_by) == ("incomplete", None)
    superseded = replace(CLEAN, superseded=True)
    assert decide(superseded, state=OPTIONAL, exit_code=0).name == "incomplete"


def test_the_receipt_is_whole_where_the_launcher_is_the_judge() -> None:
    assert make_receipt(OPTIONAL, [], judged_by_launcher=True)["whole"] is True
    assert make_receipt(OPTIONAL, [])["whole"] is False


def test_a_child_that_sigterm_ended_is_a_note_when_its_parent_closed_clean_afterwards() -> None:
    child = replace(TERMINATED, name="c", lineage=replace(TERMINATED.lineage, parent="p"))
    parent = replace(CLEAN, lineage=Lineage(closed_position=3))
    decided = decide(parent, child, exit_code=0)
    assert (decided.name, [note["code"] for note in decided.notes]) == ("succeeded", ["child-terminated"])
    for spoiled in (
        [replace(parent, lineage=Lineage(closed_position=1)), child],
        [replace(parent, exception={"message": "boom"}), child],
        [parent, replace(child, numbered=9)],
        [parent, replace(child, ledger="It numbered 9.")],
        [parent, replace(child, lineage=replace(child.lineage, close_signal="SIGINT"))],
        [parent, replace(child, lineage=replace(child.lineage, parent=None))],
        [parent, replace(child, closed=0)],
    ):
        assert verdict(*spoiled, exit_code=0)[0] in ("failed", "incomplete")


def test_superseded_producers_fit_no_row_and_are_no_opening() -> None:
    numbers = replace(INVOCATION, attempts=AttemptNumbers(newest=(1,)))
    old = replace(OPEN, name="old", superseded=True, exception={"message": "x"}, rejected=3, numbered=9, ledger="no")
    decided = decide(old, CLEAN, state=numbers, exit_code=0)
    assert (decided.name, [note["code"] for note in decided.notes]) == ("succeeded", ["superseded"])
    assert verdict(old, state=numbers, exit_code=0) == ("incomplete", ["never-opened"])
    receipt = make_receipt(numbers, [old, CLEAN])
    assert (receipt["whole"], receipt["sent"], receipt["stored"]) == (True, 4, 4)


def test_a_word_about_an_older_attempt_does_not_count() -> None:
    numbers = replace(INVOCATION, attempts=AttemptNumbers(newest=(1,)))
    old = Cause(code="preempted", detail="", attempt=())
    assert verdict(CLEAN, state=numbers, outcome="failed", cause=old, about=()) == ("succeeded", [])
    newest = Cause(code="preempted", detail="", attempt=(1,))
    assert verdict(CLEAN, state=numbers, outcome="failed", cause=newest, about=(1,))[0] == "failed"
    assert verdict(CLEAN, state=numbers, outcome="failed", cause=TIMEOUT)[0] == "failed"


def merged(*words: Finish, newest: Attempt = ()) -> Finish | None:
    result: Finish | None = None
    for word in words:
        result = merge_end_reports(result, word, newest=newest) or result
    return result


def test_a_speakers_later_word_replaces_what_it_says_and_leaves_the_rest() -> None:
    first = Finish(exit_code=3, outcome="failed", cause=TIMEOUT)
    assert merged(first, Finish(reason="and so on")) == dataclasses.replace(first, reason="and so on")
    assert merged(first, Finish(outcome="succeeded")) == Finish(exit_code=3, outcome="succeeded")
    assert merged(first, Finish(outcome="failed")) == first


def about(attempt: Attempt, **word: Any) -> Finish:
    return Finish(cause=Cause(code="x", detail="", attempt=attempt), **word)


def test_a_word_about_a_newer_attempt_replaces_those_about_older_ones_and_an_older_one_is_none() -> None:
    newer = about((1,), outcome="succeeded")
    assert merged(about((), exit_code=3), newer) == dataclasses.replace(newer, about=(1,))
    assert merge_end_reports(Finish(exit_code=1), about((), outcome="failed"), newest=(1,)) is None
    # A word that names no attempt counts whatever attempt comes, also beside one that does.
    assert merged(about((1,), outcome="failed"), Finish(exit_code=137), newest=(1,)) == Finish(
        exit_code=137, outcome="failed", cause=about((1,)).cause
    )
    outdated = dataclasses.replace(about((1,), outcome="failed"), about=(1,))
    assert merge_end_reports(outdated, Finish(exit_code=137), newest=(2,)) == Finish(exit_code=137)


@pytest.mark.parametrize("attempt", [(), (1,), (2, 3)])
def test_a_word_is_read_back_as_it_was_written(attempt: Attempt) -> None:
    word = dataclasses.replace(about(attempt, exit_code=1, outcome="failed"), about=attempt)
    assert Finish.from_wire(word.to_wire()) == word


def test_a_program_that_sigterm_ended_under_a_supervisor_is_not_done() -> None:
    watched = replace(TERMINATED, lineage=replace(TERMINATED.lineage, parent="s"))
    end = supervisor(outcome="cancelled", cause=Cause(code="preempted", detail=""))
    end = replace(end, lineage=replace(end.lineage, closed_position=9))
    assert verdict(watched, end) == ("cancelled", ["stopped-outside"])
    assert verdict(watched, end, outcome="cancelled")[0] == "cancelled"
    end = replace(end, lineage=replace(end.lineage, end=Finish(exit_code=0).to_wire()))
    assert verdict(watched, end)[0] == "failed"


# Each row: its verdict, what the launcher says, and what the producer left, in the order of the table.
ROWS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "exception": ("failed", {}, {"exception": {"message": "boom"}}),
    "exit-code": ("failed", {"exit_code": 1}, {}),
    "timeout": ("failed", {"outcome": "failed", "cause": TIMEOUT}, {}),
    "rejected-messages": ("failed", {}, {"rejected": 1, "first_rejection": "x"}),
    "stopped-outside": ("cancelled", {"outcome": "cancelled"}, {"closed": 0}),
    "unknown": ("incomplete", {"outcome": "unknown"}, {}),
    "late-producer": ("incomplete", {}, {"lineage": Lineage(late=True)}),
    "missing-tail": ("incomplete", {}, {"numbered": 9}),
    "ledger-disagrees": ("incomplete", {}, {"ledger": "It sent 9."}),
}


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(ROWS, 2)))
def test_of_two_rows_the_first_gives_the_verdict_and_both_are_reasons(first: str, second: str) -> None:
    (name, word, left), (_, more_words, more_left) = ROWS[first], ROWS[second]
    if "outcome" in word and "outcome" in more_words:
        # Of one speaker only one can be; the other's word is a supervisor's.
        decided = decide(replace(CLEAN, **(left | more_left)), supervisor(**more_words), **word)
    else:
        decided = decide(replace(CLEAN, **(left | more_left)), **(word | more_words))
    codes = [reason["code"] for reason in decided.reasons if reason["code"] != "never-closed"]
    assert (decided.name, codes) == (name, [first, second])


numbers_of_attempts = st.sampled_from([(), (1,), (1, 2), (2,)])
processes = st.builds(
    ProducerState,
    pk=st.integers(1, 9),
    name=st.sampled_from(["p", "q", "r"]),
    last_seq=st.integers(0, 3),
    numbered=st.integers(0, 4),
    opened=st.integers(0, 2),
    closed=st.integers(0, 2),
    rejected=st.integers(0, 1),
    superseded=st.booleans(),
    exception=st.sampled_from([None, {"message": "m"}]),
    lineage=st.builds(
        Lineage,
        role=st.sampled_from([None, "supervisor"]),
        parent=st.sampled_from([None, "p", "q"]),
        late=st.booleans(),
        closed_position=st.integers(1, 9),
        close_signal=st.sampled_from([None, "SIGTERM"]),
        end=st.none() | st.builds(Finish, exit_code=st.sampled_from([None, 0, 1])).map(Finish.to_wire),
    ),
)
words = st.builds(
    Finish,
    exit_code=st.sampled_from([None, 0, 1, 143]),
    launched=st.sampled_from([None, False]),
    outcome=st.sampled_from([None, *OUTCOMES]),
    cause=st.none() | st.builds(Cause, code=st.just("timeout"), detail=st.just(""), attempt=numbers_of_attempts),
)


@given(found=st.lists(processes, max_size=4, unique_by=lambda p: p.name), word=words, optional=st.booleans())
def test_no_word_of_a_launcher_makes_an_invocation_greener(
    found: list[ProducerState], word: Finish, optional: bool
) -> None:
    state = replace(INVOCATION, pipes_optional=optional, finish=word)
    silent = decide_verdict(replace(state, finish=None), found, Reported())
    decided = decide_verdict(state, found, Reported())
    if decided.name == "succeeded" and silent.name != "succeeded":
        assert optional
        assert decided.judged_by == "launcher"
        assert not any(p.opened and p.lineage.role is None for p in found)
    if decided.name == "succeeded":
        receipt = make_receipt(state, found, judged_by_launcher=decided.judged_by is not None)
        assert receipt["whole"] is True
        current = [p for p in found if not p.superseded]
        assert not any(p.rejected or p.numbered > p.last_seq for p in current)
        assert not any(p.opened and p.closed < p.opened for p in current)
        assert not any(p.lineage.late for p in current)
        assert word.exit_code in (None, 0)
        assert word.outcome in (None, "succeeded", "not-launched", "cancelled")


@given(found=st.lists(processes, max_size=4, unique_by=lambda p: p.name), word=words, optional=st.booleans())
def test_a_superseded_producer_changes_no_verdict(found: list[ProducerState], word: Finish, optional: bool) -> None:
    state = replace(INVOCATION, pipes_optional=optional, finish=word)
    current = [producer for producer in found if not producer.superseded]
    without, decided = decide_verdict(state, current, Reported()), decide_verdict(state, found, Reported())
    if any(p.opened and p.lineage.role is None for p in found) == any(
        p.opened and p.lineage.role is None for p in current
    ):
        assert (decided.name, decided.reasons) == (without.name, without.reasons)
    else:
        assert decided.name != "succeeded"

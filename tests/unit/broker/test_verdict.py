"""Never silently green: each way in which an invocation can end badly has a name and says what is missing."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.invocation import Expected, ExpectedCheck
from standpipe_server.broker.outcome.expected_progress import Reported
from standpipe_server.broker.outcome.receipt import make_receipt
from standpipe_server.broker.outcome.verdict import decide_verdict
from standpipe_server.broker.values.state import Finish, InvocationState, ProducerState, replace

INVOCATION = InvocationState(pk=1, id="inv", created_at=0, open_within=60.0, settle=10.0, lease_seconds=60.0)
CLEAN = ProducerState(pk=1, name="p", last_seq=2, numbered=2, opened=1, closed=1, counts={"opened": 1, "closed": 1})
LAUNCHER = ProducerState(pk=2, name="launcher", last_seq=5, numbered=5, counts={"log_external_stream": 5})


def verdict(
    *producers: ProducerState, state: InvocationState = INVOCATION, reported: Reported | None = None
) -> tuple[str, list[object]]:
    decided = decide_verdict(state, producers, reported or Reported())
    return decided.name, [reason["code"] for reason in decided.reasons]


def test_a_clean_close_is_enough_without_a_launcher_and_without_a_ledger() -> None:
    assert verdict(CLEAN) == ("succeeded", [])


def test_a_launchers_own_producer_need_not_open() -> None:
    assert verdict(CLEAN, LAUNCHER, state=replace(INVOCATION, finish=Finish(exit_code=0))) == ("succeeded", [])


def test_every_rank_must_close() -> None:
    open_rank = replace(CLEAN, name="rank-2", closed=0)
    assert verdict(CLEAN, open_rank) == ("incomplete", ["never-closed"])


def test_a_second_close_is_no_harm() -> None:
    assert verdict(replace(CLEAN, closed=2)) == ("succeeded", [])


@pytest.mark.parametrize("finish", [None, Finish(exit_code=0), Finish()])
def test_what_never_opened_is_incomplete_whatever_its_exit_code(finish: Finish | None) -> None:
    assert verdict(LAUNCHER, state=replace(INVOCATION, finish=finish)) == ("incomplete", ["never-opened"])


def test_what_was_never_launched_says_so() -> None:
    finish = Finish(launched=False, reason="No such file: python9")
    decided = decide_verdict(replace(INVOCATION, finish=finish), [], Reported())
    assert decided.name == "incomplete"
    assert "python9" in str(decided.reasons[0]["detail"])


def test_an_exception_fails_even_with_exit_code_0_and_is_told_in_full() -> None:
    exception = {"message": "ValueError: bad\n", "stack": ["f"], "name": "ValueError", "cause": None, "context": None}
    raised = replace(CLEAN, exception=exception)
    decided = decide_verdict(replace(INVOCATION, finish=Finish(exit_code=0)), [raised], Reported())
    assert decided.name == "failed"
    assert decided.reasons[0]["exception"] == exception


def test_an_exit_code_fails_even_after_a_clean_close_and_brings_the_end_of_stderr() -> None:
    decided = decide_verdict(replace(INVOCATION, finish=Finish(exit_code=137, reason="Killed")), [CLEAN], Reported())
    assert decided.name == "failed"
    assert decided.reasons[0]["exit_code"] == 137
    assert "Killed" in str(decided.reasons[0]["detail"])


def test_a_rejected_message_fails() -> None:
    rejected = replace(CLEAN, rejected=1, first_rejection="position 2: no such key")
    assert verdict(rejected) == ("failed", ["rejected-messages"])


def test_a_lease_that_ran_out_is_lost_and_an_exit_code_counts_more() -> None:
    silent = replace(CLEAN, closed=0)
    lost = replace(INVOCATION, lease_lost=True)
    assert verdict(silent, state=lost) == ("lost", ["lease-expired", "never-closed"])
    assert verdict(silent, state=replace(lost, finish=Finish(exit_code=1)))[0] == "failed"


def test_a_missing_tail_is_named() -> None:
    decided = decide_verdict(INVOCATION, [replace(CLEAN, numbered=5)], Reported())
    assert decided.name == "incomplete"
    assert "3-5 never arrived" in str(decided.reasons[0]["detail"])


def test_a_ledger_that_disagrees_is_incomplete() -> None:
    assert verdict(replace(CLEAN, ledger="It numbered 9.")) == ("incomplete", ["ledger-disagrees"])
    assert verdict(replace(CLEAN, ledger="agrees")) == ("succeeded", [])


def test_everything_expected_must_have_been_reported() -> None:
    expected = Expected(
        asset_keys=("a", "b"), checks=(ExpectedCheck(asset_key="a", check_name="c"),), custom_messages=2
    )
    state = replace(INVOCATION, expected=expected)
    missing = ["missing-materialization", "missing-materialization", "missing-check", "missing-custom-messages"]
    assert verdict(CLEAN, state=state) == ("incomplete", missing)
    reported = Reported(materialized=frozenset({"a", "b"}), checked=frozenset({("a", "c")}))
    talkative = replace(CLEAN, counts={"report_custom_message": 2})
    assert verdict(talkative, state=state, reported=reported) == ("succeeded", [])
    unheard = replace(talkative, rejected_counts={"report_custom_message": 1})
    assert verdict(unheard, state=state, reported=reported)[1] == ["missing-custom-messages"]


def test_cancelled_is_what_was_asked_to_stop_and_did_not_close_complete_and_clean() -> None:
    asked = replace(INVOCATION, cancel_requested_at=1)
    assert verdict(CLEAN, state=asked) == ("succeeded", [])
    assert verdict(replace(CLEAN, closed=0), state=asked)[0] == "cancelled"
    assert verdict(CLEAN, state=replace(asked, finish=Finish(exit_code=-2)))[0] == "cancelled"


RAISED = replace(CLEAN, exception={"message": "boom"})
OPEN = replace(CLEAN, closed=0, heard_at=1_700_000_000_000_000)
EXPECTING = Expected(asset_keys=("a",))
# What is known, in the order of the table: its verdict, the code of its reason, and how it comes to be known.
ROWS: dict[str, tuple[str, Callable[[InvocationState], InvocationState], Callable[[ProducerState], ProducerState]]] = {
    "exception": ("failed", lambda state: state, lambda p: replace(p, exception={"message": "boom"})),
    "exit-code": ("failed", lambda state: replace(state, finish=Finish(exit_code=1)), lambda p: p),
    "rejected-messages": ("failed", lambda state: state, lambda p: replace(p, rejected=1, first_rejection="x")),
    "lease-expired": ("lost", lambda state: replace(state, lease_lost=True), lambda p: p),
    "never-opened": ("incomplete", lambda state: state, lambda p: replace(p, opened=0, closed=0)),
    "never-closed": ("incomplete", lambda state: state, lambda p: replace(p, closed=0)),
    "missing-tail": ("incomplete", lambda state: state, lambda p: replace(p, numbered=p.last_seq + 2)),
    "ledger-disagrees": ("incomplete", lambda state: state, lambda p: replace(p, ledger="It sent 9.")),
    "missing-materialization": ("incomplete", lambda state: replace(state, expected=EXPECTING), lambda p: p),
}


@pytest.mark.parametrize("code", ROWS)
def test_each_row_of_the_table_alone_gives_its_verdict_and_its_reason(code: str) -> None:
    name, change, report = ROWS[code]
    assert verdict(report(CLEAN), state=change(INVOCATION)) == (name, [code])


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(ROWS, 2)))
def test_of_two_rows_the_first_gives_the_verdict_and_both_are_told_in_order(first: str, second: str) -> None:
    if (first, second) == ("never-opened", "never-closed"):
        # Of one producer only one of the two can be; of two it is the second.
        assert verdict(LAUNCHER, OPEN)[1] == ["never-closed"]
        return
    name, change, report = ROWS[first]
    _, change_more, report_more = ROWS[second]
    known = verdict(report_more(report(CLEAN)), state=change_more(change(INVOCATION)))
    assert known == (name, [first, second])


@pytest.mark.parametrize("code", ROWS)
def test_what_was_asked_to_stop_is_cancelled_whatever_else_is_known_and_says_all_of_it(code: str) -> None:
    _, change, report = ROWS[code]
    asked = replace(INVOCATION, cancel_requested_at=1)
    assert verdict(report(CLEAN), state=change(asked)) == ("cancelled", ["cancel-requested", code])


def test_two_producers_reasons_are_told_each_by_name() -> None:
    decided = decide_verdict(INVOCATION, [RAISED, replace(OPEN, name="q")], Reported())
    assert [(reason["code"], reason["producer"]) for reason in decided.reasons] == [
        ("exception", "p"),
        ("never-closed", "q"),
    ]


def test_a_silent_producer_is_named_as_it_named_itself_and_since_when() -> None:
    silent = replace(OPEN, process={"rank": 2, "host": "n7", "world_size": 40})
    decided = decide_verdict(replace(INVOCATION, lease_lost=True), [CLEAN, silent], Reported())
    named = "roducer p (rank 2, host n7, world size 40)"
    assert f"Open was p{named}, silent since 2023-11-14T22:13:20Z." in str(decided.reasons[0]["detail"])
    assert str(decided.reasons[1]["detail"]).startswith(
        f"P{named} opened and never closed, silent since 2023-11-14T22:13:20Z; 2 of its messages are stored."
    )


def test_of_many_silent_producers_those_that_are_silent_longest_are_named() -> None:
    silent = [replace(OPEN, name=f"p{n}", heard_at=1_700_000_000_000_000 - n) for n in range(9)]
    detail = str(decide_verdict(replace(INVOCATION, lease_lost=True), silent, Reported()).reasons[0]["detail"])
    assert "Open was producer p8, silent" in detail
    assert "producer p6" in detail
    assert detail.endswith("; and 6 more.")


def test_many_reasons_are_counted_rather_than_listed() -> None:
    state = replace(INVOCATION, expected=Expected(asset_keys=tuple(f"a{n}" for n in range(100))))
    decided = decide_verdict(state, [CLEAN], Reported())
    assert len(decided.reasons) == 21
    assert decided.reasons[-1]["detail"] == "And 80 more reasons like these."


def test_the_receipt_counts_what_is_stored() -> None:
    receipt = make_receipt(replace(INVOCATION, last_position=7), [CLEAN, LAUNCHER])
    assert receipt["events"] == 7
    assert (receipt["sent"], receipt["stored"], receipt["whole"]) == (7, 7, True)
    assert receipt["by_method"] == {"opened": 1, "closed": 1, "log_external_stream": 5}


@pytest.mark.parametrize(
    ("producer", "says"),
    [
        (replace(CLEAN, opened=0, closed=0), "sent 2, stored 2, no process opened"),
        (replace(CLEAN, numbered=5), "sent 5, stored 2, 3 of producer p never arrived"),
        (replace(CLEAN, ledger="x", declared={"messages": 9}), "sent 9, stored 2, the ledger of producer p disagrees"),
        (OPEN, "sent 2, stored 2, producer p never closed, silent since 2023-11-14T22:13:20Z"),
    ],
)
def test_a_receipt_that_is_not_whole_says_what_is_missing(producer: ProducerState, says: str) -> None:
    receipt = make_receipt(INVOCATION, [producer])
    assert (receipt["whole"], receipt["summary"]) == (False, says)


def test_dropped_log_lines_are_told_and_leave_a_receipt_whole() -> None:
    receipt = make_receipt(INVOCATION, [replace(CLEAN, declared={"messages": 2, "dropped_logs": 3})])
    assert (receipt["whole"], receipt["dropped_logs"]) == (True, 3)
    assert receipt["summary"] == "sent 2, stored 2, no gap, 3 log lines dropped before they got a number"


producers = st.builds(
    ProducerState,
    pk=st.integers(1, 9),
    name=st.sampled_from(["p", "q"]),
    last_seq=st.integers(0, 3),
    numbered=st.integers(0, 4),
    opened=st.integers(0, 2),
    closed=st.integers(0, 2),
    rejected=st.integers(0, 1),
    ledger=st.sampled_from([None, "agrees", "differs"]),
    exception=st.sampled_from([None, {"message": "m"}]),
)


@given(
    found=st.lists(producers, max_size=3),
    finish=st.none()
    | st.builds(Finish, exit_code=st.sampled_from([None, 0, 1]), launched=st.sampled_from([None, False])),
    lease_lost=st.booleans(),
    cancelled=st.booleans(),
    key=st.sampled_from([(), ("a",)]),
)
def test_green_means_that_nothing_at_all_is_wrong(
    found: list[ProducerState], finish: Finish | None, lease_lost: bool, cancelled: bool, key: tuple[str, ...]
) -> None:
    state = replace(
        INVOCATION,
        finish=finish,
        lease_lost=lease_lost,
        cancel_requested_at=1 if cancelled else None,
        expected=Expected(asset_keys=key),
    )
    decided = decide_verdict(state, found, Reported())
    all_well = (
        any(p.opened for p in found)
        and all(p.closed >= p.opened and p.closed > 0 for p in found if p.opened)
        and all(p.numbered <= p.last_seq and not p.rejected and p.exception is None for p in found)
        and all(p.ledger in (None, "agrees") for p in found)
        and (finish is None or (finish.exit_code in (None, 0) and finish.launched is not False))
        and not lease_lost
        and not key
    )
    assert (decided.name == "succeeded") == all_well
    assert bool(decided.reasons) != (decided.name == "succeeded")
    if decided.name == "succeeded":
        assert make_receipt(state, found)["whole"] is True

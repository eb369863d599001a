"""What is done after each answer: pure decisions."""

from __future__ import annotations

import pytest

from standpipe.delivery_report import Rejection
from standpipe.http.decisions import (
    BACKOFF_CAP_SECONDS,
    Advance,
    Answer,
    Decision,
    NoAnswer,
    Replace,
    Retry,
    Split,
    Stop,
    backoff_delay,
    decide_after_append,
    decide_after_refusal,
)
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.problems import Problem


def refused(name: str, *, retry_after: float | None = None, **members: JsonValue) -> Answer:
    problem = Problem(name, "told", members)
    return Answer(status=problem.status, body=problem.to_wire(), problem=problem, retry_after=retry_after)


def decide(answer: Answer | NoAnswer, *, first: int = 5, count: int = 3, attempt: int = 0) -> Decision:
    return decide_after_append(answer, first_seq=first, count=count, attempt=attempt, jitter=1.0)


def test_an_acknowledgement_moves_on() -> None:
    assert decide(Answer(status=200, body={"accepted_through": 7, "results": []})) == Advance(through=7)


def test_an_acknowledgement_never_covers_what_was_not_sent() -> None:
    assert decide(Answer(status=200, body={"accepted_through": 99, "results": []})) == Advance(through=7)


def test_part_of_a_batch_may_be_acknowledged() -> None:
    assert decide(Answer(status=200, body={"accepted_through": 5, "results": []})) == Advance(through=5)


def test_an_acknowledgement_of_nothing_is_no_progress() -> None:
    assert isinstance(decide(Answer(status=200, body={"accepted_through": 4, "results": []})), Retry)


def test_rejected_messages_are_acknowledged_and_named() -> None:
    problem = Problem("invalid-message", "no", {"pointer": "/params"})
    body: dict[str, JsonValue] = {
        "accepted_through": 7,
        "results": [{"index": 1, "seq": 6, "position": 40, "problem": problem.to_wire()}],
    }
    assert decide(Answer(status=207, body=body)) == Advance(
        through=7, rejections=(Rejection(seq=6, position=40, problem=problem),)
    )


def test_a_bare_message_that_was_stored_as_rejected_is_acknowledged() -> None:
    decision = decide(refused("duplicate-materialization", stored=True, position=9, seq=5), count=1)
    assert isinstance(decision, Advance)
    assert decision.through == 5
    assert decision.rejections[0].position == 9


def test_a_success_that_is_not_a_servers_is_no_acknowledgement() -> None:
    assert isinstance(decide(Answer(status=200, body=None)), Retry)
    assert isinstance(decide(Answer(status=200, body={"login": "please"})), Retry)


def test_a_gap_behind_what_was_acknowledged_means_the_server_forgot() -> None:
    decision = decide(refused("sequence-gap", expected_seq=2))
    assert isinstance(decision, Stop)
    assert "expects message 2" in decision.reason
    assert "through 4" in decision.reason


def test_a_gap_ahead_means_the_server_has_more_than_it_said() -> None:
    assert decide(refused("sequence-gap", expected_seq=7)) == Advance(through=6)


@pytest.mark.parametrize("name", ["malformed", "too-large", "invalid-request"])
def test_a_batch_that_is_refused_whole_is_split_until_one_message_is_left(name: str) -> None:
    assert decide(refused(name)) == Split()
    decision = decide(refused(name), count=1)
    assert isinstance(decision, Replace)
    assert decision.rejection.seq == 5
    assert decision.rejection.problem.name == name


def test_a_proxy_that_finds_a_body_too_large_is_split_for_too() -> None:
    assert decide(Answer(status=413)) == Split()


@pytest.mark.parametrize("name", ["unauthorized", "not-found", "invocation-ended", "unsupported-media-type"])
def test_some_refusals_are_final(name: str) -> None:
    decision = decide(refused(name))
    assert isinstance(decision, Stop)
    assert decision.problem.name == name


def test_a_redirect_is_not_followed_with_a_token_but_told() -> None:
    decision = decide(Answer(status=301, location="https://elsewhere.example/"))
    assert isinstance(decision, Retry)
    assert "https://elsewhere.example/" in decision.reason


@pytest.mark.parametrize("name", ["overloaded", "rate-limited"])
def test_the_servers_own_time_to_wait_is_obeyed(name: str) -> None:
    decision = decide(refused(name, retry_after=17.0))
    assert isinstance(decision, Retry)
    assert decision.delay == 17.0


@pytest.mark.parametrize("status", [408, 425, 500, 502, 504])
def test_passing_trouble_is_tried_again(status: int) -> None:
    assert isinstance(decide(Answer(status=status)), Retry)


@pytest.mark.parametrize("status", [*range(200, 209), *range(300, 309), *range(400, 452), *range(500, 512), 0, 999])
@pytest.mark.parametrize("body", [None, {}, {"type": "about:blank"}, {"accepted_through": True}])
def test_what_is_not_the_servers_word_is_never_the_end_of_a_message(
    status: int, body: dict[str, JsonValue] | None
) -> None:
    for count in (1, 3):
        decision = decide(Answer(status=status, body=body), count=count)
        assert isinstance(decision, Retry) or (count > 1 and decision == Split())
    asked = decide_after_refusal(Answer(status=status, body=body), attempt=0, jitter=1.0)
    assert isinstance(asked, Retry)


def test_no_answer_is_tried_again_with_its_reason() -> None:
    assert decide(NoAnswer(reason="ConnectError")) == Retry(delay=0.2, reason="ConnectError")


def test_backoff_doubles_to_a_cap_and_takes_its_full_jitter() -> None:
    assert [backoff_delay(attempt=n, jitter=1.0) for n in range(4)] == [0.2, 0.4, 0.8, 1.6]
    assert backoff_delay(attempt=50, jitter=1.0) == BACKOFF_CAP_SECONDS
    assert backoff_delay(attempt=50, jitter=0.0) == 0.0


def test_a_refused_context_is_final_or_not_by_the_same_rules() -> None:
    final = decide_after_refusal(refused("not-found"), attempt=0, jitter=1.0)
    again = decide_after_refusal(refused("internal"), attempt=0, jitter=1.0)
    assert isinstance(final, Stop)
    assert isinstance(again, Retry)

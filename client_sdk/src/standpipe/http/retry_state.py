"""The state of a delivery: what to send next and when, after all answers so far.

A pure state machine: time and chance are passed in; its owner sends, waits and spools. The invariant: the next request
follows only after the pause that the last answer asked for, so that a server in trouble is asked less and less, at
intervals that have an upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

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
    decide_after_append,
    decide_after_refusal,
)

# A program that reports as fast as it can leaves the sending thread the interpreter only now and then (5 ms a turn,
# several turns a request), so the throughput of such a program is the size of a request. All others never fill one.
BATCH_MESSAGES = 2000
HURRIED_BACKOFF_CAP_SECONDS = 2.0
FAILURES_OF_AN_OUTAGE = 3
"""In a row: about a second and a half after the first. From here on there is a warning, and reports wait on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryState:
    """The state. Each answer makes a new one."""

    most_messages: int = BATCH_MESSAGES
    batch_messages: int = BATCH_MESSAGES
    """How many messages the next request may hold."""
    failures: int = 0
    """Attempts that failed in a row."""
    retry_at: float = 0.0
    """No request is sent sooner."""
    not_before: float = 0.0
    """The time that the server has named: no request is sent sooner even when a caller waits."""
    replaced_seq: int = 0
    """The last number under which a note was sent in the message's place."""

    @property
    def outage_begins(self) -> bool:
        """Whether the last answer was the failure from which on trouble counts as an outage."""
        return self.failures == FAILURES_OF_AN_OUTAGE

    def next_attempt(self, *, hurried: bool) -> float:
        """When the next request may be sent; `hurried` where a caller has begun to wait."""
        return self.not_before if hurried else self.retry_at

    def on_response(self) -> RetryState:
        """After an answer that came from the server itself: trouble is over."""
        return replace(self, failures=0, retry_at=0.0, not_before=0.0)

    def after_append(
        self,
        answer: Answer | NoAnswer,
        *,
        first_seq: int,
        count: int,
        now: float,
        jitter: float,
        hurried: bool = False,
    ) -> tuple[RetryState, Decision]:
        """The state after an append of `count` messages from `first_seq` on, and what to do; `hurried` where a caller
        waits for the end, so that the pauses are short. `jitter` is a random number from 0 to 1."""
        decision = decide_after_append(answer, first_seq=first_seq, count=count, attempt=self.failures, jitter=jitter)
        match decision:
            case Advance():
                more = min(self.most_messages, self.batch_messages * 2)
                return replace(self.on_response(), batch_messages=more), decision
            case Split():
                return replace(self, batch_messages=max(1, count // 2)), decision
            case Replace(rejection=rejection) if self.replaced_seq == first_seq:
                reason = f"the server refuses message {first_seq} in every form: {rejection.problem.detail}"
                return self, Stop(problem=rejection.problem, reason=reason)
            case Replace():
                return replace(self, replaced_seq=first_seq), decision
            case Retry():
                return self._after_failure(answer, decision, now=now, hurried=hurried), decision
            case Stop():
                return self, decision

    def after_refusal(
        self, answer: Answer | NoAnswer, *, now: float, jitter: float, hurried: bool = False
    ) -> tuple[RetryState, Retry | Stop]:
        """The state after an answer to anything else that was no success, and what to do."""
        decision = decide_after_refusal(answer, attempt=self.failures, jitter=jitter)
        if isinstance(decision, Stop):
            return self, decision
        return self._after_failure(answer, decision, now=now, hurried=hurried), decision

    def _after_failure(self, answer: Answer | NoAnswer, retry: Retry, *, now: float, hurried: bool) -> RetryState:
        cap = HURRIED_BACKOFF_CAP_SECONDS if hurried else BACKOFF_CAP_SECONDS
        named = answer.retry_after if isinstance(answer, Answer) else None
        not_before = now + named if named else 0.0
        return replace(
            self,
            failures=self.failures + 1,
            not_before=not_before,
            retry_at=max(now + min(retry.delay, cap), not_before),
        )

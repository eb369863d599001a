"""Where a delivery stands: whatever the network and the server do, all is stored once, in order, without haste."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NoReturn

from hypothesis import example, given, settings
from hypothesis import strategies as st

from standpipe.delivery.message_queue import Batch, MessageQueue
from standpipe.http.decisions import Advance, Answer, NoAnswer, Replace, Retry, Split, Stop, undeliverable_note
from standpipe.http.retry_state import FAILURES_OF_AN_OUTAGE, RetryState
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.problems import Problem

TOO_MANY = 7
"""A proxy of the model takes requests of this many messages at most while it is small."""
LOST = NoAnswer(reason="the connection broke")


def refused(name: str, status: int, *, retry_after: float | None = None, **members: JsonValue) -> Answer:
    problem = Problem(name, "no", members)
    return Answer(status=status, body=problem.to_wire(), problem=problem, retry_after=retry_after)


@dataclass
class Server:
    """The model: what the protocol's table says of an append, and what networks and proxies make of it."""

    stored: list[bytes] = field(default_factory=list[bytes])
    under_way: list[Batch] = field(default_factory=list[Batch])
    """Requests whose senders have given up, and that arrive later all the same."""

    def arrive(self, batch: Batch) -> Answer:
        if batch.first_seq > len(self.stored) + 1:
            return refused("sequence-gap", 409, expected_seq=len(self.stored) + 1)
        if any(body.startswith(b'{"method":"poison"') for body in batch.bodies):
            # The body cannot be read, and nothing in it is stored.
            return refused("malformed", 400)
        new = batch.bodies[len(self.stored) + 1 - batch.first_seq :]
        self.stored += new
        rejected: list[JsonValue] = [
            {
                "index": index,
                "seq": batch.first_seq + index,
                "position": 1,
                "problem": Problem("unknown", "no").to_wire(),
            }
            for index, body in enumerate(batch.bodies)
            if b"undeliverable" in body
        ]
        body: Mapping[str, JsonValue] = {"accepted_through": len(self.stored), "results": rejected}
        return Answer(status=207 if rejected else 200, body=body)

    def answer(self, batch: Batch, fault: str) -> Answer | NoAnswer:
        match fault:
            case "drop":
                return LOST
            case "drop the answer":
                self.arrive(batch)
                return LOST
            case "delay":
                self.under_way.append(batch)
                return LOST
            case "duplicate":
                self.arrive(batch)
                return self.arrive(batch)
            case "let one arrive late" if self.under_way:
                self.arrive(self.under_way.pop(0))
                return self.arrive(batch)
            case "overloaded":
                return refused("overloaded", 503, retry_after=40.0)
            case "internal":
                return refused("internal", 500)
            case "a proxy's 502":
                return Answer(status=502)
            case "a portal's page":
                return Answer(status=200)
            case "a proxy's 401":
                return Answer(status=401)
            case "a small proxy" if len(batch.bodies) > TOO_MANY:
                return Answer(status=413)
            case _:
                return self.arrive(batch)


FAULTS = (
    "drop",
    "drop the answer",
    "delay",
    "duplicate",
    "let one arrive late",
    "overloaded",
    "internal",
    "a proxy's 502",
    "a portal's page",
    "a proxy's 401",
    "a small proxy",
    "none",
)


def no_spool(first: int) -> NoReturn:
    raise OSError("not here")


@dataclass
class Delivery:
    """What a sender does, without a thread, a clock and a network."""

    server: Server
    pending: MessageQueue = field(default_factory=lambda: MessageQueue(spool=no_spool))
    course: RetryState = field(default_factory=RetryState)
    now: float = 1000.0
    told_outages: int = 0

    def step(self, fault: str, *, jitter: float, hurried: bool) -> None:
        batch = self.pending.take(messages=self.course.batch_messages, size=10_000_000)
        if batch is None:
            return
        self.now = max(self.now, self.course.next_attempt(hurried=hurried))
        answer = self.server.answer(batch, fault)
        before = self.course
        self.course, decision = before.after_append(
            answer, first_seq=batch.first_seq, count=len(batch.bodies), now=self.now, jitter=jitter, hurried=hurried
        )
        match decision:
            case Advance(through=through):
                # Acknowledged means stored, whatever happened to which copy of the request.
                assert through <= len(self.server.stored)
                self.pending.acknowledge(through)
                assert self.course.failures == 0
                assert self.course.retry_at <= self.now
            case Split():
                assert self.course.batch_messages < len(batch.bodies)
            case Replace(rejection=rejection):
                self.pending.replace(batch.first_seq, undeliverable_note(batch.bodies[0], rejection.problem))
            case Retry():
                assert self.course.failures == before.failures + 1
                named = answer.retry_after if isinstance(answer, Answer) else None
                assert self.course.not_before == (self.now + named if named else 0)
                # Never sooner than the server has named, and with an upper bound.
                assert self.course.not_before <= self.course.retry_at
                assert self.course.retry_at - self.now <= max(2.0 if hurried else 30.0, named or 0.0) + 1e-6
                self.told_outages += self.course.outage_begins
            case Stop(reason=reason):
                raise AssertionError(f"it gave up: {reason}")


STEPS = st.tuples(st.sampled_from(FAULTS), st.floats(0, 1), st.booleans(), st.integers(0, 30), st.booleans())


@settings(max_examples=400, deadline=None)
@given(story=st.lists(STEPS, max_size=40))
@example(
    story=[
        ("delay", 0.5, False, 20, False),
        ("none", 0.5, False, 5, True),
        ("let one arrive late", 0.5, False, 9, False),
    ]
)
def test_every_story_ends_with_each_message_stored_once_in_order(
    story: list[tuple[str, float, bool, int, bool]],
) -> None:
    server = Server()
    delivery = Delivery(server)
    reported: list[bytes] = []
    for fault, jitter, hurried, new, poisoned in story:
        for n in range(new):
            kind = "poison" if poisoned and n == new // 2 else "good"
            reported.append(b'{"method":"%s","params":{"n":%d}}' % (kind.encode(), len(reported)))
            assert delivery.pending.put("report_custom_message", reported[-1])
        delivery.step(fault, jitter=jitter, hurried=hurried)
    # The faults have an end: the rest arrives, and late copies of old requests change nothing.
    for _ in range(4 * len(reported) + 4):
        delivery.step("let one arrive late", jitter=0.5, hurried=True)
    assert delivery.pending.acknowledged == delivery.pending.numbered == len(reported)
    for late in server.under_way:
        server.arrive(late)
    assert len(server.stored) == len(reported)
    for given_, kept in zip(reported, server.stored, strict=True):
        if b"poison" in given_:
            assert json.loads(kept) == {
                "method": "undeliverable",
                "params": {"method": "poison", "bytes": len(given_), "reason": "no"},
            }
        else:
            assert kept == given_


def test_an_outage_is_told_once_at_the_third_failure() -> None:
    delivery = Delivery(Server())
    assert delivery.pending.put("log", b"{}")
    for _ in range(10):
        delivery.step("drop", jitter=1.0, hurried=False)
    assert delivery.told_outages == 1
    delivery.step("none", jitter=1.0, hurried=False)
    assert delivery.course == RetryState()
    assert delivery.pending.put("log", b"{}")
    for _ in range(FAILURES_OF_AN_OUTAGE):
        delivery.step("drop", jitter=1.0, hurried=False)
    assert delivery.told_outages == 2


def test_whoever_waits_does_not_wait_for_a_backoff_but_for_what_the_server_named() -> None:
    course = RetryState()
    for _ in range(8):
        course, _decision = course.after_append(LOST, first_seq=1, count=1, now=100.0, jitter=1.0)
    assert course.next_attempt(hurried=False) > 120.0
    assert course.next_attempt(hurried=True) == 0.0
    busy = refused("overloaded", 503, retry_after=7.0)
    course, _decision = course.after_append(busy, first_seq=1, count=1, now=100.0, jitter=0.0, hurried=True)
    assert course.next_attempt(hurried=True) == course.next_attempt(hurried=False) == 107.0


def test_a_message_that_is_refused_in_every_form_ends_it() -> None:
    refusal = refused("malformed", 400)
    course, decision = RetryState().after_append(refusal, first_seq=3, count=1, now=0.0, jitter=1.0)
    assert isinstance(decision, Replace)
    course, decision = course.after_append(refusal, first_seq=3, count=1, now=0.0, jitter=1.0)
    assert isinstance(decision, Stop)
    assert "refuses message 3 in every form" in decision.reason

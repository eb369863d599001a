"""What a batch means against what is stored: next in line, a retry, a gap, too late; and which messages are rejected.

The table of the protocol, as one pure function. The store calls it inside the transaction that inserts, with the
invocation's row locked, and carries out what it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.problems import Problem
from standpipe_server.broker.intake.batch_pass import BatchPass, Known
from standpipe_server.broker.lifecycle import leases as lifecycle
from standpipe_server.broker.lifecycle.attempts import ReportKey
from standpipe_server.broker.messages.parsed_message import Content, ParsedMessage
from standpipe_server.broker.outcome.receipt import Digests
from standpipe_server.broker.values.ids import ANONYMOUS_PRODUCER
from standpipe_server.broker.values.state import InvocationState, ProducerState, replace

__all__ = ["Append", "AppendDecision", "Gap", "Known", "NeedsDigests", "TooLate", "decide_append"]


@dataclass(frozen=True, slots=True)
class Gap:
    """The batch starts beyond the next number; the producer resends from `expected_seq`."""

    expected_seq: int


@dataclass(frozen=True, slots=True)
class TooLate:
    """New messages for an invocation with a final verdict, which messages no longer change."""


class Append(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Store the messages from `skip` on; everything before is stored already. All offsets count from `skip`."""

    skip: int
    first_seq: int
    first_position: int
    problems: dict[int, Problem]
    notes: dict[int, list[dict[str, JsonValue]]]
    contents: list[tuple[int, Content]]
    """What the projections need; a report that does not stand is not among them."""
    invocation: InvocationState
    producer: ProducerState
    replaced: frozenset[ReportKey] = frozenset()
    """Reports of older attempts that a message of this batch takes the place of."""


@dataclass(frozen=True, slots=True)
class NeedsDigests:
    """A `closed` tells a SHA-256, and that of what is stored is not known yet. Nothing is to be stored."""


AppendDecision: TypeAlias = Gap | TooLate | Append | NeedsDigests


def decide_append(
    invocation: InvocationState,
    producer: ProducerState,
    messages: Sequence[ParsedMessage],
    *,
    first_seq: int,
    known: Known,
    now: int,
    digests: Digests | None = None,
) -> AppendDecision:
    """Decides on a batch; its first message is number `first_seq` of its producer."""
    expected = producer.last_seq + 1
    skip = max(0, min(expected - first_seq, len(messages)))
    new = messages[skip:] if skip else messages
    if not new:
        captured = bool(messages) and all(message.method == "log_external_stream" for message in messages)
        return _nothing_new(_renew(invocation, producer, captured=captured, now=now), producer, skip=skip)
    late = is_late(invocation, producer, messages, first_seq=first_seq)
    if invocation.verdict in lifecycle.FINAL and not late:
        return TooLate()
    if first_seq > expected:
        return Gap(expected)
    if late and not producer.superseded:
        producer = replace(producer, lineage=replace(producer.lineage, late=True))
    return _append(invocation, producer, new, skip=skip, known=known, now=now, digests=digests)


def is_late(
    invocation: InvocationState, producer: ProducerState, messages: Sequence[ParsedMessage], *, first_seq: int
) -> bool:
    """Whether this is the opening of a producer of which nothing was known when the invocation became `succeeded`."""
    return (
        invocation.verdict == "succeeded"
        and first_seq == 1
        and producer.last_seq == 0
        and producer.name != ANONYMOUS_PRODUCER
        and bool(messages)
        and messages[0].method == "opened"
        and messages[0].problem is None
    )


def _nothing_new(invocation: InvocationState, producer: ProducerState, *, skip: int) -> Append:
    return Append(
        skip=skip,
        first_seq=producer.last_seq + 1,
        first_position=invocation.last_position + 1,
        problems={},
        notes={},
        contents=[],
        invocation=invocation,
        producer=producer,
    )


def _append(
    invocation: InvocationState,
    producer: ProducerState,
    new: Sequence[ParsedMessage],
    *,
    skip: int,
    known: Known,
    now: int,
    digests: Digests | None,
) -> Append | NeedsDigests:
    done = BatchPass(invocation, producer, known=known, now=now, digests=digests)
    done.take(new)
    after = done.producer_after(len(new))
    if after is None:
        return NeedsDigests()
    current, was_active = not producer.superseded, done.was_active
    state = replace(
        invocation,
        last_position=invocation.last_position + len(new),
        last_event_at=now,
        opened_at=done.opened_at,
        status="running" if done.process_spoke and invocation.status == "registered" else invocation.status,
        producers_opened=invocation.producers_opened + current * ((after.opened > 0) - (producer.opened > 0)),
        producers_open=invocation.producers_open + current * (after.is_open - producer.is_open),
        # A word came after all.
        lease_lost=invocation.lease_lost and not (current and was_active),
    )
    return Append(
        skip=skip,
        first_seq=producer.last_seq + 1,
        first_position=invocation.last_position + 1,
        problems=done.problems,
        notes=done.notes,
        contents=done.contents,
        invocation=_renew(state, producer, captured=not was_active, now=now),
        producer=after,
        replaced=frozenset(done.replaced),
    )


def _renew(invocation: InvocationState, producer: ProducerState, *, captured: bool, now: int) -> InvocationState:
    """Captured output alone is the launcher's word, which keeps the lease only until the process can speak itself.

    A superseded producer says nothing of the attempt that counts.
    """
    if producer.superseded or (captured and invocation.opened_at is not None):
        return invocation
    return lifecycle.renew_on_activity(invocation, now=now)

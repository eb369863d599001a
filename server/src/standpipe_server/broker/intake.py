"""What a batch means against what is stored: next in line, a retry, a gap, too late; and which messages are rejected.

The table of the protocol, as one pure function. The store calls it inside the transaction that inserts, with the
invocation's row locked, and carries out what it returns.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import METHODS, PipesException
from standpipe_protocol.problems import Problem
from standpipe_server.broker import lifecycle
from standpipe_server.broker.facts import Check, Closing, ErrorLog, Fact, Materialization, Opening, ParsedMessage
from standpipe_server.broker.ledgers import Digests, judge_ledger, ledger_as_told
from standpipe_server.broker.state import InvocationState, ProducerState, replace

_UNKNOWN = "other"
_NONE_PLAIN: Mapping[str, int] = {}
# Exceptions can be chained without end and carry whole data sets in their text; history keeps the message in full.
_EXCEPTION_TEXT = 16_384
_EXCEPTION_FRAMES = 100
_EXCEPTION_LINKS = 8


class Known(msgspec.Struct, frozen=True, gc=False):
    """What the invocation already holds of the keys that a batch names."""

    materialized: frozenset[str] = frozenset()
    checked: frozenset[tuple[str, str]] = frozenset()


@dataclass(frozen=True, slots=True)
class Gap:
    """The batch starts beyond the next number; the producer resends from `expected_seq`."""

    expected_seq: int


@dataclass(frozen=True, slots=True)
class TooLate:
    """New messages for an invocation whose verdict no longer changes by messages."""


class Append(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Store the messages from `skip` on; everything before is stored already. All offsets count from `skip`."""

    skip: int
    first_seq: int
    first_position: int
    problems: dict[int, Problem]
    notes: dict[int, list[dict[str, JsonValue]]]
    facts: list[tuple[int, Fact]]
    invocation: InvocationState
    producer: ProducerState


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
    """Decides on a batch whose first message is number `first_seq` of its producer."""
    expected = producer.last_seq + 1
    skip = max(0, min(expected - first_seq, len(messages)))
    new = messages[skip:] if skip else messages
    if not new:
        captured = bool(messages) and all(message.method == "log_external_stream" for message in messages)
        return _nothing_new(_hear(invocation, captured=captured, now=now), producer, skip=skip)
    if invocation.verdict in lifecycle.FINAL:
        return TooLate()
    if first_seq > expected:
        return Gap(expected)
    if len(new) == 1 and new[0].plain and new[0].method and invocation.opened_at is not None and not producer.is_closed:
        return _append_plain(invocation, producer, new[0].method, skip=skip, now=now)
    return _append(invocation, producer, new, skip=skip, known=known, now=now, digests=digests)


def _nothing_new(invocation: InvocationState, producer: ProducerState, *, skip: int) -> Append:
    return Append(
        skip=skip,
        first_seq=producer.last_seq + 1,
        first_position=invocation.last_position + 1,
        problems={},
        notes={},
        facts=[],
        invocation=invocation,
        producer=producer,
    )


def _append_plain(invocation: InvocationState, producer: ProducerState, method: str, *, skip: int, now: int) -> Append:
    """What `_append` comes to for one message that is only carried and counted, while its producer has not closed."""
    last_seq = producer.last_seq + 1
    spoke = method != "log_external_stream"
    state = replace(
        invocation,
        last_position=invocation.last_position + 1,
        last_event_at=now,
        status="running" if spoke and invocation.status == "registered" else invocation.status,
        lease_lost=invocation.lease_lost and not spoke,
    )
    return Append(
        skip=skip,
        first_seq=last_seq,
        first_position=state.last_position,
        problems={},
        notes={},
        facts=[],
        invocation=_hear(state, captured=not spoke, now=now),
        producer=replace(
            producer,
            last_seq=last_seq,
            numbered=max(producer.numbered, last_seq),
            counts={**producer.counts, method: producer.counts.get(method, 0) + 1},
            heard_at=now,
        ),
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
    problems: dict[int, Problem] = {}
    notes: dict[int, list[dict[str, JsonValue]]] = {}
    facts: list[tuple[int, Fact]] = []
    counts, rejected_counts = dict(producer.counts), dict(producer.rejected_counts)
    materialized, checked = set(known.materialized), set(known.checked)
    opened, closed, opened_at = producer.opened, producer.closed, invocation.opened_at
    exception, process, ledger, told = producer.exception, producer.process, producer.ledger, producer.told
    # While it is open nothing is to be remarked on a plain message: all of them are counted at once.
    unremarkable = opened_at is not None and not (closed > 0 and closed >= opened)
    plain, interesting = _set_plain_apart(new) if unremarkable else (_NONE_PLAIN, enumerate(new))
    for method, count in plain.items():
        counts[method] = counts.get(method, 0) + count
    process_spoke = any(method != "log_external_stream" for method in plain)
    for offset, message in interesting:
        method = message.method if message.method in METHODS else _UNKNOWN
        counts[method] = counts.get(method, 0) + 1
        fact = message.fact
        problem = message.problem
        if problem is None and isinstance(fact, (Materialization, Check)):
            problem = _rejection(fact, invocation=invocation, materialized=materialized)
        if problem is not None:
            problems[offset] = problem
            rejected_counts[method] = rejected_counts.get(method, 0) + 1
            continue
        if method == "log_external_stream":
            continue
        if opened_at is None or closed > 0 or isinstance(fact, Check):
            remarks = _remarks(method, fact, opened_at=opened_at, opened=opened, closed=closed, checked=checked)
            if remarks:
                notes[offset] = remarks
        process_spoke = True
        match fact:
            case Materialization():
                materialized.add(fact.asset_key)
            case Check():
                checked.add((fact.asset_key, fact.check_name))
            case Closing():
                closed += 1
                if fact.exception is not None and exception is None:
                    exception = _shortened(fact.exception).to_wire()
                if fact.ledger is not None:
                    ledger = judge_ledger(
                        fact.ledger, after=producer.last_seq, offset=offset, counts=counts, digests=digests
                    )
                    told = ledger_as_told(fact.ledger)
            case _:
                if method == "opened":
                    opened, opened_at = opened + 1, opened_at if opened_at is not None else now
                    process = fact.process if isinstance(fact, Opening) else process
        if fact is not None:
            facts.append((offset, fact))
    if ledger is None and told is not None:
        return NeedsDigests()
    last_seq = producer.last_seq + len(new)
    after = replace(
        producer,
        last_seq=last_seq,
        numbered=max(producer.numbered, last_seq),
        opened=opened,
        closed=closed,
        rejected=producer.rejected + len(problems),
        counts=counts,
        rejected_counts=rejected_counts,
        ledger=ledger,
        exception=exception,
        first_rejection=producer.first_rejection or _first_rejection(problems, invocation.last_position + 1),
        heard_at=now,
        told=told,
        process=process,
    )
    state = replace(
        invocation,
        last_position=invocation.last_position + len(new),
        last_event_at=now,
        opened_at=opened_at,
        status="running" if process_spoke and invocation.status == "registered" else invocation.status,
        producers_opened=invocation.producers_opened + (after.opened > 0) - (producer.opened > 0),
        producers_open=invocation.producers_open + after.is_open - producer.is_open,
        # A word came after all.
        lease_lost=invocation.lease_lost and not (process_spoke or problems),
    )
    return Append(
        skip=skip,
        first_seq=producer.last_seq + 1,
        first_position=invocation.last_position + 1,
        problems=problems,
        notes=notes,
        facts=facts,
        invocation=_hear(state, captured=not (process_spoke or problems), now=now),
        producer=after,
    )


def _hear(invocation: InvocationState, *, captured: bool, now: int) -> InvocationState:
    """Captured output alone is the launcher's word, which keeps the lease only until the process can speak itself."""
    if captured and invocation.opened_at is not None:
        return invocation
    return lifecycle.hear(invocation, now=now)


def _set_plain_apart(new: Sequence[ParsedMessage]) -> tuple[Mapping[str, int], list[tuple[int, ParsedMessage]]]:
    """How many plain messages there are of each method, and the others with their places.

    A batch that opens or closes changes what is to be remarked on the rest of it, so there nothing is plain.
    """
    others = [(offset, message) for offset, message in enumerate(new) if not message.plain]
    if any(message.method in ("opened", "closed") for _, message in others):
        return {}, list(enumerate(new))
    return Counter(message.method or _UNKNOWN for message in new if message.plain), others


def _rejection(fact: Materialization | Check, *, invocation: InvocationState, materialized: set[str]) -> Problem | None:
    allowed = invocation.asset_keys
    if allowed and fact.asset_key not in allowed:
        expected = f"one of {', '.join(sorted(allowed)[:20])}"
        return Problem(
            "invalid-message",
            f"Asset key {fact.asset_key!r} is not among those of the invocation. Expected {expected}.",
            {"pointer": "/params/asset_key", "expected": expected},
        )
    if isinstance(fact, Materialization) and fact.asset_key in materialized:
        return Problem(
            "duplicate-materialization",
            f"Asset {fact.asset_key!r} has already been materialized in this invocation, so no additional data can be "
            "reported for it.",
            {"asset_key": fact.asset_key},
        )
    return None


def _remarks(
    method: str, fact: Fact, *, opened_at: int | None, opened: int, closed: int, checked: set[tuple[str, str]]
) -> list[dict[str, JsonValue]]:
    remarks: list[dict[str, JsonValue]] = []
    if opened_at is None and method != "opened":
        remarks.append({"code": "before-opened", "detail": "Reported before any `opened`."})
    if closed > 0 and closed >= opened and method != "opened":
        remarks.append({"code": "after-closed", "detail": "Reported after this producer's `closed`."})
    if isinstance(fact, Check) and (fact.asset_key, fact.check_name) in checked:
        detail = f"Check {fact.check_name!r} of asset {fact.asset_key!r} was reported before in this invocation."
        remarks.append({"code": "repeated-check", "detail": detail})
    return remarks


def _first_rejection(problems: dict[int, Problem], first_position: int) -> str | None:
    for offset, problem in problems.items():
        return f"position {first_position + offset}: {problem.detail}"[:1000]
    return None


def _shortened(exception: PipesException, *, links: int = _EXCEPTION_LINKS) -> PipesException:
    return PipesException(
        message=exception.message[:_EXCEPTION_TEXT],
        stack=tuple(frame[:_EXCEPTION_TEXT] for frame in exception.stack[:_EXCEPTION_FRAMES]),
        name=exception.name,
        cause=_shortened(exception.cause, links=links - 1) if exception.cause and links else None,
        context=_shortened(exception.context, links=links - 1) if exception.context and links else None,
    )


def error_summary(fact: Fact, problem: Problem | None) -> tuple[str, str] | None:
    """The kind (`exception`, `rejected`, `log`) and one line of text, for the index of first errors."""
    if problem is not None:
        return "rejected", problem.detail[:512]
    match fact:
        case Closing(exception=PipesException() as exception):
            return "exception", exception.message.strip()[:512]
        case ErrorLog():
            return "log", fact.message[:512]
        case _:
            return None

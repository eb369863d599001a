"""The delivery receipt: what the producers say they sent against what is stored, in numbers and in one sentence.

Pure. A receipt is whole when it is known that everything sent is stored: a process opened (or none had to), each that
opened has closed, nothing that got a number is missing and no ledger disagrees. Superseded producers are listed and
take nothing from it. Whether the work was good is the verdict's business.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.outcome.ledgers import AGREES
from standpipe_server.broker.values.state import InvocationState, ProducerState
from standpipe_server.broker.values.times import to_rfc3339

LISTED_PRODUCERS = 100
_NAMED = 3
"""Troubles that the sentence names; the rest it counts."""


def make_receipt(
    invocation: InvocationState, producers: Sequence[ProducerState], *, judged_by_launcher: bool = False
) -> dict[str, JsonValue]:
    """The receipt of an invocation that ends now, or gets its verdict computed again."""
    by_method: Counter[str] = Counter()
    for producer in producers:
        by_method.update(producer.counts)
    troubles = list(_troubles(producers, opened=not judged_by_launcher))
    sent, stored = sum(map(sent_by, producers)), sum(producer.last_seq for producer in producers)
    dropped = sum(map(dropped_logs, producers))
    return {
        "events": invocation.last_position,
        "rejected": sum(producer.rejected for producer in producers),
        "by_method": dict(by_method),
        "sent": sent,
        "stored": stored,
        "dropped_logs": dropped,
        "whole": not troubles,
        "summary": _sentence(sent=sent, stored=stored, dropped=dropped, troubles=troubles),
        # Those of older attempts last, so that a hundred of them hide none that counts.
        "producers": [_entry(each) for each in sorted(producers, key=lambda one: one.superseded)[:LISTED_PRODUCERS]],
    }


def producer_members(producer: ProducerState) -> dict[str, JsonValue]:
    """A producer as the invocation shows it, running or ended."""
    return {
        "producer": producer.name,
        "process": dict(producer.process) if producer.process else None,
        "opened": producer.opened > 0,
        "closed": producer.is_closed,
        "stored": producer.last_seq,
        "numbered": producer.numbered,
        "rejected": producer.rejected,
        "last_word_at": None if producer.heard_at is None else to_rfc3339(producer.heard_at),
        "role": producer.lineage.role,
        "parent": producer.lineage.parent,
        "attempt": None if producer.attempt is None else list(producer.attempt),
        "attempt_name": producer.lineage.attempt_name,
        "superseded": producer.superseded,
        "end": None if producer.lineage.end is None else dict(producer.lineage.end),
    }


def is_complete(producers: Sequence[ProducerState], *, opened: bool = True) -> bool:
    """Whether everything that these sent is known to be stored; with `opened` a process must be among them."""
    return next(_troubles(producers, opened=opened), None) is None


def describe(producer: ProducerState) -> str:
    """A producer in a sentence: `producer py-3f (rank 2, host n7, pid 41)`."""
    declared = [f"{name.replace('_', ' ')} {value}" for name, value in (producer.process or {}).items()]
    return f"producer {producer.name}" + (f" ({', '.join(declared)})" if declared else "")


def silent_since(producer: ProducerState) -> str:
    """`, silent since 2026-01-31T12:04:00Z`; empty where nothing is known of it."""
    if producer.heard_at is None:
        return ""
    return f", silent since {to_rfc3339(producer.heard_at)[:19]}Z"


def sent_by(producer: ProducerState) -> int:
    """How many messages it says it sent; where it does not say, what is stored. Of a superseded one that is enough."""
    if producer.superseded:
        return producer.last_seq
    declared = producer.declared.get("messages") if producer.declared else None
    return max(producer.numbered, producer.last_seq, declared if isinstance(declared, int) else 0)


def dropped_logs(producer: ProducerState) -> int:
    declared = producer.declared.get("dropped_logs") if producer.declared else None
    return declared if isinstance(declared, int) else 0


def _entry(producer: ProducerState) -> dict[str, JsonValue]:
    declared = producer.declared or {}
    return {
        **producer_members(producer),
        "sent": sent_by(producer),
        "dropped_logs": dropped_logs(producer),
        "ledger": producer.ledger or "none",
        "sha256": declared.get("sha256") if producer.ledger == AGREES else None,
    }


def _troubles(producers: Sequence[ProducerState], *, opened: bool) -> Iterator[str]:
    if opened and not any(producer.is_process and not producer.superseded for producer in producers):
        yield "no process opened"
    for producer in producers:
        if producer.superseded:
            continue
        missing = max(producer.numbered, producer.last_seq) - producer.last_seq
        if missing:
            yield f"{missing} of {describe(producer)} never arrived"
        if producer.ledger not in (None, AGREES):
            yield f"the ledger of {describe(producer)} disagrees"
        if producer.is_open:
            yield f"{describe(producer)} never closed{silent_since(producer)}"


def _sentence(*, sent: int, stored: int, dropped: int, troubles: Sequence[str]) -> str:
    parts = [f"sent {sent}", f"stored {stored}"]
    if troubles:
        parts += troubles[:_NAMED]
        parts += [f"and {len(troubles) - _NAMED} more"] if len(troubles) > _NAMED else []
    else:
        parts.append("no gap")
    if dropped:
        parts.append(f"{dropped} log lines dropped before they got a number")
    return ", ".join(parts)

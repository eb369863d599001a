"""The delivery receipt: what the producers say they sent against what is stored, in numbers and in one sentence.

Pure. A receipt is whole when it is known that everything sent is stored: a process opened (or none had to), each that
opened has closed, nothing that got a number is missing and no ledger disagrees. Superseded producers are listed and
take nothing from it. Whether the work was good is the verdict's business.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import Ledger
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


AGREES = "agrees"
_SHOWN = 12
"""Characters of a digest in a sentence: enough to compare two by eye."""
_SENTENCES = 3_000
_LARGEST = 2**53
_SHA256 = re.compile("[0-9a-f]{64}")


class Digests(msgspec.Struct, frozen=True, gc=False):
    """SHA-256 over a producer's messages before each `closed` of a batch, in hex, by the number of the `closed`.

    Good as long as `after` is the producer's last stored number.
    """

    after: int
    by_seq: Mapping[int, str]


def judge_ledger(
    ledger: Ledger, *, after: int, offset: int, counts: Mapping[str, int], digests: Digests | None
) -> str | None:
    """`agrees`, or a sentence that names what does not; None: a digest is needed first.

    Args:
        after: the producer's last number before the batch.
        offset: the place of the `closed` that brought it, among the batch's new messages.
        counts: what is stored of the producer by method, this `closed` included.
    """
    seq = after + offset + 1
    sha256 = digests.by_seq.get(seq) if digests is not None and digests.after == after else None
    readable = _is_digest(ledger.sha256)
    if readable and sha256 is None:
        return None
    wrong: list[str] = []
    if ledger.messages != seq:
        wrong.append(f"It sent {ledger.messages} messages through its `closed`, which is stored as its number {seq}.")
    if ledger.last_seq is not None and ledger.last_seq != seq:
        wrong.append(f"Its `closed` had the number {ledger.last_seq} and is stored as number {seq}.")
    if ledger.by_method and dict(ledger.by_method) != dict(counts):
        wrong.append(f"It counted {dict(ledger.by_method)}, but {dict(counts)} are stored.")
    if ledger.sha256 is not None and not readable:
        wrong.append("Its `sha256` is no SHA-256 in 64 hexadecimal digits.")
    elif ledger.sha256 is not None and ledger.sha256 != sha256:
        declared, stored = ledger.sha256[:_SHOWN], (sha256 or "")[:_SHOWN]
        wrong.append(f"What it sent before its `closed` has the SHA-256 {declared}…, what is stored of it {stored}….")
    return " ".join(wrong)[:_SENTENCES] or AGREES


def ledger_as_declared(ledger: Ledger) -> dict[str, JsonValue]:
    """What is kept of a ledger, as far as it makes sense; its counts by method are the server's own, or are named in
    the disagreement."""
    counts = {"messages": ledger.messages, "last_seq": ledger.last_seq, "dropped_logs": ledger.dropped_logs}
    members: dict[str, JsonValue] = {
        name: count for name, count in counts.items() if count is not None and 0 <= count < _LARGEST
    }
    if _is_digest(ledger.sha256):
        members["sha256"] = ledger.sha256
    return members


def _is_digest(text: str | None) -> bool:
    return text is not None and _SHA256.fullmatch(text) is not None

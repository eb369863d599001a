"""Ledgers: what a producer says it sent, against what is stored of it.

Pure, and the only place where the two are compared. A ledger with a SHA-256 is judged only when that of the stored
messages is known; reading them again is the store's business.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import Ledger

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

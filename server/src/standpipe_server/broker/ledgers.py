"""Ledgers: what a producer says it sent, against what is stored of it.

Pure, and the only place where the two are compared. A ledger with a SHA-256 is judged only when that of the stored
messages is known; reading them again is the store's business.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import Ledger

AGREES = "agrees"
_SHOWN = 12
"""Characters of a digest in a sentence: enough to compare two by eye."""


class Digests(msgspec.Struct, frozen=True, gc=False):
    """SHA-256 over a producer's messages before each `closed` of a batch, in hex, by the number of the `closed`.

    Good as long as `after` is the producer's last stored number.
    """

    after: int
    by_seq: Mapping[int, str]

    def before(self, seq: int, *, after: int) -> str | None:
        """The digest for the `closed` with this number, if it still holds."""
        return self.by_seq.get(seq) if self.after == after else None


def judge_ledger(ledger: Ledger, *, seq: int, counts: Mapping[str, int], sha256: str | None) -> str:
    """`agrees`, or a sentence that names what does not.

    Args:
        seq: the number under which the `closed` that brought it is stored.
        counts: what is stored of the producer by method, this `closed` included.
        sha256: that of the messages stored before it; needed when the ledger tells one.
    """
    wrong: list[str] = []
    if ledger.messages != seq:
        wrong.append(f"It sent {ledger.messages} messages through its `closed`, which is stored as its number {seq}.")
    if ledger.last_seq is not None and ledger.last_seq != seq:
        wrong.append(f"Its `closed` had the number {ledger.last_seq} and is stored as number {seq}.")
    if ledger.by_method and dict(ledger.by_method) != dict(counts):
        wrong.append(f"It counted {dict(ledger.by_method)}, but {dict(counts)} are stored.")
    if ledger.sha256 is not None and ledger.sha256 != sha256:
        told, stored = ledger.sha256[:_SHOWN], (sha256 or "unknown")[:_SHOWN]
        wrong.append(f"What it sent before its `closed` has the SHA-256 {told}…, what is stored of it {stored}….")
    return " ".join(wrong) or AGREES


def ledger_as_told(ledger: Ledger) -> dict[str, JsonValue]:
    """What is kept of a ledger; its counts by method are the server's own or are named in the disagreement."""
    wire = ledger.to_wire()
    del wire["by_method"]
    return wire

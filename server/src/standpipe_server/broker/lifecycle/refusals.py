"""Requests with messages that were refused as a whole: what was in them is not stored, and nothing else would say so.

Numbered messages show as a gap by themselves; this is for requests without numbers. One body, or one Idempotency-Key,
counts once, and not any more when it is stored after all. Invariant: what is kept is bounded, however many there are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.problems import Problem
from standpipe_server.broker.values.masking import mask_text
from standpipe_server.broker.values.state import InvocationState

MOST_SHOWN = 20
"""Refusals that are told one by one; the rest is counted."""
_MOST_REMEMBERED = 128
"""Refusals that are known again when they come again."""
_MOST_KEYS = 2
"""Idempotency-Keys under which one body is known again."""
_SHOWN_CHARACTERS = 200
_LOOKED_AT_BYTES = 2_000
_LONGEST_DETAIL = 300
_MARK_CHARACTERS = 16
_STATUSES = frozenset({400, 413, 415, 422})


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was refused."""

    problem: Problem
    length: int
    """Of the body, in bytes."""
    start: bytes
    """How the body begins."""
    digest: bytes
    """SHA-256 of the body, or of what is known of one that was not read."""
    key: str | None = None
    """Its Idempotency-Key."""

    @property
    def detail(self) -> str:
        return mask_text(self.problem.detail)[:_LONGEST_DETAIL]

    def to_wire(self) -> dict[str, JsonValue]:
        """What the history says of it."""
        start = self.start[:_LOOKED_AT_BYTES].decode("utf-8", "backslashreplace")
        return {
            "problem": self.problem.name,
            "status": self.problem.status,
            "detail": self.detail,
            "length": self.length,
            "start": mask_text(start, length=_SHOWN_CHARACTERS),
        }


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A refusal that is remembered."""

    body: str
    """What the body is known again by; so are the keys."""
    keys: tuple[str, ...] = ()
    counts: bool = True
    """For the verdict: it came before a good end, and was not stored since."""
    why: str = ""
    """What it was refused for; of those that are shown."""


class Refusals(msgspec.Struct, frozen=True, omit_defaults=True):
    """All refused requests of an invocation."""

    count: int = 0
    standing: int = 0
    """Those that count for the verdict."""
    last_at: int = 0
    """When the last one came that was not known."""
    entries: tuple[Entry, ...] = ()


NONE = Refusals()


def leaves_trace(problem: Problem) -> bool:
    """Whether a refusal of messages without numbers says that a report is missing."""
    return problem.status in _STATUSES and problem.members.get("stored") is not True


def refuse(refusals: Refusals, refusal: Refusal, *, invocation: InvocationState, stored: bool, now: int) -> Refusals:
    """The refusals with one more; the same ones if it is known. `stored`: a request under its key is."""
    body, key = _mark(refusal.digest), None if refusal.key is None else _mark(refusal.key.encode())
    for index, entry in enumerate(refusals.entries):
        if body == entry.body or key in entry.keys:
            if key is None or key in entry.keys or len(entry.keys) >= _MOST_KEYS:
                return refusals
            known = msgspec.structs.replace(entry, keys=(*entry.keys, key))
            entries = (*refusals.entries[:index], known, *refusals.entries[index + 1 :])
            return msgspec.structs.replace(refusals, entries=entries)
    counts = not stored and not _has_a_good_end(invocation)
    entries = refusals.entries
    if len(entries) < _MOST_REMEMBERED:
        keys = () if key is None else (key,)
        detail = refusal.detail.removesuffix(" Nothing was stored.")
        why = f"{refusal.problem.name}: {detail}" if len(entries) < MOST_SHOWN else ""
        entries = (*entries, Entry(body, keys, counts, why))
    return Refusals(refusals.count + 1, refusals.standing + counts, now, entries)


def take_back(refusals: Refusals, *, digest: bytes, key: str | None) -> Refusals:
    """The refusals once a request with this body or key is stored; the same ones if it was none of them."""
    body, mark = _mark(digest), None if key is None else _mark(key.encode())
    entries = tuple(
        msgspec.structs.replace(entry, counts=False)
        if entry.counts and (entry.body == body or mark in entry.keys)
        else entry
        for entry in refusals.entries
    )
    withdrawn = sum(before.counts != after.counts for before, after in zip(refusals.entries, entries, strict=True))
    if not withdrawn:
        return refusals
    return msgspec.structs.replace(refusals, standing=refusals.standing - withdrawn, entries=entries)


def reason(refusals: Refusals) -> Mapping[str, JsonValue] | None:
    """What makes the verdict incomplete; None when nothing does."""
    if not refusals.standing:
        return None
    requests = "request with messages was" if refusals.standing == 1 else "requests with messages were"
    detail = f"{refusals.standing} {requests} refused, and nothing of that is stored."
    if why := next((entry.why for entry in refusals.entries if entry.counts), ""):
        detail += f" The first: {why}"
    return {"code": "refused-requests", "detail": detail, "count": refusals.standing}


def _mark(content: bytes) -> str:
    """What a body or a key is known again by."""
    return hashlib.sha256(content).hexdigest()[:_MARK_CHARACTERS]


def _has_a_good_end(invocation: InvocationState) -> bool:
    return invocation.ended and invocation.verdict in ("succeeded", "cancelled")

"""What the rules know of an invocation and its producers. Frozen: a decision returns the state as it is afterwards.

Instants are microseconds since the epoch, durations seconds. The two states are made anew for every message that comes
alone, so they are msgspec's structs, which are made ten times as fast as frozen dataclasses; `replace` is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
from msgspec import field
from msgspec.structs import replace

from standpipe_protocol.invocation import Expected, Status, VerdictName
from standpipe_protocol.json_text import JsonValue

__all__ = ["Finish", "InvocationState", "ProducerState", "replace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The launcher's word on how the process ended; each part may be unknown."""

    exit_code: int | None = None
    reason: str | None = None
    launched: bool | None = None

    def to_wire(self) -> dict[str, JsonValue]:
        return {"exit_code": self.exit_code, "reason": self.reason, "launched": self.launched}


class ProducerState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One producer of an invocation, as far as its messages are stored."""

    pk: int
    name: str
    last_seq: int = 0
    numbered: int = 0
    """The highest number the producer said it gave out; more than `last_seq` means a tail is missing."""
    opened: int = 0
    closed: int = 0
    rejected: int = 0
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    """Stored messages by method, rejected ones included."""
    rejected_counts: Mapping[str, int] = field(default_factory=dict[str, int])
    ledger: str | None = None
    """None: it sent no ledger; "agrees"; or what it disagrees about, as a sentence."""
    exception: Mapping[str, JsonValue] | None = None
    """The first exception it closed with."""
    first_rejection: str | None = None
    heard_at: int | None = None
    """When its last word came."""
    told: Mapping[str, JsonValue] | None = None
    """The ledger it sent, without its counts by method."""
    process: Mapping[str, JsonValue] | None = None
    """What it told of itself when it opened: rank, host, pid."""

    @property
    def is_open(self) -> bool:
        return self.opened > 0 and not self.is_closed

    @property
    def is_closed(self) -> bool:
        return self.closed > 0 and self.closed >= self.opened


class InvocationState(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One invocation, as far as rules and deadlines need it."""

    pk: int
    id: str
    created_at: int
    open_within: float
    settle: float
    status: Status = "registered"
    verdict: VerdictName | None = None
    reasons: tuple[Mapping[str, JsonValue], ...] = ()
    revision: int = 0
    last_position: int = 0
    asset_keys: frozenset[str] = frozenset()
    """Canonical keys that may be reported; empty means any."""
    partition_key: str | None = None
    expected: Expected = field(default_factory=Expected)
    opened_at: int | None = None
    ended_at: int | None = None
    last_event_at: int | None = None
    lease_seconds: float
    lease_expires_at: int | None = None
    """None as long as no lease runs."""
    lease_lost: bool = False
    cancel_requested_at: int | None = None
    finish: Finish | None = None
    producers_opened: int = 0
    producers_open: int = 0
    """Producers that opened and have not closed."""
    receipt: Mapping[str, JsonValue] | None = None

    @property
    def ended(self) -> bool:
        return self.status == "ended"

"""What the rules know of an invocation and its producers. Frozen: a decision returns the state as it is afterwards.

Instants are microseconds since the epoch, durations seconds. The two states are made anew for every message that comes
alone, so they are msgspec's structs, which are made ten times as fast as frozen dataclasses; `replace` is theirs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec import field
from msgspec.structs import replace

from standpipe_protocol.invocation import Expected, Status, VerdictName
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.process_end import Attempt, Cause, Outcome, parse_cause

__all__ = ["AttemptNumbers", "Finish", "InvocationState", "Lineage", "ProducerState", "replace"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finish:
    """The launcher's word on how the process ended; each part may be unknown."""

    exit_code: int | None = None
    reason: str | None = None
    launched: bool | None = None
    outcome: Outcome | None = None
    cause: Cause | None = None
    about: Attempt | None = None
    """The attempt that the whole word is about; None: the work as such."""

    def to_wire(self) -> dict[str, JsonValue]:
        wire: dict[str, JsonValue] = {
            "exit_code": self.exit_code,
            "reason": self.reason,
            "launched": self.launched,
        }
        if self.outcome is not None:
            wire["outcome"] = self.outcome
        if self.cause is not None:
            wire["cause"] = self.cause.to_wire()
        if self.about is not None:
            wire["about"] = list(self.about)
        return wire

    @classmethod
    def from_wire(cls, wire: Mapping[str, Any]) -> Finish:
        """Reads what `to_wire` wrote."""
        about = wire.get("about")
        members: dict[str, Any] = {**wire, "cause": parse_cause(wire.get("cause"))}
        members["about"] = None if about is None else tuple(about)
        return cls(**members)

    @property
    def says_more(self) -> bool:
        """Than how the end was worded."""
        return (self.exit_code, self.launched, self.outcome, self.cause) != (None, None, None, None)


class Lineage(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a producer comes from, as its `opened` says, and how it ended. Most have little of it."""

    role: str | None = None
    parent: str | None = None
    own_attempt: Attempt | None = None
    rank_attempt: Attempt = ()
    attempt_name: str | None = None
    launcher_attempt: Attempt = ()
    """The launcher's newest number when it opened."""
    begun_at: int | None = None
    """When it sent its `opened`, by its own clock, and no later than the server got it."""
    late: bool = False
    """It opened after `succeeded`."""
    closed_position: int | None = None
    close_signal: str | None = None
    """The signal because of which it closed by itself with its exception."""
    end: dict[str, Any] | None = None
    """What a supervisor reported of its process's end, as `Finish.to_wire` writes it."""


class AttemptNumbers(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is known of an invocation's attempts; None in its place as long as nothing has a number."""

    newest: Attempt = ()
    """The highest number of the whole job."""
    launcher: Attempt = ()
    """The last number that the launcher gave without a name."""
    names: Mapping[str, Attempt] = field(default_factory=dict[str, Attempt])
    ranks: bool = False
    """Some rank was started again."""
    orphans: bool = False
    """A producer opened before its parent did."""
    began_at: int | None = None
    """When the newest number was learnt."""


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
    """Its last activity."""
    declared: Mapping[str, JsonValue] | None = None
    """The ledger it sent, without its counts by method."""
    process: Mapping[str, JsonValue] | None = None
    """What it told of itself when it opened: rank, host, pid."""
    attempt: Attempt | None = None
    """Its number of the whole job; None where the invocation has no numbers."""
    superseded: bool = False
    """A newer attempt has begun: nothing of it counts for the verdict."""
    lineage: Lineage = Lineage()

    @property
    def is_supervisor(self) -> bool:
        return self.lineage.role == "supervisor"

    @property
    def is_process(self) -> bool:
        """It opened as the work, or a part of it."""
        return self.opened > 0 and not self.is_supervisor

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
    pipes_optional: bool = False
    """Where no process opens, the launcher's word is the verdict."""
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
    """Producers that opened and are not superseded, supervisors included; so are the next."""
    producers_open: int = 0
    """Of these, those that have not closed."""
    receipt: Mapping[str, JsonValue] | None = None
    attempts: AttemptNumbers | None = None
    judged_by: str | None = None
    notes: tuple[Mapping[str, JsonValue], ...] = ()
    """What was known at the end and made nothing red."""

    @property
    def ended(self) -> bool:
        return self.status == "ended"

"""Invocations and events as the HTTP surface shows them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, Literal, TypeAlias, TypeVar

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.process_end import read_attempt

Status: TypeAlias = Literal["registered", "running", "ended"]
STATUSES: tuple[Status, ...] = ("registered", "running", "ended")
VerdictName: TypeAlias = Literal["succeeded", "failed", "cancelled", "lost", "incomplete"]
VERDICTS: tuple[VerdictName, ...] = ("succeeded", "failed", "cancelled", "lost", "incomplete")

_Kind = TypeVar("_Kind", "Reason", "Invocation", "Event")

PRODUCER_HEADER = "Standpipe-Producer"
FIRST_SEQ_HEADER = "Standpipe-First-Seq"
NUMBERED_HEADER = "Standpipe-Numbered"
"""Optional, on appends: how many messages the producer has numbered so far, so that a missing tail can be named."""

DEFAULT_SETTLE_SECONDS = 10.0
DEFAULT_SETTLE_SECONDS_WITH_LAUNCHER = 300.0
DEFAULT_OPEN_WITHIN_SECONDS = 24 * 3600.0
DEFAULT_LEASE_SECONDS = 60.0
"""How long one heartbeat holds, where the registration did not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a verdict is what it is: a code for programs, a sentence for people."""

    code: str = ""
    detail: str = ""
    cause: Mapping[str, JsonValue] | None = None
    """As the launcher or a supervisor gave it: code, detail and their like."""
    details: Sequence[Mapping[str, JsonValue]] = ()
    """What this reason explains, each with a code and a detail of its own."""
    producer: str | None = None
    """The producer that it is about; so are the next members, each where the reason has it."""
    exception: Mapping[str, JsonValue] | None = None
    exit_code: int | None = None
    end: str | None = None
    """The end of what the work printed."""
    asset_key: str | None = None
    check_name: str | None = None
    count: int | None = None

    def to_wire(self) -> dict[str, JsonValue]:
        return {"code": self.code, "detail": self.detail}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpectedCheck:
    asset_key: str
    check_name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must have been reported for an invocation to be `succeeded`; each part optional."""

    asset_keys: tuple[str, ...] = ()
    checks: tuple[ExpectedCheck, ...] = ()
    custom_messages: int | None = None
    """At least this many."""

    def to_wire(self) -> dict[str, JsonValue]:
        wire: dict[str, JsonValue] = {}
        if self.asset_keys:
            wire["asset_keys"] = list(self.asset_keys)
        if self.checks:
            wire["checks"] = [{"asset_key": c.asset_key, "check_name": c.check_name} for c in self.checks]
        if self.custom_messages is not None:
            wire["custom_messages"] = self.custom_messages
        return wire


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """What every answer to the external process carries."""

    cancel_requested: bool = False
    superseded: bool = False
    """A newer attempt has begun: the producer that asked is to stop reporting."""

    def to_wire(self) -> dict[str, JsonValue]:
        wire: dict[str, JsonValue] = {"cancel_requested": self.cancel_requested}
        if self.superseded:
            wire["superseded"] = True
        return wire

    @classmethod
    def from_wire(cls, wire: JsonValue) -> Control:
        members = wire if isinstance(wire, dict) else {}
        return cls(
            cancel_requested=members.get("cancel_requested") is True, superseded=members.get("superseded") is True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """One invocation as a client reads it. Times are RFC 3339 UTC text."""

    id: str
    status: Status
    verdict: VerdictName | None = None
    reasons: tuple[Reason, ...] = ()
    revision: int = 0
    last_position: int = 0
    cancel_requested: bool = False
    created_at: str | None = None
    opened_at: str | None = None
    ended_at: str | None = None
    lease_expires_at: str | None = None
    retry_of: str | None = None
    context: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    expected: Mapping[str, JsonValue] | None = None
    launcher: JsonValue = None
    pipes: str = "required"
    """`required` or `optional`, as registered."""
    exit_code: int | None = None
    """As the launcher's last word has it; so are the next two."""
    outcome: str | None = None
    cause: Mapping[str, JsonValue] | None = None
    badge: str | None = None
    """The worst of verdict, checks and completeness in one word; None from a server that does not say it."""
    judged_by: str | None = None
    """`launcher` where no process opened and its word is the verdict."""
    judge: str | None = None
    """The same in words: `by exit code` or `by launcher`."""
    notes: Sequence[Mapping[str, JsonValue]] = ()
    """What is known besides and made nothing red, each `{"code", "detail"}`."""
    platform: Mapping[str, JsonValue] | None = None
    """The newest values that the launcher gave on the way: state, platform, job_id, node and their like."""
    waiting: str | None = None
    """What the launcher says of work of which no process, or none of the newest attempt, has opened."""
    stages: Sequence[Mapping[str, JsonValue]] = ()
    """Queue time, start and run of the newest attempt, each `{"name", "begin", "end"}`."""
    attempt: Sequence[int] | None = None
    """The newest number of the whole job."""
    attempts: Sequence[Mapping[str, JsonValue]] = ()
    """Newest first; in the same place as `producers`."""
    receipt: Mapping[str, JsonValue] | None = None
    producers: Sequence[Mapping[str, JsonValue]] = ()
    """Who writes into it, as its own address shows them and no list: those that have not closed first, and of them the
    one that was silent longest."""
    description: str | None = None
    """How it stands, in a sentence or two; in the same place, and so is the next."""
    ends: Sequence[Mapping[str, JsonValue]] = ()
    """What was said of the end of the work, each `{"producer", "description", "detail"}`."""
    expected_progress: Mapping[str, JsonValue] | None = None
    """What of `expected` has come and what is missing."""
    failed_checks: Mapping[str, JsonValue] | None = None
    """How many checks did not pass: `{"error": n, "warn": n}`."""
    duration_seconds: float | None = None
    usual_seconds: float | None = None
    """The median of the last green ones of its kind, where that was asked."""
    heard_at: str | None = None
    """When the last word of it came."""
    pinned: bool = False
    matched: Sequence[Mapping[str, JsonValue]] = ()
    """Where a searched text was found, each `{"in", "text"}`."""

    @property
    def ended(self) -> bool:
        return self.status == "ended"

    @classmethod
    def from_wire(cls, wire: Mapping[str, JsonValue]) -> Invocation:
        """Reads an invocation; members this client does not know are ignored.

        Raises:
            ValueError: `id` or `status` is missing.
        """
        status = wire.get("status")
        if not isinstance(wire.get("id"), str) or status not in STATUSES:
            raise ValueError(f"Expected an invocation with `id` and `status`, got members {sorted(wire)}.")
        return _read(cls, wire)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A stored message: position 1, 2, 3 ... per invocation without gaps."""

    position: int
    producer: str = ""
    seq: int = 0
    method: str | None = None
    """None when what was stored as rejected had no method."""
    params: JsonValue = None
    received_at: str = ""
    sent_at: str | None = None
    problem: Mapping[str, JsonValue] | None = None
    """Why the message was rejected. A rejected message counts for nothing but history and verdict."""
    notes: Sequence[Mapping[str, JsonValue]] = ()
    """Remarks on an accepted message, each `{"code", "detail"}`."""
    details: Mapping[str, JsonValue] | None = None
    ledger: Mapping[str, JsonValue] | None = None
    raw: JsonValue = None
    """What was sent where it was no object."""
    metadata: Mapping[str, JsonValue] | None = None
    """Of a report in normal form, where that was asked for."""
    description: str | None = None
    """Of a process's end in words, where the normal form was asked for."""

    @property
    def rejected(self) -> bool:
        return self.problem is not None

    @classmethod
    def from_wire(cls, wire: Mapping[str, JsonValue]) -> Event:
        """Reads an event.

        Raises:
            ValueError: `position` is missing.
        """
        if not isinstance(wire.get("position"), int):
            raise ValueError(f"Expected an event with an integer `position`, got members {sorted(wire)}.")
        return _read(cls, wire)


def _read(kind: type[_Kind], wire: Mapping[str, JsonValue]) -> _Kind:
    """The members that are there with the type of their field; what is missing, or odd, is as its default says."""
    members: dict[str, Any] = {}
    for name, read in _members(kind):
        value = read(wire.get(name))
        if value is not None:
            members[name] = value
    return kind(**members)


@cache
def _members(kind: type) -> tuple[tuple[str, Callable[[JsonValue], object]], ...]:
    return tuple((each.name, _READERS[str(each.type)]) for each in fields(kind))


def _text(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _integer(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: JsonValue) -> float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def _flag(value: JsonValue) -> bool | None:
    return value if isinstance(value, bool) else None


def _object(value: JsonValue) -> Mapping[str, JsonValue] | None:
    return value if isinstance(value, dict) else None


def _objects(value: JsonValue) -> Sequence[Mapping[str, JsonValue]] | None:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else None


def _reasons(value: JsonValue) -> tuple[Reason, ...] | None:
    return tuple(_read(Reason, one) for one in _objects(value) or ())


# By the annotation of the field. What programs sent may be anything.
_READERS: Mapping[str, Callable[[JsonValue], object]] = {
    "str": _text,
    "str | None": _text,
    "Status": _text,
    "VerdictName | None": _text,
    "int": _integer,
    "int | None": _integer,
    "float | None": _number,
    "bool": _flag,
    "Mapping[str, JsonValue]": _object,
    "Mapping[str, str]": _object,
    "Mapping[str, JsonValue] | None": _object,
    "Sequence[Mapping[str, JsonValue]]": _objects,
    "tuple[Reason, ...]": _reasons,
    "Sequence[int] | None": read_attempt,
    "JsonValue": lambda value: value,
}

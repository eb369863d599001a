"""How a process ended, as the program that launched it reports it: outcome, exit code and cause.

The body of `finish` and the parameters of `report_process_end` have these members. Also the number of an attempt, which
several bodies carry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from standpipe_protocol.json_text import JsonValue, json_kind
from standpipe_protocol.members import InvalidMember, Members

Outcome: TypeAlias = Literal["succeeded", "failed", "cancelled", "not-launched", "unknown"]
OUTCOMES: tuple[Outcome, ...] = ("succeeded", "failed", "cancelled", "not-launched", "unknown")
CAUSE_CODES: tuple[str, ...] = (
    "out-of-memory",
    "evicted",
    "preempted",
    "timeout",
    "node-lost",
    "image-not-found",
    "quota",
    "stopped-outside",
    "platform-error",
)
"""What platforms do; other codes are stored and shown as well."""
Attempt: TypeAlias = tuple[int, ...]
"""Whole numbers, compared in order, without trailing zeros. `()` is the first attempt, and that of no number."""

ATTEMPT_NUMBERS = 8
"""The most numbers of an attempt."""
_ATTEMPT_WORDS = f"a whole number, or a list of 1 to {ATTEMPT_NUMBERS} of them"
NAME_CHARACTERS = 128
REASON_CHARACTERS = 65_536
_DETAIL_CHARACTERS = 4_096
_NODE_CHARACTERS = 512
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CODE_WORDS = "1 to 64 letters, digits, dots, hyphens or underscores"
_MOST = 2**53


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a process ended. `detail` is the platform's own sentence."""

    code: str
    detail: str
    signal: str | int | None = None
    exit_code: int | None = None
    peak_memory_bytes: int | None = None
    node: str | None = None
    attempt: Attempt | None = None
    """Which attempt this is about."""

    def to_wire(self) -> dict[str, JsonValue]:
        wire: dict[str, JsonValue] = {"code": self.code, "detail": self.detail}
        for name in ("signal", "exit_code", "peak_memory_bytes", "node"):
            if (value := getattr(self, name)) is not None:
                wire[name] = value
        if self.attempt is not None:
            wire["attempt"] = list(self.attempt) or [0]
        return wire


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessEnd:
    """How a process ended; each part may be unknown."""

    outcome: Outcome | None = None
    exit_code: int | None = None
    cause: Cause | None = None
    reason: str | None = None
    """The end of what it printed, or why it failed."""

    def to_wire(self) -> dict[str, JsonValue]:
        """The members that are known."""
        wire: dict[str, JsonValue] = {}
        if self.outcome is not None:
            wire["outcome"] = self.outcome
        if self.exit_code is not None:
            wire["exit_code"] = self.exit_code
        if self.cause is not None:
            wire["cause"] = self.cause.to_wire()
        if self.reason is not None:
            wire["reason"] = self.reason
        return wire


def parse_process_end(
    wire: Mapping[str, JsonValue], *, pointer: str = "", error: type[InvalidMember] = InvalidMember
) -> ProcessEnd:
    """Reads the members of an end, ignoring others; raises InvalidMember for a wrong shape."""
    members = Members(wire, pointer=pointer, error=error)
    outcome, reason = wire.get("outcome"), members.optional_string("reason")
    if outcome is not None and outcome not in OUTCOMES:
        raise members.wrong("outcome", f"one of {', '.join(OUTCOMES)}")
    return ProcessEnd(
        outcome=outcome,
        exit_code=members.optional_integer("exit_code", least=-(2**31), beyond=2**32),
        cause=parse_cause(wire.get("cause"), pointer=f"{pointer}/cause", error=error),
        reason=None if reason is None else reason[-REASON_CHARACTERS:],
    )


def parse_cause(
    wire: JsonValue, *, pointer: str = "/cause", error: type[InvalidMember] = InvalidMember
) -> Cause | None:
    """Reads a cause, None for null; raises InvalidMember for a wrong shape."""
    if wire is None:
        return None
    if not isinstance(wire, dict):
        raise error(pointer, "an object with `code` and `detail`, or null", json_kind(wire))
    members = Members(wire, pointer=pointer, error=error)
    code, signal, attempt = (members.values.get(name) for name in ("code", "signal", "attempt"))
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise members.wrong("code", _CODE_WORDS)
    named = isinstance(signal, str) and 0 < len(signal) <= 32
    numbered = isinstance(signal, int) and not isinstance(signal, bool) and 0 < signal < 128
    if signal is not None and not named and not numbered:
        raise members.wrong("signal", "a signal's name or number")
    number = None if attempt is None else _whole_numbers(attempt)
    if attempt is not None and number is None:
        raise members.wrong("attempt", _ATTEMPT_WORDS)
    node = members.optional_string("node")
    return Cause(
        code=code,
        detail=members.string("detail")[:_DETAIL_CHARACTERS],
        signal=cast("str | int | None", signal),
        exit_code=members.optional_integer("exit_code", least=-(2**31), beyond=2**32),
        peak_memory_bytes=members.optional_integer("peak_memory_bytes", least=0, beyond=_MOST),
        node=None if node is None else node[:_NODE_CHARACTERS],
        attempt=number,
    )


def parse_attempt(wire: JsonValue, *, pointer: str) -> Attempt:
    """Reads the number of an attempt, a whole number or a list of them; raises InvalidMember for anything else."""
    attempt = _whole_numbers(wire)
    if attempt is None:
        raise InvalidMember(pointer, _ATTEMPT_WORDS, json_kind(wire))
    return attempt


def read_attempt(wire: JsonValue) -> Attempt | None:
    """The attempt that a list of whole numbers names, without trailing zeros; None for anything else."""
    if not isinstance(wire, list) or not 0 < len(wire) <= ATTEMPT_NUMBERS:
        return None
    numbers = [one for one in wire if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < _MOST]
    if len(numbers) != len(wire):
        return None
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _whole_numbers(wire: JsonValue) -> Attempt | None:
    return read_attempt([wire] if isinstance(wire, int) else wire)

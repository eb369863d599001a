"""How a process ended, in the words of the program that launched it: outcome, exit code and cause.

The body of `finish` and the parameters of `report_process_end` hold these members; this is the one place that says what
they may be. Also the number of an attempt, which several bodies carry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from standpipe_protocol.json_text import JsonValue, json_kind

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
"""What platforms do; other codes are kept and shown as well."""
Attempt: TypeAlias = tuple[int, ...]
"""Whole numbers, compared in order, without trailing zeros. `()` is the first attempt, and that of no number."""

ATTEMPT_NUMBERS = 8
"""The most numbers of an attempt."""
NAME_CHARACTERS = 128
REASON_CHARACTERS = 65_536
_DETAIL_CHARACTERS = 4_096
_NODE_CHARACTERS = 512
_CODE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_CODE_WORDS = "1 to 64 letters, digits, dots, hyphens or underscores"
_MOST = 2**53


class InvalidMember(ValueError):
    """A member has a wrong shape.

    Attributes:
        pointer: JSON Pointer (RFC 6901) from the object that was read.
        expected: what should have been there, as a short phrase.
        got: what was there.
    """

    def __init__(self, pointer: str, expected: str, got: str) -> None:
        super().__init__(f"Expected {expected} at `{pointer}`, got {got}.")
        self.pointer, self.expected, self.got = pointer, expected, got


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


def parse_process_end(wire: Mapping[str, JsonValue]) -> ProcessEnd:
    """Reads the members of an end; others are ignored.

    Raises:
        InvalidMember: one has a wrong shape.
    """
    outcome = wire.get("outcome")
    if outcome is not None and outcome not in OUTCOMES:
        raise InvalidMember("/outcome", f"one of {', '.join(OUTCOMES)}", json_kind(outcome))
    reason = _text(wire, "reason", "")
    return ProcessEnd(
        outcome=outcome,
        exit_code=_whole(wire, "exit_code", "", least=-(2**31), beyond=2**32),
        cause=parse_cause(wire.get("cause")),
        reason=None if reason is None else reason[-REASON_CHARACTERS:],
    )


def parse_cause(wire: JsonValue) -> Cause | None:
    """Reads a cause; None for null.

    Raises:
        InvalidMember: it, or a member of it, has a wrong shape.
    """
    if wire is None:
        return None
    if not isinstance(wire, dict):
        raise InvalidMember("/cause", "an object with `code` and `detail`, or null", json_kind(wire))
    code, detail, signal = wire.get("code"), wire.get("detail"), wire.get("signal")
    if not isinstance(code, str) or not _CODE.fullmatch(code):
        raise InvalidMember("/cause/code", _CODE_WORDS, _kind_of(wire, "code"))
    if not isinstance(detail, str):
        raise InvalidMember("/cause/detail", "a string", _kind_of(wire, "detail"))
    named = isinstance(signal, str) and 0 < len(signal) <= 32
    numbered = isinstance(signal, int) and not isinstance(signal, bool) and 0 < signal < 128
    if signal is not None and not named and not numbered:
        raise InvalidMember("/cause/signal", "a signal's name or number", json_kind(signal))
    node = _text(wire, "node", "/cause")
    attempt = wire.get("attempt")
    return Cause(
        code=code,
        detail=detail[:_DETAIL_CHARACTERS],
        signal=cast("str | int | None", signal),
        exit_code=_whole(wire, "exit_code", "/cause", least=-(2**31), beyond=2**32),
        peak_memory_bytes=_whole(wire, "peak_memory_bytes", "/cause", least=0, beyond=_MOST),
        node=None if node is None else node[:_NODE_CHARACTERS],
        attempt=None if attempt is None else parse_attempt(attempt, pointer="/cause/attempt"),
    )


def parse_attempt(wire: JsonValue, *, pointer: str) -> Attempt:
    """Reads the number of an attempt: a whole number, or a list of them.

    Raises:
        InvalidMember: it is neither.
    """
    attempt = read_attempt([wire] if isinstance(wire, int) else wire)
    if attempt is None:
        expected = f"a whole number, or a list of 1 to {ATTEMPT_NUMBERS} of them"
        raise InvalidMember(pointer, expected, json_kind(wire))
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


def _text(wire: Mapping[str, JsonValue], name: str, pointer: str) -> str | None:
    value = wire.get(name)
    if value is not None and not isinstance(value, str):
        raise InvalidMember(f"{pointer}/{name}", "a string or null", json_kind(value))
    return value


def _whole(wire: Mapping[str, JsonValue], name: str, pointer: str, *, least: int, beyond: int) -> int | None:
    value = wire.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < beyond:
        raise InvalidMember(f"{pointer}/{name}", f"an integer from {least} to {beyond - 1}", json_kind(value))
    return value


def _kind_of(wire: Mapping[str, JsonValue], name: str) -> str:
    return json_kind(wire[name]) if name in wire else "nothing"

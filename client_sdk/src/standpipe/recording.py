"""What the recording broker of `standpipe.testing` keeps: one invocation's events, appended by the protocol's rules.

Pure but for its lock: no HTTP here. The invariant: positions are 1, 2, 3 ... and each producer's numbers are too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from standpipe_protocol.context import ContextData
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import (
    InvalidMessage,
    Message,
    ReportAssetCheck,
    ReportAssetMaterialization,
    parse_message,
)
from standpipe_protocol.problems import Problem

ANONYMOUS = "anonymous"


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedMessage:
    """One message as it arrived."""

    position: int
    producer: str
    seq: int
    method: str
    params: Mapping[str, JsonValue]
    envelope: Mapping[str, JsonValue]
    """Everything that was sent, `sent_at`, `details` and `ledger` included."""
    message: Message | None
    """The message in the protocol's classes; None when it was rejected for its shape."""
    problem: Problem | None = None
    """Why it was rejected; None when it was not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The answer to an append."""

    status: int
    body: Mapping[str, JsonValue]


@dataclass(slots=True)
class Recording:
    """The events of one invocation, and what is said about them."""

    context: ContextData
    messages: list[RecordedMessage] = field(default_factory=list[RecordedMessage])
    cancel_requested: bool = False
    verdict: str | None = None
    """Set to end the invocation: what comes new is refused then."""
    heartbeats: list[Mapping[str, JsonValue]] = field(default_factory=list[Mapping[str, JsonValue]])
    changed: threading.Condition = field(default_factory=threading.Condition)
    _by_producer: dict[str, list[RecordedMessage]] = field(default_factory=dict[str, "list[RecordedMessage]"])
    _materialized: set[str] = field(default_factory=set[str])

    @property
    def control(self) -> dict[str, JsonValue]:
        return {"cancel_requested": self.cancel_requested}

    def append(self, wires: Sequence[JsonValue], *, producer: str, first_seq: int | None, bare: bool) -> Outcome:
        """Stores what is new of a batch, as the table of the protocol says."""
        with self.changed:
            stored = self._by_producer.setdefault(producer, [])
            first = len(stored) + 1 if first_seq is None else first_seq
            if first > len(stored) + 1:
                detail = f"The batch begins at {first}, and {len(stored) + 1} is next."
                problem = Problem("sequence-gap", detail, {"expected_seq": len(stored) + 1})
                return Outcome(status=problem.status, body={**problem.to_wire(), "control": self.control})
            new = wires[len(stored) + 1 - first :]
            if new and self.verdict is not None:
                members: dict[str, JsonValue] = {"verdict": self.verdict, "last_position": len(self.messages)}
                problem = Problem("invocation-ended", f"The invocation has ended: {self.verdict}.", members)
                return Outcome(status=problem.status, body={**problem.to_wire(), "control": self.control})
            for wire in new:
                judged = self._judged(wire, producer=producer, seq=len(stored) + 1)
                stored.append(judged)
                self.messages.append(judged)
            self.changed.notify_all()
            through = first + len(wires) - 1
            told = [one for one in stored[first - 1 : through] if one.problem is not None]
            return self._outcome(told, first=first, through=len(stored), bare=bare)

    def wait_until(self, condition: Callable[[], bool], *, timeout: float) -> bool:
        """Waits until something that the recording shows is so; False when it is not in time."""
        with self.changed:
            return self.changed.wait_for(condition, timeout)

    def change(self, *, cancel_requested: bool | None = None, verdict: str | None = None) -> None:
        with self.changed:
            if cancel_requested is not None:
                self.cancel_requested = cancel_requested
            if verdict is not None:
                self.verdict = verdict
            self.changed.notify_all()

    def beat(self, body: Mapping[str, JsonValue]) -> None:
        with self.changed:
            self.heartbeats.append(body)
            self.changed.notify_all()

    def _outcome(self, told: Sequence[RecordedMessage], *, first: int, through: int, bare: bool) -> Outcome:
        if bare and told and told[0].problem is not None:
            problem, place = told[0].problem, told[0]
            members: dict[str, JsonValue] = {"stored": True, "position": place.position, "seq": place.seq}
            return Outcome(status=problem.status, body={**problem.to_wire(), **members, "control": self.control})
        results: list[JsonValue] = [
            {"index": one.seq - first, "seq": one.seq, "position": one.position, "problem": one.problem.to_wire()}
            for one in told
            if one.problem is not None
        ]
        return Outcome(
            status=207 if results else 200,
            body={
                "accepted_through": through,
                "last_position": len(self.messages),
                "results": results,
                "control": self.control,
            },
        )

    def _judged(self, wire: JsonValue, *, producer: str, seq: int) -> RecordedMessage:
        envelope = wire if isinstance(wire, dict) else {}
        method, params = envelope.get("method"), envelope.get("params")
        message: Message | None = None
        problem: Problem | None
        try:
            message = parse_message(wire)
            problem = self._broken_rule(message)
        except InvalidMessage as error:
            problem = Problem("invalid-message", str(error), {"pointer": error.pointer, "expected": error.expected})
        return RecordedMessage(
            position=len(self.messages) + 1,
            producer=producer,
            seq=seq,
            method=method if isinstance(method, str) else "",
            params=params if isinstance(params, dict) else {},
            envelope=envelope,
            message=message,
            problem=problem,
        )

    def _broken_rule(self, message: Message) -> Problem | None:
        if not isinstance(message, (ReportAssetMaterialization, ReportAssetCheck)):
            return None
        keys = self.context.asset_keys
        if keys and message.asset_key not in keys:
            members: dict[str, JsonValue] = {"pointer": "/params/asset_key", "expected": f"one of {', '.join(keys)}"}
            detail = f"The asset key {message.asset_key!r} is not one of this invocation's."
            return Problem("invalid-message", detail, members)
        if isinstance(message, ReportAssetMaterialization):
            if message.asset_key in self._materialized:
                detail = f"The asset {message.asset_key!r} was already materialized."
                return Problem("duplicate-materialization", detail)
            self._materialized.add(message.asset_key)
        return None

"""What the recording broker of `standpipe.testing` keeps: one invocation's events, appended by the protocol's rules.

Pure but for its lock: no HTTP here. The invariant: positions are 1, 2, 3 ... and each producer's numbers are too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from standpipe.testing.append_request import ANONYMOUS, AppendRequest, long_integer_in
from standpipe_protocol.context import ContextData
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.limits import Limits
from standpipe_protocol.members import InvalidMessage
from standpipe_protocol.messages import Message, Opened, ReportAssetMaterialization, ReportProcessEnd, parse_message
from standpipe_protocol.problems import Problem
from standpipe_protocol.reports import (
    REPORTS,
    canonical_asset_key,
    invalid_message,
    key_problem,
    not_a_supervisor,
    report_key,
    role_in,
)


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


@dataclass(slots=True)
class Recording:
    """The events of one invocation, and the answers about them."""

    context: ContextData
    limits: Limits = field(default_factory=Limits)
    messages: list[RecordedMessage] = field(default_factory=list[RecordedMessage])
    cancel_requested: bool = False
    verdict: str | None = None
    """Set to end the invocation: what comes new is refused then."""
    heartbeats: list[Mapping[str, JsonValue]] = field(default_factory=list[Mapping[str, JsonValue]])
    changed: threading.Condition = field(default_factory=threading.Condition)
    _by_producer: dict[str, list[RecordedMessage]] = field(default_factory=dict[str, "list[RecordedMessage]"])
    _roles: dict[str, str | None] = field(default_factory=dict[str, "str | None"])
    """By producer that has opened, the role in its first `opened`."""
    _materialized: set[str] = field(default_factory=set[str])

    @property
    def control(self) -> dict[str, JsonValue]:
        return {"cancel_requested": self.cancel_requested}

    def append(self, request: AppendRequest) -> tuple[int, Mapping[str, JsonValue]]:
        """Stores what is new of a batch, as the table of the protocol says; returns status and body of the answer."""
        with self.changed:
            stored = self._by_producer.setdefault(request.producer, [])
            expected = len(stored) + 1
            first = expected if request.first_seq is None else request.first_seq
            new = request.messages[max(0, expected - first) :]
            problem = self._refusal(new, request.producer, first=first, expected=expected) if new else None
            if problem is not None:
                return problem.status, {**problem.to_wire(), "control": self.control}
            for wire in new:
                judged = self._judged(wire, producer=request.producer, seq=len(stored) + 1)
                stored.append(judged)
                self.messages.append(judged)
            self.changed.notify_all()
            through = first + len(request.messages) - 1
            rejected = [one for one in stored[first - 1 : through] if one.problem is not None]
            return self._answer(rejected, first=first, through=len(stored), bare=request.bare)

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

    def _refusal(self, new: Sequence[JsonValue], producer: str, *, first: int, expected: int) -> Problem | None:
        begins = new[0]
        opens = isinstance(begins, dict) and begins.get("method") == "opened"
        late = self.verdict == "succeeded" and opens and first == expected == 1 and producer != ANONYMOUS
        if self.verdict in ("succeeded", "cancelled") and not late:
            members: dict[str, JsonValue] = {"verdict": self.verdict, "last_position": len(self.messages)}
            return Problem("invocation-ended", f"The invocation has ended: {self.verdict}.", members)
        if first > expected:
            detail = f"The batch begins at {first}, and {expected} is next."
            return Problem("sequence-gap", detail, {"expected_seq": expected})
        if late:
            self.verdict = "incomplete"
        return None

    def _answer(
        self, rejected: Sequence[RecordedMessage], *, first: int, through: int, bare: bool
    ) -> tuple[int, Mapping[str, JsonValue]]:
        where: dict[str, JsonValue] = {"accepted_through": through, "last_position": len(self.messages)}
        if bare and rejected and (problem := rejected[0].problem) is not None:
            place: dict[str, JsonValue] = {"stored": True, "position": rejected[0].position, "seq": rejected[0].seq}
            return problem.status, {**problem.to_wire(), **place, **where, "control": self.control}
        results: list[JsonValue] = [
            {"index": one.seq - first, "seq": one.seq, "position": one.position, "problem": one.problem.to_wire()}
            for one in rejected
            if one.problem is not None
        ]
        return 207 if results else 200, {**where, "results": results, "control": self.control}

    def _judged(self, wire: JsonValue, *, producer: str, seq: int) -> RecordedMessage:
        envelope = wire if isinstance(wire, dict) else {}
        method, params = envelope.get("method"), envelope.get("params")
        message: Message | None = None
        problem: Problem | None
        try:
            message = parse_message(wire)
            key = report_key(message, longest_name=self.limits.name_characters) if isinstance(message, REPORTS) else ""
            problem = long_integer_in(wire, digits=self.limits.integer_digits)
            problem = problem or self._broken_rule(message, key, producer)
        except InvalidMessage as error:
            problem = invalid_message(error)
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

    def _broken_rule(self, message: Message, key: str, producer: str) -> Problem | None:
        match message:
            case Opened():
                self._roles.setdefault(producer, role_in(message.extras))
            case ReportProcessEnd() if self._roles.get(producer) != "supervisor":
                return not_a_supervisor()
            case _ if key:
                twice = self._materialized if isinstance(message, ReportAssetMaterialization) else ()
                allowed = [canonical_asset_key(one) for one in self.context.asset_keys or ()]
                problem = key_problem(key, allowed=allowed, materialized=twice)
                if problem is None and isinstance(message, ReportAssetMaterialization):
                    self._materialized.add(key)
                return problem
            case _:
                pass
        return None

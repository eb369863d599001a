"""Messages: what a program reports, in the Dagster Pipes wire form `{"method": "...", "params": {...}}`.

Each class names the parameters of its method, and reads them; the server derives its fast path from the classes.
Reading is lenient where Dagster's SDKs differ from each other (null params, bare exception fields); writing is strict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, Literal, TypeAlias

from standpipe_protocol.json_text import JsonValue, json_kind
from standpipe_protocol.members import InvalidMessage, Members, PipesException
from standpipe_protocol.process_end import Cause, Outcome, parse_process_end

Severity: TypeAlias = Literal["WARN", "ERROR"]
SEVERITIES: tuple[Severity, ...] = ("WARN", "ERROR")
STREAMS: tuple[str, ...] = ("stdout", "stderr")
LOG_LEVELS: tuple[str, ...] = ("DEBUG", "INFO", "WARN", "WARNING", "ERROR", "CRITICAL", "FATAL")
"""Accepted in any case."""

PIPES_VERSION_FIELD = "__dagster_pipes_version"
"""Dagster's marker in the envelope; accepted and never required."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledger:
    """How many messages a producer numbered, sent with `closed`: the server's own count must agree."""

    messages: int
    """All messages of the producer up to and including this one."""
    by_method: Mapping[str, int] = field(default_factory=dict[str, int])
    last_seq: int | None = None
    """The number of this `closed`."""
    dropped_logs: int = 0
    """Log lines that were dropped under pressure before they got a number."""
    sha256: str | None = None
    """In hex, over the bytes of all messages of the producer before this one, each followed by a line feed."""

    def to_wire(self) -> dict[str, JsonValue]:
        wire: dict[str, JsonValue] = {"messages": self.messages, "by_method": dict(self.by_method)}
        if self.last_seq is not None:
            wire["last_seq"] = self.last_seq
        if self.dropped_logs:
            wire["dropped_logs"] = self.dropped_logs
        if self.sha256 is not None:
            wire["sha256"] = self.sha256
        return wire

    @classmethod
    def first_of(cls, *places: JsonValue) -> Ledger | None:
        """The first of these that is a ledger."""
        for wire in places:
            messages = _count(wire.get("messages")) if isinstance(wire, dict) else None
            if not isinstance(wire, dict) or messages is None:
                continue
            by_method, sha256 = wire.get("by_method"), wire.get("sha256")
            counts = by_method if isinstance(by_method, dict) else {}
            return cls(
                messages=messages,
                by_method={key: n for key, value in counts.items() if (n := _count(value)) is not None},
                last_seq=_count(wire.get("last_seq")),
                dropped_logs=_count(wire.get("dropped_logs")) or 0,
                sha256=sha256.lower() if isinstance(sha256, str) else None,
            )
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The program has begun to report."""

    method: ClassVar[str] = "opened"
    extras: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def params(self) -> JsonValue:
        return {"extras": dict(self.extras)}

    @classmethod
    def read(cls, params: Members, wire: Mapping[str, JsonValue]) -> Opened:
        return cls(extras=params.optional_object("extras") or {})


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """The program has nothing more to report; with an exception when it failed."""

    method: ClassVar[str] = "closed"
    exception: PipesException | None = None
    ledger: Ledger | None = None
    """In the params, where Dagster's readers ignore it; it is read in the envelope, too."""
    signal: str | None = None
    """The signal at which the SDK closed, as `SIGTERM`: the exception is not one of the program's own."""

    def params(self) -> JsonValue:
        params: dict[str, JsonValue] = {}
        if self.exception is not None:
            params["exception"] = self.exception.to_wire()
        if self.ledger is not None:
            params["ledger"] = self.ledger.to_wire()
        if self.signal is not None:
            params["signal"] = self.signal
        return params

    @classmethod
    def read(cls, params: Members, wire: Mapping[str, JsonValue]) -> Closed:
        signal = params.values.get("signal")
        return cls(
            exception=params.exception(),
            ledger=Ledger.first_of(params.values.get("ledger"), wire.get("ledger")),
            signal=signal if isinstance(signal, str) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """One log record."""

    method: ClassVar[str] = "log"
    message: str
    level: str = "INFO"
    details: Mapping[str, JsonValue] | None = None
    """Logger, thread, time, exception text and fields of the record. Rides in the envelope, as `details`."""

    def params(self) -> JsonValue:
        return {"message": self.message, "level": self.level}

    @classmethod
    def read(cls, params: Members, wire: Mapping[str, JsonValue]) -> Log:
        details = wire.get("details")
        return cls(
            message=params.string("message"),
            level=params.one_of("level", LOG_LEVELS, default="INFO", any_case=True),
            details=details if isinstance(details, dict) else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogExternalStream:
    """A piece of a captured output stream, as it came."""

    method: ClassVar[str] = "log_external_stream"
    stream: str
    text: str
    extras: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def params(self) -> JsonValue:
        return {"stream": self.stream, "text": self.text, "extras": dict(self.extras)}

    @classmethod
    def read(cls, params: Members, wire: Mapping[str, JsonValue]) -> LogExternalStream:
        return cls(
            stream=params.one_of("stream", STREAMS),
            text=params.string("text"),
            extras=params.optional_object("extras") or {},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAssetMaterialization:
    """An asset was materialized."""

    method: ClassVar[str] = "report_asset_materialization"
    asset_key: str
    """Escaped key text (`pre/a\\/b`)."""
    data_version: str | None = None
    metadata: Mapping[str, JsonValue] | None = None
    """`{name: {"raw_value": ..., "type": ...}}`; entries are checked one by one by `metadata.normalise_metadata`."""

    def params(self) -> JsonValue:
        metadata = None if self.metadata is None else dict(self.metadata)
        return {"asset_key": self.asset_key, "data_version": self.data_version, "metadata": metadata}

    @classmethod
    def read(cls, params: Members, wire: Mapping[str, JsonValue]) -> ReportAssetMaterialization:
        return cls(
            asset_key=params.string("asset_key"),
            data_version=params.optional_string("data_version"),
            metadata=params.optional_object("metadata"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAssetCheck:
    """An asset check was evaluated."""

    method: ClassVar[str] = "report_asset_check"
    asset_key: str
    check_name: str
    passed: bool
    severity: str = "ERROR"
    metadata: Mapping[str, JsonValue] | None = None

    def params(self) -> JsonValue:
        return {
            "asset_key": self.asset_key,
            "check_name": self.check_name,
            "passed": self.passed,
            "metadata": None if self.metadata is None else dict(self.metadata),
            "severity": self.severity,
        }

    @classmethod
    def read(cls, params: Members, wire: Mapping[str, JsonValue]) -> ReportAssetCheck:
        return cls(
            asset_key=params.string("asset_key"),
            check_name=params.string("check_name"),
            passed=params.boolean("passed"),
            severity=params.one_of("severity", SEVERITIES, default="ERROR"),
            metadata=params.optional_object("metadata"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportCustomMessage:
    """Any JSON value, for the orchestration code."""

    method: ClassVar[str] = "report_custom_message"
    payload: JsonValue

    def params(self) -> JsonValue:
        return {"payload": self.payload}

    @classmethod
    def read(cls, params: Members, wire: Mapping[str, JsonValue]) -> ReportCustomMessage:
        return cls(payload=params.any("payload"))


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportProcessEnd:
    """How the process ended that a supervisor launched; the supervisor's last message, instead of `closed`."""

    method: ClassVar[str] = "report_process_end"
    outcome: Outcome | None = None
    exit_code: int | None = None
    cause: Cause | None = None
    reason: str | None = None
    """The end of what it printed, or why it failed."""

    def params(self) -> JsonValue:
        cause = None if self.cause is None else self.cause.to_wire()
        return {"outcome": self.outcome, "exit_code": self.exit_code, "cause": cause, "reason": self.reason}

    @classmethod
    def read(cls, params: Members, wire: Mapping[str, JsonValue]) -> ReportProcessEnd:
        end = parse_process_end(params.values, pointer="/params", error=InvalidMessage)
        return cls(outcome=end.outcome, exit_code=end.exit_code, cause=end.cause, reason=end.reason)

    def described(self) -> dict[str, str]:
        """The members that are known, for a line that people read."""
        cause = None if self.cause is None else f"{self.cause.code} ({self.cause.detail})"
        known = {"outcome": self.outcome, "exit code": self.exit_code, "cause": cause, "reason": self.reason}
        return {name: str(value) for name, value in known.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAssetObservation:
    """An asset was observed that this work has not materialized."""

    method: ClassVar[str] = "report_asset_observation"
    asset_key: str
    data_version: str | None = None
    metadata: Mapping[str, JsonValue] | None = None
    """As for a materialization."""
    partition: str | None = None
    """Of the asset, where it is not that of the context."""
    tags: Mapping[str, JsonValue] | None = None
    """Texts by name; other values are stored without a meaning."""

    def params(self) -> JsonValue:
        return {
            "asset_key": self.asset_key,
            "data_version": self.data_version,
            "metadata": None if self.metadata is None else dict(self.metadata),
            "partition": self.partition,
            "tags": None if self.tags is None else dict(self.tags),
        }

    @classmethod
    def read(cls, params: Members, wire: Mapping[str, JsonValue]) -> ReportAssetObservation:
        return cls(
            asset_key=params.string("asset_key"),
            data_version=params.optional_string("data_version"),
            metadata=params.optional_object("metadata"),
            partition=params.optional_string("partition"),
            tags=params.optional_object("tags"),
        )


Message: TypeAlias = (
    Opened
    | Closed
    | Log
    | LogExternalStream
    | ReportAssetMaterialization
    | ReportAssetCheck
    | ReportCustomMessage
    | ReportProcessEnd
    | ReportAssetObservation
)
MESSAGE_CLASSES: tuple[type[Message], ...] = (
    Opened,
    Closed,
    Log,
    LogExternalStream,
    ReportAssetMaterialization,
    ReportAssetCheck,
    ReportCustomMessage,
    ReportProcessEnd,
    ReportAssetObservation,
)
_KINDS: Mapping[str, type[Message]] = {kind.method: kind for kind in MESSAGE_CLASSES}
METHODS: tuple[str, ...] = tuple(_KINDS)


def message_to_wire(message: Message, *, sent_at: str | None = None) -> dict[str, JsonValue]:
    """The wire form of a message. `sent_at` is an RFC 3339 UTC time."""
    wire: dict[str, JsonValue] = {"method": message.method, "params": message.params()}
    if sent_at is not None:
        wire["sent_at"] = sent_at
    if isinstance(message, Log) and message.details is not None:
        wire["details"] = dict(message.details)
    return wire


def parse_message(wire: JsonValue) -> Message:
    """Reads a message from its wire form, or from an event, which has the same members; raises InvalidMessage."""
    if not isinstance(wire, dict):
        raise InvalidMessage("", "a JSON object with `method` and `params`", json_kind(wire))
    envelope = Members(wire, error=InvalidMessage)
    method = envelope.string("method")
    kind = _KINDS.get(method)
    if kind is None:
        raise envelope.wrong("method", f"one of {', '.join(METHODS)}")
    params = wire.get("params")
    if params is None and method in ("opened", "closed"):
        params = {}
    if not isinstance(params, dict):
        raise envelope.wrong("params", "an object")
    return kind.read(Members(params, pointer="/params", error=InvalidMessage), wire)


def _count(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None

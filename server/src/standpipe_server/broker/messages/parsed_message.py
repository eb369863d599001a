"""What the rules need of a message: its method, the facts in it, and what is wrong with it.

Most messages are only carried and counted. One typed pass over the whole array finds them; each of the rest is parsed
by itself, and `standpipe_protocol.messages.parse_message` decides.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.members import InvalidMessage, PipesException
from standpipe_protocol.messages import (
    LOG_LEVELS,
    SEVERITIES,
    STREAMS,
    Closed,
    Ledger,
    Log,
    Message,
    Opened,
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportAssetObservation,
    ReportProcessEnd,
    parse_message,
)
from standpipe_protocol.problems import Problem
from standpipe_protocol.process_end import NAME_CHARACTERS, read_attempt
from standpipe_protocol.reports import canonical_asset_key, invalid_message, long_integer, report_key, role_in
from standpipe_server.broker.messages.lean_structs import LEAN_MESSAGES, LeanMessage, decode_lean
from standpipe_server.broker.messages.outline import outline, place_of_long_integer
from standpipe_server.broker.values.ids import PRODUCER_ID
from standpipe_server.broker.values.state import Finish, Lineage

PROCESS_MEMBERS = ("rank", "world_size", "host", "pid")
"""Extras of `opened` by which a producer says which process it is; numbers or short texts."""
_PROCESS_CHARACTERS = 128


class Materialization(msgspec.Struct, frozen=True, gc=False):
    asset_key: str
    data_version: str | None


class Observation(msgspec.Struct, frozen=True, gc=False):
    asset_key: str
    data_version: str | None
    partition: str | None
    """As the message says it; the invocation's where it says none."""


class Check(msgspec.Struct, frozen=True, gc=False):
    asset_key: str
    check_name: str
    passed: bool
    severity: str


@dataclass(frozen=True, slots=True)
class Opening:
    """Which process has opened and where it comes from, when it said."""

    process: Mapping[str, JsonValue] | None
    lineage: Lineage
    sent_at: str | None = None


@dataclass(frozen=True, slots=True)
class Closing:
    exception: PipesException | None
    ledger: Ledger | None
    signal: str | None = None


@dataclass(frozen=True, slots=True)
class Ending:
    """How a supervisor's process ended, as `Finish.to_wire` writes it."""

    end: dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class ErrorLog:
    message: str


Content: TypeAlias = Materialization | Observation | Check | Opening | Closing | Ending | ErrorLog | None
"""What the rules and the projections need of a message; None for what is only carried."""


class ParsedMessage(msgspec.Struct, frozen=True, gc=False):
    """One message: its method if it has a known one, what the rules need of it, and what is wrong with it."""

    method: str | None
    content: Content = None
    problem: Problem | None = None
    plain: bool = False
    """Only carried and counted in any batch: a custom message, output, a log that is no error."""


def parse_messages(
    texts: Callable[[], Sequence[Raw]], leans: Sequence[LeanMessage] | None, *, longest_name: int
) -> list[ParsedMessage]:
    """The messages of an array.

    Args:
        texts: gives the elements' own bytes, for those that have to be looked at by themselves.
        leans: the elements as structs, when all of them fit one.
    """
    if leans is None:
        return [parse_one(bytes(raw), longest_name=longest_name) for raw in texts()]
    parsed = [_READERS[type(lean)](lean.params, longest_name) for lean in leans]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]  derived at run time
    if None in parsed:
        raws = texts()
        return [one or parse_one(bytes(raws[index]), longest_name=longest_name) for index, one in enumerate(parsed)]
    return parsed  # pyright: ignore[reportReturnType]  none is None


def with_long_integer(message: ParsedMessage, text: bytes, *, digits: int) -> ParsedMessage:
    """The message rejected for an integer of more than so many digits."""
    problem = message.problem or long_integer(place_of_long_integer(text, digits), digits=digits)
    return ParsedMessage(message.method, problem=problem)


def parse_one(text: bytes, *, longest_name: int) -> ParsedMessage:
    """One message, looked at by itself."""
    lean = decode_lean(text)
    if lean is not None:
        fast = _READERS[type(lean)](lean.params, longest_name)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]  derived at run time
        if fast is not None:
            return fast
    wire = outline(text)
    method = wire.get("method") if isinstance(wire, dict) else None
    try:
        message = parse_message(wire)
        content = _content(message, longest_name=longest_name)
        if isinstance(content, Opening):
            content = replace(content, sent_at=_text(wire, "sent_at"))
    except InvalidMessage as error:
        return ParsedMessage(method if isinstance(method, str) else None, problem=invalid_message(error))
    return ParsedMessage(message.method, content)


# Readers by method: the message when everything the struct left unchecked is plainly right; None sends it to
# `parse_message`. What needs no fact is always the same object.

_CUSTOM = ParsedMessage("report_custom_message", plain=True)
_OUTPUT = ParsedMessage("log_external_stream", plain=True)
_LOG = ParsedMessage("log", plain=True)
_OPENED = ParsedMessage("opened")
_ERROR_LEVELS = frozenset({"ERROR", "CRITICAL", "FATAL"})
_LEVELS = {spelling: level in _ERROR_LEVELS for level in LOG_LEVELS for spelling in (level, level.lower())}


def _read_custom(params: Any, longest_name: int) -> ParsedMessage | None:
    return _CUSTOM


def _read_log(params: Any, longest_name: int) -> ParsedMessage | None:
    match _LEVELS.get(params.level):
        case False:
            return _LOG
        case True:
            return ParsedMessage("log", ErrorLog(params.message))
        case None:
            return None


def _read_output(params: Any, longest_name: int) -> ParsedMessage | None:
    return _OUTPUT if params.stream in STREAMS and _object_or_null(params.extras) else None


def _read_opened(params: Any, longest_name: int) -> ParsedMessage | None:
    # What tells who it is is looked at by itself, once a process.
    return _OPENED if bytes(memoryview(params.extras)[:5]) in (b"null", b"{}") else None


def _read_materialization(params: Any, longest_name: int) -> ParsedMessage | None:
    key, version = canonical_asset_key(params.asset_key), params.data_version
    fits = 0 < len(key) <= longest_name and (version is None or len(version) <= longest_name)
    if not fits or not _object_or_null(params.metadata):
        return None
    return ParsedMessage("report_asset_materialization", Materialization(key, version))


def _read_check(params: Any, longest_name: int) -> ParsedMessage | None:
    key, name = canonical_asset_key(params.asset_key), params.check_name
    fits = 0 < len(key) <= longest_name and len(name) <= longest_name
    if not fits or params.severity not in SEVERITIES or not _object_or_null(params.metadata):
        return None
    return ParsedMessage("report_asset_check", Check(key, name, params.passed, params.severity))


def _read_by_itself(params: Any, longest_name: int) -> ParsedMessage | None:
    return None


_FAST: Mapping[str, Callable[[Any, int], ParsedMessage | None]] = {
    "opened": _read_opened,
    "log": _read_log,
    "log_external_stream": _read_output,
    "report_asset_materialization": _read_materialization,
    "report_asset_check": _read_check,
    "report_custom_message": _read_custom,
}
# Of every class: one that has no reader here costs time and nothing else.
_READERS = {lean: _FAST.get(method, _read_by_itself) for method, lean in LEAN_MESSAGES.items()}


def _object_or_null(raw: Raw) -> bool:
    # A view, not a copy: the value may be megabytes.
    return memoryview(raw)[0] in b"{n"


def _content(message: Message, *, longest_name: int) -> Content:
    match message:
        case ReportAssetMaterialization():
            return Materialization(report_key(message, longest_name=longest_name), message.data_version)
        case ReportAssetObservation():
            key = report_key(message, longest_name=longest_name)
            return Observation(key, message.data_version, message.partition)
        case ReportAssetCheck():
            key = report_key(message, longest_name=longest_name)
            return Check(key, message.check_name, message.passed, message.severity)
        case Opened():
            process, lineage = _process(message.extras), read_lineage(message.extras)
            return Opening(process or None, lineage) if process or lineage != Lineage() else None
        case Closed():
            return Closing(message.exception, message.ledger, message.signal)
        case ReportProcessEnd():
            end = Finish(
                exit_code=message.exit_code, reason=message.reason, outcome=message.outcome, cause=message.cause
            )
            return Ending(end.to_wire())
        case Log() if message.level.upper() in ("ERROR", "CRITICAL", "FATAL"):
            return ErrorLog(message.message)
        case _:
            return None


def _text(wire: JsonValue, name: str) -> str | None:
    value = wire.get(name) if isinstance(wire, dict) else None
    return value if isinstance(value, str) else None


def _process(extras: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
    """What of these says which process it is."""
    members: dict[str, JsonValue] = {}
    for name in PROCESS_MEMBERS:
        match extras.get(name):
            case str() as text if text:
                members[name] = text[:_PROCESS_CHARACTERS]
            case int() as number if not isinstance(number, bool) and abs(number) < 2**53:
                members[name] = number
            case _:
                pass
    return members


def read_lineage(extras: Mapping[str, JsonValue]) -> Lineage:
    """Where a producer says in the extras of its `opened` that it comes from. What has another shape means nothing."""
    parent, name = extras.get("parent"), extras.get("attempt_name")
    return Lineage(
        role=role_in(extras),
        parent=parent if isinstance(parent, str) and PRODUCER_ID.fullmatch(parent) else None,
        own_attempt=read_attempt(extras.get("attempt")),
        rank_attempt=read_attempt(extras.get("rank_attempt")) or (),
        attempt_name=name if isinstance(name, str) and 0 < len(name) <= NAME_CHARACTERS else None,
    )


_EXCEPTION_TEXT = 16_384
_EXCEPTION_FRAMES = 100
_EXCEPTION_LINKS = 8


def shortened(exception: PipesException, *, links: int = _EXCEPTION_LINKS) -> PipesException:
    return PipesException(
        message=exception.message[:_EXCEPTION_TEXT],
        stack=tuple(frame[:_EXCEPTION_TEXT] for frame in exception.stack[:_EXCEPTION_FRAMES]),
        name=exception.name,
        cause=shortened(exception.cause, links=links - 1) if exception.cause and links else None,
        context=shortened(exception.context, links=links - 1) if exception.context and links else None,
    )


def error_summary(content: Content, problem: Problem | None) -> tuple[str, str] | None:
    """The kind (`exception`, `rejected`, `log`) and one line of text, for the index of first errors."""
    if problem is not None:
        return "rejected", problem.detail[:512]
    match content:
        case Closing(exception=PipesException() as exception):
            return "exception", exception.message.strip()[:512]
        case ErrorLog():
            return "log", content.message[:512]
        case _:
            return None

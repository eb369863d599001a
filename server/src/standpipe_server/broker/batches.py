"""Request bodies with messages: split into messages that keep their own bytes, each checked against its method.

A body that is not JSON or larger than a limit is refused whole. A message that breaks a rule of its method carries its
problem and is stored as rejected; its siblings are untouched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

import msgspec
from msgspec import Raw

from standpipe_protocol.asset_keys import escape_asset_key, parse_asset_key
from standpipe_protocol.json_text import JsonValue, json_depth, quote_non_finite, replace_lone_surrogates
from standpipe_protocol.limits import Limits
from standpipe_protocol.messages import (
    LOG_LEVELS,
    SEVERITIES,
    STREAMS,
    Closed,
    InvalidMessage,
    Ledger,
    Log,
    Message,
    PipesException,
    ReportAssetCheck,
    ReportAssetMaterialization,
    parse_message,
)
from standpipe_protocol.problems import Problem
from standpipe_server.broker.long_integers import LongIntegers
from standpipe_server.broker.shapes import LeanMessage, decode_lean

Media: TypeAlias = Literal["json", "ndjson"]


class Refused(Exception):
    """A request is refused whole; nothing of it is stored."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Materialization:
    asset_key: str
    data_version: str | None


@dataclass(frozen=True, slots=True)
class Check:
    asset_key: str
    check_name: str
    passed: bool
    severity: str


@dataclass(frozen=True, slots=True)
class Closing:
    exception: PipesException | None
    ledger: Ledger | None


@dataclass(frozen=True, slots=True)
class ErrorLog:
    message: str


Fact: TypeAlias = Materialization | Check | Closing | ErrorLog | None
"""What the rules and the projections need of a message; None for what is only carried."""


@dataclass(frozen=True, slots=True)
class ParsedMessage:
    """One message: its bytes as they came, its method if it has a known one, and what is wrong with it."""

    body: bytes
    method: str | None
    fact: Fact = None
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """The messages of one request; `bare` when the body was one JSON object and not an array or lines."""

    messages: Sequence[ParsedMessage]
    bare: bool


def parse_batch(body: bytes, *, media: Media, limits: Limits) -> Batch:
    """Splits a (decompressed) body into checked messages.

    Raises:
        Refused: `malformed` with the line or offset, or `too-large` with the limit.
    """
    if not body.isascii():
        _check_utf8(body, media=media)
    texts, bare = _split_lines(body, limits=limits) if media == "ndjson" else _split_json(body)
    if len(texts) > limits.batch_messages:
        raise _too_large(f"The batch holds {len(texts)} messages", limits.batch_messages, "batch_messages")
    for index, text in enumerate(texts):
        if len(text) > limits.message_bytes:
            raise _too_large(f"Message {index} holds {len(text)} bytes", limits.message_bytes, "message_bytes")
        if text.count(b"[") + text.count(b"{") > limits.json_depth and json_depth(text) > limits.json_depth:
            raise _too_large(f"Message {index} is nested {json_depth(text)} deep", limits.json_depth, "json_depth")
    return Batch(messages=[_parse_one(text, longest_name=limits.name_characters) for text in texts], bare=bare)


def canonical_asset_key(text: str) -> str:
    """One spelling for one key: `a/b/` and `a/b` are the same."""
    if "/" in text or "\\" in text:
        return escape_asset_key(parse_asset_key(text))
    return text


def _check_utf8(body: bytes, *, media: Media) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise _malformed("The body is not UTF-8", body, offset=error.start, media=media) from None


def _split_json(body: bytes) -> tuple[list[bytes], bool]:
    start = body.lstrip(b" \t\r\n")
    if start.startswith(b"["):
        try:
            return [bytes(raw) for raw in _decode_array(body)], False
        except msgspec.DecodeError as error:
            repaired = _repaired(body)
            if repaired is None:
                raise _malformed_json(error, body) from None
            return [bytes(raw) for raw in _decode_array(repaired)], False
    if not start.startswith(b"{"):
        raise Refused(
            Problem("malformed", "The body is neither a JSON object nor an array of messages.", {"offset": 0})
        )
    return [_checked_object(body.strip(b" \t\r\n"), body=body, line=None)], True


def _split_lines(body: bytes, *, limits: Limits) -> tuple[list[bytes], bool]:
    lines = body.split(b"\n")
    if len(lines) > limits.batch_messages * 2 + 2:
        raise _too_large(f"The batch holds {len(lines)} lines", limits.batch_messages, "batch_messages")
    texts: list[bytes] = []
    for number, line in enumerate(lines, start=1):
        text = line.strip(b" \t\r")
        if text:
            texts.append(_checked_object(text, body=text, line=number))
    return texts, False


def _checked_object(text: bytes, *, body: bytes, line: int | None) -> bytes:
    try:
        _decode_any(text)
    except msgspec.DecodeError as error:
        repaired = _repaired(text)
        if repaired is None:
            raise _malformed_json(error, body, line=line) from None
        return repaired
    return text


def _decode_any(text: bytes) -> Raw:
    try:
        return msgspec.json.decode(text, type=Raw)
    except RecursionError:
        raise _bottomless() from None


def _decode_array(body: bytes) -> list[Raw]:
    try:
        return msgspec.json.decode(body, type=list[Raw])
    except RecursionError:
        raise _bottomless() from None


def _repaired(text: bytes) -> bytes | None:
    """Python's non-finite tokens and lone surrogates made standard JSON; None when that was not what is wrong."""
    repaired = replace_lone_surrogates(quote_non_finite(text))
    try:
        _decode_any(repaired)
    except msgspec.DecodeError:
        return None
    return repaired


def _parse_one(text: bytes, *, longest_name: int) -> ParsedMessage:
    lean = decode_lean(text)
    if lean is not None:
        fast = _from_lean(text, lean)
        if fast is not None and _names_fit(fast.fact, longest_name):
            return fast
    wire = LongIntegers().decode(text)
    method = wire.get("method") if isinstance(wire, dict) else None
    try:
        message = parse_message(wire)
        fact = _fact(message, longest_name=longest_name)
    except InvalidMessage as error:
        problem = Problem("invalid-message", str(error), {"pointer": error.pointer, "expected": error.expected})
        return ParsedMessage(text, method if isinstance(method, str) else None, problem=problem)
    return ParsedMessage(text, message.method, fact)


def _from_lean(text: bytes, lean: LeanMessage) -> ParsedMessage | None:
    """The message when everything the struct left unchecked is plainly right; None sends it to `parse_message`."""
    method = cast("str", lean.__struct_config__.tag)
    params: msgspec.Struct = lean.params  # pyright: ignore[reportAttributeAccessIssue, reportUnknownVariableType, reportUnknownMemberType]  derived at run time
    value = cast("dict[str, object]", msgspec.structs.asdict(params))  # pyright: ignore[reportUnknownArgumentType]  any struct
    match method:
        case "report_asset_materialization" if _object_or_null(value["metadata"]) and value["asset_key"]:
            fact = Materialization(
                canonical_asset_key(cast("str", value["asset_key"])), cast("str | None", value["data_version"])
            )
            return ParsedMessage(text, method, fact)
        case "report_asset_check" if (
            _object_or_null(value["metadata"]) and value["severity"] in SEVERITIES and value["asset_key"]
        ):
            key, name = canonical_asset_key(cast("str", value["asset_key"])), cast("str", value["check_name"])
            return ParsedMessage(
                text, method, Check(key, name, value["passed"] is True, cast("str", value["severity"]))
            )
        case "report_custom_message":
            return ParsedMessage(text, method)
        case "log" if (level := str(value["level"]).upper()) in LOG_LEVELS:
            error = level in ("ERROR", "CRITICAL", "FATAL")
            return ParsedMessage(text, method, ErrorLog(cast("str", value["message"])) if error else None)
        case "log_external_stream" if value["stream"] in STREAMS and _object_or_null(value["extras"]):
            return ParsedMessage(text, method)
        case "opened" if _object_or_null(value["extras"]):
            return ParsedMessage(text, method)
        case _:
            return None


def _object_or_null(raw: object) -> bool:
    return isinstance(raw, Raw) and bytes(raw)[:1] in (b"{", b"n")


def _names_fit(fact: Fact, longest_name: int) -> bool:
    match fact:
        case Materialization():
            return len(fact.asset_key) <= longest_name and len(fact.data_version or "") <= longest_name
        case Check():
            return len(fact.asset_key) <= longest_name and len(fact.check_name) <= longest_name
        case _:
            return True


def _fact(message: Message, *, longest_name: int) -> Fact:
    match message:
        case ReportAssetMaterialization():
            key = _named_key(message.asset_key)
            _check_length(key, "asset_key", longest_name)
            _check_length(message.data_version or "", "data_version", longest_name)
            return Materialization(key, message.data_version)
        case ReportAssetCheck():
            key = _named_key(message.asset_key)
            _check_length(key, "asset_key", longest_name)
            _check_length(message.check_name, "check_name", longest_name)
            return Check(key, message.check_name, message.passed, message.severity)
        case Closed():
            return Closing(message.exception, message.ledger)
        case Log() if message.level.upper() in ("ERROR", "CRITICAL", "FATAL"):
            return ErrorLog(message.message)
        case _:
            return None


def _named_key(text: str) -> str:
    key = canonical_asset_key(text)
    if not key:
        raise InvalidMessage(pointer="/params/asset_key", expected="an asset key", got="an empty key")
    return key


def _check_length(name: str, parameter: str, longest: int) -> None:
    if len(name) > longest:
        raise InvalidMessage(
            pointer=f"/params/{parameter}", expected=f"at most {longest} characters", got=f"{len(name)} characters"
        )


def _bottomless() -> Refused:
    """Nested deeper than any limit: the reader gave up on it before it could be counted."""
    return _too_large("The body is nested a thousand deep or more", Limits().json_depth, "json_depth")


def _too_large(what: str, limit: int, name: str) -> Refused:
    members: dict[str, JsonValue] = {"limit": limit, "limit_name": name}
    return Refused(Problem("too-large", f"{what}; the limit `{name}` is {limit}. Nothing was stored.", members))


def _malformed_json(error: Exception, body: bytes, *, line: int | None = None) -> Refused:
    at = re.search(r"\(byte (\d+)\)", str(error))
    offset = int(at.group(1)) if at else len(body)
    text = re.sub(r"\s*\(byte \d+\)", "", str(error))
    return _malformed(f"The body is not JSON: {text}", body, offset=offset, media="json", line=line)


def _malformed(what: str, body: bytes, *, offset: int, media: Media, line: int | None = None) -> Refused:
    number = line if line is not None else body.count(b"\n", 0, offset) + 1
    members: dict[str, JsonValue] = {"line": number, "offset": offset}
    place = f"line {number}" if media == "ndjson" or line is not None else f"byte {offset} (line {number})"
    return Refused(Problem("malformed", f"{what} at {place}. Nothing was stored.", members))

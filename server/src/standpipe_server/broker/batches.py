"""Request bodies with messages: split into messages that keep their own bytes, each checked against its method.

A body that is not JSON or larger than a limit is refused whole. A message that breaks a rule of its method carries its
problem and is stored as rejected; its siblings are untouched.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw

from standpipe_protocol.json_text import JsonValue, json_depth, quote_non_finite, replace_lone_surrogates
from standpipe_protocol.limits import Limits
from standpipe_protocol.problems import Problem
from standpipe_server.broker.facts import ParsedMessage, parse_messages
from standpipe_server.broker.shapes import decode_lean_array

Media: TypeAlias = Literal["json", "ndjson"]

_ALL_BUT_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[]{}")
_ONE_KIND = bytes.maketrans(b"{}", b"[]")
_COUNTED_BYTES = 16 * 1024
_BRACKETS_LOOKED_AT = 256 * 1024
_decode_raws = msgspec.json.Decoder(list[Raw]).decode


class Refused(Exception):
    """A request is refused whole; nothing of it is stored."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


class Batch(msgspec.Struct, frozen=True, gc=False):
    """The messages of one request; `bare` when the body was one JSON object and not an array or lines.

    `array` holds their own bytes, as one JSON array.
    """

    messages: Sequence[ParsedMessage]
    array: bytes
    bare: bool

    def array_from(self, index: int) -> bytes:
        """The bytes of the messages from `index` on, as a JSON array."""
        if index == 0:
            return self.array
        return join_messages([bytes(raw) for raw in decode_array(self.array)[index:]])


def join_messages(texts: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(texts) + b"]"


def parse_batch(body: bytes, *, media: Media, limits: Limits) -> Batch:
    """Splits a (decompressed) body into checked messages.

    Raises:
        Refused: `malformed` with the line or offset, or `too-large` with the limit.
    """
    if not body.isascii():
        _check_utf8(body, media=media)
    array, bare, leans = body.strip(b" \t\r\n"), False, None
    if media == "json" and array.startswith(b"["):
        leans = decode_lean_array(array)
    elif media == "json" and array.startswith(b"{"):
        bare, array = True, join_messages([array])
        leans = decode_lean_array(array)
        # A comma between two objects is no message.
        leans = leans if leans is not None and len(leans) == 1 else None
    if leans is not None:
        _check_sizes(array, limits=limits)
    else:
        split = _array_of_lines if media == "ndjson" else _array_of_json
        array, bare = split(body, limits=limits)
        leans = decode_lean_array(array)
    messages = parse_messages(lambda: decode_array(array), leans, longest_name=limits.name_characters)
    if len(messages) > limits.batch_messages:
        raise _too_large(f"The batch holds {len(messages)} messages", limits.batch_messages, "batch_messages")
    return Batch(messages, array, bare)


def _check_utf8(body: bytes, *, media: Media) -> None:
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise _malformed("The body is not UTF-8", body, offset=error.start, media=media) from None


def _array_of_json(body: bytes, *, limits: Limits) -> tuple[bytes, bool]:
    body = body.strip(b" \t\r\n")
    if body.startswith(b"["):
        return _checked(body, body=body, limits=limits), False
    if not body.startswith(b"{"):
        raise Refused(
            Problem("malformed", "The body is neither a JSON object nor an array of messages.", {"offset": 0})
        )
    return join_messages([_checked(body, body=body, limits=limits)]), True


def _array_of_lines(body: bytes, *, limits: Limits) -> tuple[bytes, bool]:
    lines = [text for line in body.split(b"\n") if (text := line.strip(b" \t\r"))]
    if len(lines) > limits.batch_messages:
        raise _too_large(f"The batch holds {len(lines)} messages", limits.batch_messages, "batch_messages")
    array = join_messages(lines)
    try:
        # Each line must be a message by itself, which a comma between them does not say.
        one_each = [bytes(raw) for raw in decode_array(array)] == lines
    except msgspec.DecodeError:
        one_each = False
    if one_each:
        _check_sizes(array, limits=limits)
        return array, False
    numbered = enumerate(body.split(b"\n"), start=1)
    checked = [
        _checked(text, body=text, limits=limits, line=number)
        for number, line in numbered
        if (text := line.strip(b" \t\r"))
    ]
    return join_messages(checked), False


def _checked(text: bytes, *, body: bytes, limits: Limits, line: int | None = None) -> bytes:
    """The text of an array or a message when it is JSON and within the limits, repaired where Python wrote it."""
    try:
        _decode_any(text)
    except msgspec.DecodeError as error:
        repaired = _repaired(text)
        if repaired is None:
            raise _malformed_json(error, body, line=line) from None
        text = repaired
    _check_sizes(text if text.startswith(b"[") else join_messages([text]), limits=limits)
    return text


def _check_sizes(array: bytes, *, limits: Limits) -> None:
    """Refuses an array with a message that is too long or nested too deep; looks at each only where it may be."""
    if len(array) <= limits.message_bytes:
        depth = limits.json_depth + 1
        # In a large array there are never few, and counting them costs more than taking them out.
        few_brackets = len(array) <= _COUNTED_BYTES and array.count(b"{") + array.count(b"[") <= depth
        if few_brackets or _plainly_shallow(array, depth=depth):
            return
    for index, raw in enumerate(decode_array(array)):
        text = bytes(raw)
        if len(text) > limits.message_bytes:
            raise _too_large(f"Message {index} holds {len(text)} bytes", limits.message_bytes, "message_bytes")
        if text.count(b"[") + text.count(b"{") > limits.json_depth and json_depth(text) > limits.json_depth:
            raise _too_large(f"Message {index} is nested {json_depth(text)} deep", limits.json_depth, "json_depth")


def _plainly_shallow(array: bytes, *, depth: int) -> bool:
    """Whether the brackets alone say that the nesting is within `depth`; False is no answer (strings hold brackets)."""
    brackets = array.translate(_ONE_KIND, _ALL_BUT_BRACKETS)
    if len(brackets) > _BRACKETS_LOOKED_AT:
        return False
    # Innermost pairs go first, one level a turn; few levels are what messages have.
    for _ in range(min(depth, 16)):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return True
    return False


def _decode_any(text: bytes) -> Raw:
    try:
        return msgspec.json.decode(text, type=Raw)
    except RecursionError:
        raise _bottomless() from None


def decode_array(array: bytes) -> list[Raw]:
    """The elements of a JSON array, each as its bytes."""
    try:
        return _decode_raws(array)
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

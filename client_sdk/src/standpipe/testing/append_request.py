"""An append as it came to the recording broker: read by the server's rules, whole or not at all. Pure."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

from standpipe_protocol.invocation import FIRST_SEQ_HEADER, PRODUCER_HEADER
from standpipe_protocol.json_scan import json_depth, quote_non_finite, replace_lone_surrogates
from standpipe_protocol.json_text import JsonValue, LongInteger, decode_json, encode_json, json_pointer
from standpipe_protocol.limits import Limits
from standpipe_protocol.problems import Problem
from standpipe_protocol.reports import long_integer

ANONYMOUS = "anonymous"
_PRODUCER = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_NUMBER = re.compile(r"[0-9]{1,16}")
_LINES = ("application/x-ndjson", "application/ndjson", "application/jsonl")


class RequestRefused(Exception):
    """Nothing of the request is stored."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class AppendRequest:
    """The messages of one request, and their producer."""

    producer: str
    first_seq: int | None
    messages: tuple[JsonValue, ...]
    bare: bool
    """The body was one message, not an array or lines."""


def read_append(header: Callable[[str], str | None], body: bytes, *, limits: Limits) -> AppendRequest:
    """Raises RequestRefused where a header or the body cannot be read, or is beyond a limit."""
    producer, first_seq = _numbering(header(PRODUCER_HEADER), header(FIRST_SEQ_HEADER))
    text = _decompressed(body, header("Content-Encoding") or "", limits=limits)
    content: JsonValue
    if (header("Content-Type") or "").partition(";")[0].strip().lower() in _LINES:
        content = list(_lines(text, digits=limits.integer_digits))
    else:
        content = _decoded(text, digits=limits.integer_digits)
        if not isinstance(content, (dict, list)):
            raise _malformed("The body is neither a JSON object nor an array of messages.", offset=0)
    messages = tuple(content) if isinstance(content, list) else (content,)
    if len(messages) > limits.batch_messages:
        raise _beyond("The batch holds more messages", limits.batch_messages, "batch_messages")
    for index, message in enumerate(messages):
        encoded = encode_json(message)
        if len(encoded) > limits.message_bytes:
            raise _beyond(f"Message {index} holds more bytes", limits.message_bytes, "message_bytes")
        if json_depth(encoded, enough=limits.json_depth) > limits.json_depth:
            raise _beyond(f"Message {index} is nested deeper", limits.json_depth, "json_depth")
    return AppendRequest(producer=producer, first_seq=first_seq, messages=messages, bare=isinstance(content, dict))


def long_integer_in(message: JsonValue, *, digits: int) -> Problem | None:
    """What is wrong with a message that holds a longer integer."""
    if not isinstance(message, dict):
        return None
    params, bound = message.get("params"), _first_longer(digits)
    inside = list(params.items()) if isinstance(params, dict) else []
    places = [(json_pointer("params", name), value) for name, value in inside]
    places += [(json_pointer(name), value) for name, value in message.items()]
    place = next((pointer for pointer, value in places if _reaches(value, bound)), None)
    return None if place is None else long_integer(place, digits=digits)


@cache
def _first_longer(digits: int) -> int:
    """Cached: the one of a hundred thousand digits takes ten milliseconds to make."""
    return 10**digits


def _reaches(value: JsonValue, bound: int) -> bool:
    """Whether there is an integer within that is as large as this or larger."""
    waiting: list[JsonValue | LongInteger] = [value]
    while waiting:
        match waiting.pop():
            case LongInteger():
                return True
            case int() as number if abs(number) >= bound:
                return True
            case dict() as members:
                waiting += members.values()
            case list() as items:
                waiting += items
            case _:
                pass
    return False


def _numbering(producer: str | None, first_seq: str | None) -> tuple[str, int | None]:
    if first_seq is not None and not (_NUMBER.fullmatch(first_seq) and int(first_seq)):
        raise _wrong_header(FIRST_SEQ_HEADER, first_seq, expected="a whole number from 1")
    if producer is not None and not _PRODUCER.fullmatch(producer):
        expected = "1 to 128 characters out of letters, digits and . _ : -"
        raise _wrong_header(PRODUCER_HEADER, producer, expected=expected)
    if (producer is None) != (first_seq is None):
        missing = PRODUCER_HEADER if producer is None else FIRST_SEQ_HEADER
        raise _wrong_header(missing, "", expected="a value, since the other of the two is there")
    return producer or ANONYMOUS, None if first_seq is None else int(first_seq)


def _decompressed(body: bytes, encoding: str, *, limits: Limits) -> bytes:
    if len(body) > limits.body_bytes:
        raise _beyond("The body is larger", limits.body_bytes, "body_bytes")
    if encoding not in ("", "identity", "gzip"):
        detail = f"The body's encoding is {encoding[:100]!r}; expected gzip or none. Nothing was stored."
        raise RequestRefused(Problem("unsupported-media-type", detail, {"expected": "gzip"}))
    if encoding == "gzip":
        try:
            body = zlib.decompress(body, 16 + zlib.MAX_WBITS)
        except zlib.error as error:
            raise _malformed(f"The body is not gzip: {error}. Nothing was stored.", offset=0) from None
    if len(body) > limits.decompressed_bytes:
        raise _beyond("The body is larger", limits.decompressed_bytes, "decompressed_bytes")
    return body


def _lines(text: bytes, *, digits: int) -> Iterator[JsonValue]:
    for number, line in enumerate(text.split(b"\n"), 1):
        if stripped := line.strip(b" \t\r"):
            yield _decoded(stripped, digits=digits, line=number)


def _decoded(text: bytes, *, digits: int, line: int | None = None) -> JsonValue:
    try:
        return decode_json(replace_lone_surrogates(quote_non_finite(text)), longest_integer=digits)
    except ValueError as error:
        where: dict[str, JsonValue] = {"offset": getattr(error, "pos", 0)} if line is None else {"line": line}
        raise RequestRefused(
            Problem("malformed", f"The body is not JSON: {error}. Nothing was stored.", where)
        ) from None


def _malformed(detail: str, *, offset: int) -> RequestRefused:
    return RequestRefused(Problem("malformed", detail, {"offset": offset}))


def _wrong_header(name: str, value: str, *, expected: str) -> RequestRefused:
    detail = f"The header `{name}` is {value[:100]!r}; expected {expected}. Nothing was stored."
    return RequestRefused(Problem("malformed", detail, {"header": name}))


def _beyond(what: str, limit: int, name: str) -> RequestRefused:
    members: dict[str, JsonValue] = {"limit": limit, "limit_name": name}
    return RequestRefused(
        Problem("too-large", f"{what} than the limit `{name}` of {limit}. Nothing was stored.", members)
    )

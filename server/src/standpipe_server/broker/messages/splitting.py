"""Where the messages of a body begin and end, found within the limits: what is beyond one is not read further.

A body may weigh 64 MiB and be written to cost as much as it can. So messages are cut off one after the other, each
within the size of a message, and Python's non-standard JSON is repaired in windows, no sooner than it is needed.
Invariant: memory beside the body and its standard form does not grow with it, and no step takes more than a message.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import msgspec
from msgspec import Raw

from standpipe_protocol.json_scan import repaired_windows
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.limits import Limits
from standpipe_protocol.problems import Problem

Media: TypeAlias = Literal["json", "ndjson"]
Span: TypeAlias = tuple[int, int]

_WHITE = b" \t\r\n"
_WHITE_RUN = re.compile(rb"[ \t\r\n]*")
_STEP = 1024 * 1024
# What follows a message has to be seen: white space, and a comma or a bracket.
_BEYOND = 64
_ONE_STEP_BYTES = 8 * 1024 * 1024
_decode_raw = msgspec.json.Decoder(Raw).decode
_decode_raws = msgspec.json.Decoder(list[Raw]).decode


class Refused(Exception):
    """A request is refused whole; nothing of it is stored."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Split:
    """An array of messages, and where each of them lies in it; `bare` when the body was one object."""

    array: bytes
    spans: Sequence[Span]
    bare: bool


class _NotStandard(Exception):
    """The text is no standard JSON at this place; repaired it may be."""

    def __init__(self, why: str, offset: int) -> None:
        super().__init__(why)
        self.why, self.offset = why, offset


class _Text:
    """A text that may still grow. Views of it are short-lived, since it cannot grow while there is one."""

    def __init__(self, text: bytes | bytearray, more: Iterator[bytes] | None = None) -> None:
        self.text = text
        self._more = iter(()) if more is None else more

    def grow(self, size: int) -> bool:
        """Adds so much, if there is any; False when there was nothing more."""
        added = 0
        while added < size and (window := next(self._more, None)) is not None:
            assert isinstance(self.text, bytearray)  # noqa: S101  only that grows
            self.text += window
            added += len(window)
        return added > 0

    def skip_white(self, place: int) -> int:
        """The place of what comes after white space; the end of the text when nothing does."""
        while True:
            match = _WHITE_RUN.match(self.text, place, place + _STEP)
            end = place if match is None else match.end()
            if end < len(self.text) and end < place + _STEP:
                return end
            if end == len(self.text) and not self.grow(_STEP):
                return end
            place = end

    def value_end(self, start: int, *, longest: int) -> int | None:
        """Where the value ends that begins here; None when that is beyond `longest` bytes.

        Raises:
            _NotStandard: it does not end, or is no JSON.
        """
        looked = 0
        while True:
            size = min(longest + _BEYOND, len(self.text) - start)
            if size <= looked and not self.grow(max(_STEP, looked)):
                raise _NotStandard("Input data was truncated", len(self.text))
            size = min(longest + _BEYOND, len(self.text) - start)
            end = self._end_within(start, size)
            if end is not None:
                return end if end - start <= longest else None
            if size == longest + _BEYOND:
                return None
            looked = size
            if not self.grow(max(_STEP, looked)):
                raise _NotStandard("Input data was truncated", len(self.text))

    def _end_within(self, start: int, size: int) -> int | None:
        """Where the value ends that begins here; None when it may go on behind so many bytes."""
        with memoryview(self.text) as view, view[start : start + size] as part:
            try:
                _decode_raw(part)
            except RecursionError:
                raise bottomless() from None
            except msgspec.DecodeError as error:
                why = str(error)
                if why == "Input data was truncated":
                    return None
                at = _offset(why)
                if at is not None and at >= size and "trailing characters" not in why:
                    return None
                if "trailing characters" not in why or at is None:
                    raise _NotStandard(why, start + (size if at is None else at)) from None
                end = start + at - 1
            else:
                return self._end_of_all(start, size)
        return self._without_white(start, end)

    def _end_of_all(self, start: int, size: int) -> int | None:
        """The end of a value that all of this part is, unless it may go on: a number, or white space behind it."""
        end = self._without_white(start, start + size)
        return None if end == start + size and end < len(self.text) else end

    def _without_white(self, start: int, end: int) -> int:
        if self.text[end - 1] in _WHITE:
            end = start + len(bytes(self.text[start:end]).rstrip(_WHITE))
        return end


def split_messages(body: bytes, *, media: Media, limits: Limits) -> Split:
    """Finds the messages of a body.

    Raises:
        Refused: `malformed` with the line or offset, or `too-large` with the limit.
    """
    _check_utf8(body, media=media)
    if media == "ndjson":
        return _split_lines(body, limits=limits)
    try:
        return _split_json(_Text(body), limits=limits)
    except _NotStandard as error:
        wrong = error
    repaired = _Text(bytearray(), repaired_windows(body))
    try:
        return _split_json(repaired, limits=limits)
    except _NotStandard:
        raise malformed_json(wrong.why, body, offset=wrong.offset) from None


def array_texts(array: bytes) -> Sequence[Raw]:
    """The elements of a JSON array that is known to be one, each as its bytes."""
    if len(array) <= _ONE_STEP_BYTES:
        try:
            return _decode_raws(array)
        except RecursionError:
            raise bottomless() from None
    view = memoryview(array)
    return [Raw(view[start:end]) for start, end in _elements(_Text(array), longest=len(array), most=len(array))]


def join_messages(texts: Sequence[bytes]) -> bytes:
    return b"[" + b",".join(texts) + b"]"


def _split_json(text: _Text, *, limits: Limits) -> Split:
    start = text.skip_white(0)
    first = text.text[start : start + 1]
    if first == b"[":
        spans = _elements(text, longest=limits.message_bytes, most=limits.batch_messages)
        return Split(bytes(text.text), spans, bare=False)
    if first != b"{":
        raise Refused(
            Problem("malformed", "The body is neither a JSON object nor an array of messages.", {"offset": 0})
        )
    end = text.value_end(start, longest=limits.message_bytes)
    if end is None:
        raise _message_too_long(0, limits)
    rest = text.skip_white(end)
    if rest < len(text.text):
        raise _NotStandard("JSON is malformed: trailing characters", rest)
    return Split(join_messages([bytes(text.text[start:end])]), [(1, 1 + end - start)], bare=True)


def _elements(text: _Text, *, longest: int, most: int) -> list[Span]:
    """Where the elements of an array lie, which is all of the text."""
    spans: list[Span] = []
    place = text.skip_white(text.skip_white(0) + 1)
    if text.text[place : place + 1] == b"]":
        place += 1
    else:
        while True:
            end = text.value_end(place, longest=longest)
            if len(spans) == most:
                raise too_large(f"The batch holds more than {most} messages", most, "batch_messages")
            if end is None:
                raise too_large(f"Message {len(spans)} holds more than {longest} bytes", longest, "message_bytes")
            spans.append((place, end))
            place = text.skip_white(end)
            mark = text.text[place : place + 1]
            if mark == b"]":
                place += 1
                break
            if mark != b",":
                raise _NotStandard(_unfinished(mark), place)
            comma, place = place, text.skip_white(place + 1)
            if text.text[place : place + 1] == b"]":
                raise _NotStandard("JSON is malformed: trailing comma in array", comma + 1)
    rest = text.skip_white(place)
    if rest < len(text.text):
        raise _NotStandard("JSON is malformed: trailing characters", rest)
    return spans


def _unfinished(mark: bytes | bytearray) -> str:
    return "JSON is malformed: expected ',' or ']'" if mark else "Input data was truncated"


def _split_lines(body: bytes, *, limits: Limits) -> Split:
    text, parts, spans = _Text(body), list[memoryview | bytes](), list[Span]()
    view, place, at = memoryview(body), 0, 1
    while (start := text.skip_white(place)) < len(body):
        newline = body.find(b"\n", start)
        place = len(body) if newline < 0 else newline
        if len(parts) == limits.batch_messages:
            raise too_large(
                f"The batch holds more than {limits.batch_messages} messages", limits.batch_messages, "batch_messages"
            )
        line = _line(body, view, start, place, index=len(parts), limits=limits)
        parts.append(line)
        spans.append((at, at + len(line)))
        at += len(line) + 1
    return Split(b"[" + b",".join(parts) + b"]", spans, bare=False)


def _line(body: bytes, view: memoryview, start: int, end: int, *, index: int, limits: Limits) -> memoryview | bytes:
    """One line's message, repaired where Python wrote it."""
    if body[end - 1] in _WHITE:
        # A line is longer than its message by what stands behind it.
        end = start + len(bytes(view[start:end]).rstrip(_WHITE))
    if end - start > limits.message_bytes:
        raise _message_too_long(index, limits)
    why = _why_no_json(view[start:end])
    if why is None:
        return view[start:end]
    repaired = b"".join(repaired_windows(bytes(view[start:end])))
    if _why_no_json(repaired) is not None:
        number = body.count(b"\n", 0, start) + 1
        at = _offset(why)
        raise malformed_json(why, body, offset=end - start if at is None else at, line=number)
    if len(repaired) > limits.message_bytes:
        raise _message_too_long(index, limits)
    return repaired


def _why_no_json(text: bytes | memoryview) -> str | None:
    try:
        _decode_raw(text)
    except RecursionError:
        raise bottomless() from None
    except msgspec.DecodeError as error:
        return str(error)
    return None


def _check_utf8(body: bytes, *, media: Media) -> None:
    if body.isascii():
        return
    decoder, view = codecs.getincrementaldecoder("utf-8")(), memoryview(body)
    for start in range(0, len(body), _STEP):
        before = len(decoder.getstate()[0])
        try:
            decoder.decode(view[start : start + _STEP], start + _STEP >= len(body))
        except UnicodeDecodeError as error:
            raise malformed("The body is not UTF-8", body, offset=start - before + error.start, media=media) from None


def bottomless() -> Refused:
    """Nested deeper than any limit: the reader gave up on it before it could be counted."""
    return too_large("The body is nested a thousand deep or more", Limits().json_depth, "json_depth")


def too_large(what: str, limit: int, name: str) -> Refused:
    members: dict[str, JsonValue] = {"limit": limit, "limit_name": name}
    return Refused(Problem("too-large", f"{what}; the limit `{name}` is {limit}. Nothing was stored.", members))


def malformed_json(why: str, body: bytes, *, offset: int, line: int | None = None) -> Refused:
    text = re.sub(r"\s*\(byte \d+\)", "", why)
    return malformed(f"The body is not JSON: {text}", body, offset=offset, media="json", line=line)


def malformed(what: str, body: bytes, *, offset: int, media: Media, line: int | None = None) -> Refused:
    number = line if line is not None else body.count(b"\n", 0, offset) + 1
    members: dict[str, JsonValue] = {"line": number, "offset": offset}
    place = f"line {number}" if media == "ndjson" or line is not None else f"byte {offset} (line {number})"
    return Refused(Problem("malformed", f"{what} at {place}. Nothing was stored.", members))


def _message_too_long(index: int, limits: Limits) -> Refused:
    return too_large(
        f"Message {index} holds more than {limits.message_bytes} bytes", limits.message_bytes, "message_bytes"
    )


def _offset(why: str) -> int | None:
    at = re.search(r"\(byte (\d+)\)", why)
    return None if at is None else int(at.group(1))

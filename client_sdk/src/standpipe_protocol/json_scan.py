"""JSON text looked at and repaired before it is decoded, in windows of bounded size.

A text may weigh megabytes and be written to cost as much as it can, so everything here takes time in proportion to its
length, memory beside the text for one window only, and the interpreter's lock for one window at a time.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator
from itertools import accumulate

_WINDOW = 256 * 1024
# What a pattern may span across the end of a window: more white space than that inside one metadata entry is no repair.
_CONTEXT = 1024

# In a metadata entry with a type to be inferred the token says that the value is a float; the string no longer would.
# A quote after a backslash does not open a string, so nothing inside a string looks like this.
_INFERRED_RAW_FIRST = re.compile(
    rb'(?<!\\)("raw_value"\s{0,200}:\s{0,200})(NaN|-?Infinity)(\s{0,200},\s{0,200}"type"\s{0,200}:\s{0,200})"__infer__"',
)
_INFERRED_TYPE_FIRST = re.compile(
    rb'(?<!\\)("type"\s{0,200}:\s{0,200})"__infer__"(\s{0,200},\s{0,200}"raw_value"\s{0,200}:\s{0,200})(NaN|-?Infinity)\b',
)
_INFERRED = _INFERRED_RAW_FIRST.pattern + b"|" + _INFERRED_TYPE_FIRST.pattern
_NOT_FINITE = re.compile(_INFERRED + b"|-?[A-Za-z]+")

_HIGH = rb"\\u[dD][89abAB][0-9a-fA-F]{2}"
_LOW = rb"\\u[dD][c-fC-F][0-9a-fA-F]{2}"
_SURROGATES = re.compile(_HIGH + _LOW + rb"|\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_REPAIRED = re.compile(_INFERRED + b"|" + _SURROGATES.pattern + b"|-?[A-Za-z]+")
_LONE = re.compile(_HIGH + b"(?!" + _LOW + b")|(?<!" + _HIGH + b")" + _LOW)

_NOT_A_BRACKET = bytes(sorted(set(range(256)) - set(b"[]{}")))
_STEPS = bytes.maketrans(b"[{]}", bytes([1, 1, 255, 255]))
_DIGITS = b"0123456789"
_DIGIT_RUN = re.compile(rb"[0-9]*")

# Bytes that no UTF-8 has: an escaped backslash and an escaped quote while others are looked for, and a cut.
_BACKSLASH, _QUOTE, _SEPARATOR = b"\xff\xff", b"\xff\xfe", b"\xfd"


def repaired_windows(text: bytes) -> Iterator[bytes]:
    """The UTF-8 text as standard JSON, window by window: the tokens `NaN`, `Infinity` and `-Infinity` of Python as
    strings, an escaped half of a surrogate pair as `\\ufffd`."""
    in_string = 0
    for start, end in _windows(text, crossing=_REPAIRED):
        masked = _typed_as_float(text[start:end]).replace(b"\\\\", _BACKSLASH).replace(b'\\"', _QUOTE)
        masked, quotes = _non_finite_quoted(masked, in_string)
        in_string = (in_string + quotes) % 2
        if b"\\ud" in masked or b"\\uD" in masked:
            masked = _LONE.sub(rb"\\ufffd", masked)
        yield masked.replace(_QUOTE, b'\\"').replace(_BACKSLASH, b"\\\\")


def quote_non_finite(text: bytes) -> bytes:
    """Rewrites the tokens `NaN`, `Infinity` and `-Infinity` as strings; a text that is no UTF-8 comes back as it is."""
    if (b"NaN" not in text and b"Infinity" not in text) or b"\xff" in text:
        return text
    parts: list[bytes] = []
    in_string = 0
    for start, end in _windows(text, crossing=_NOT_FINITE):
        masked = _typed_as_float(text[start:end]).replace(b"\\\\", _BACKSLASH).replace(b'\\"', _QUOTE)
        masked, quotes = _non_finite_quoted(masked, in_string)
        in_string = (in_string + quotes) % 2
        parts.append(masked.replace(_QUOTE, b'\\"').replace(_BACKSLASH, b"\\\\"))
    return b"".join(parts)


def replace_lone_surrogates(text: bytes) -> bytes:
    """Rewrites an escaped half of a surrogate pair (`\\ud800` alone) as `\\ufffd`: strict readers refuse the whole text
    for it, and Python writes such escapes for undecodable file names. A text that is no UTF-8 comes back as it is."""
    if (b"\\ud" not in text and b"\\uD" not in text) or b"\xff" in text:
        return text
    return b"".join(
        _LONE.sub(rb"\\ufffd", text[start:end].replace(b"\\\\", _BACKSLASH)).replace(_BACKSLASH, b"\\\\")
        for start, end in _windows(text, crossing=_SURROGATES)
    )


def json_depth(text: bytes, *, enough: int | None = None) -> int:
    """The deepest nesting of arrays and objects in a JSON text (0 for a bare scalar), counted until it exceeds
    `enough`. Does not validate."""
    depth = deepest = in_string = 0
    for start, end in _windows(text):
        # Every second piece between string delimiters lies outside of strings.
        pieces = _without_escapes(text[start:end]).split(b'"')
        steps = array("b", b"".join(pieces[in_string::2]).translate(_STEPS, _NOT_A_BRACKET))
        in_string = (in_string + len(pieces) - 1) % 2
        deepest = max(deepest, depth + max(accumulate(steps), default=0))
        depth += sum(steps)
        if enough is not None and deepest > enough:
            break
    return deepest


def has_longer_integer(text: bytes, digits: int) -> bool:
    """Whether a JSON text holds an integer of more than so many digits. Does not validate."""
    stride = digits + 1
    counted = in_string = 0
    place = digits
    while place < len(text):
        if text[place] not in _DIGITS:
            place += stride
            continue
        # Such a run reaches over a multiple of the stride; the one that it begins at was looked at before.
        before = text[max(0, place - digits) : place]
        start = place - (len(before) - len(before.rstrip(_DIGITS)))
        run = _DIGIT_RUN.match(text, place)
        end = place if run is None else run.end()
        if end - start > digits and _is_integer(text, start, end):
            in_string = (in_string + _quotes(text, counted, start)) % 2
            counted = start
            if not in_string:
                return True
        place = max(place + stride, end + digits)
    return False


def _windows(text: bytes, *, crossing: re.Pattern[bytes] | None = None) -> Iterator[tuple[int, int]]:
    """Cuts a text into windows; no escape and nothing that `crossing` matches is cut in two."""
    start, size = 0, len(text)
    while start < size:
        end = min(start + _WINDOW, size)
        if end < size:
            if crossing is not None:
                for match in crossing.finditer(text, end - _CONTEXT, end + _CONTEXT):
                    if match.start() < end < match.end():
                        end = match.start()
                        break
            window = text[start:end]
            # Backslashes go in pairs; an odd one at the end belongs to what comes next.
            end -= (len(window) - len(window.rstrip(b"\\"))) % 2
        yield start, end
        start = end


def _typed_as_float(window: bytes) -> bytes:
    if b"__infer__" not in window or (b"NaN" not in window and b"Infinity" not in window):
        return window
    window = _INFERRED_RAW_FIRST.sub(rb'\1"\2"\3"float"', window)
    return _INFERRED_TYPE_FIRST.sub(rb'\1"float"\2"\3"', window)


def _non_finite_quoted(masked: bytes, in_string: int) -> tuple[bytes, int]:
    """A window with the tokens outside of its strings as strings, and how many string delimiters it had."""
    quotes = masked.count(b'"')
    if b"NaN" not in masked and b"Infinity" not in masked:
        return masked, quotes
    pieces = masked.split(b'"')
    if len(pieces) == in_string:
        return masked, quotes
    outside = _SEPARATOR.join(pieces[in_string::2])
    for name in (b"NaN", b"Infinity"):
        outside = outside.replace(name, b'"%b"' % name).replace(b'-"%b"' % name, b'"-%b"' % name)
    pieces[in_string::2] = outside.split(_SEPARATOR)
    return b'"'.join(pieces), quotes


def _is_integer(text: bytes, start: int, end: int) -> bool:
    """Whether these digits are neither a fraction, nor an exponent, nor the beginning of a float."""
    before = text[max(0, start - 2) : start]
    return (
        before[-1:] not in (b".", b"e", b"E", b"+")
        and before not in (b"e-", b"E-")
        and text[end : end + 1]
        not in (
            b".",
            b"e",
            b"E",
        )
    )


def _quotes(text: bytes, start: int, end: int) -> int:
    """How many string delimiters there are in a part of a text that begins and ends with a whole escape."""
    part = memoryview(text)[start:end]
    return sum(_without_escapes(window).count(b'"') for window in _parts(bytes(part)))


def _parts(text: bytes) -> Iterator[bytes]:
    return (text[start:end] for start, end in _windows(text))


def _without_escapes(text: bytes) -> bytes:
    """The text at its full length, escaped backslashes and quotes blanked: every quote left delimits a string."""
    return text.replace(b"\\\\", b"__").replace(b'\\"', b"__")

"""JSON text as this protocol uses it: standard JSON on the wire, with non-finite floats carried as strings.

`NaN`, `Infinity` and `-Infinity` are not JSON. Python writes them all the same, Dagster's programs send them, and
databases refuse them, so they travel as the strings `"NaN"`, `"Infinity"` and `"-Infinity"`.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union, cast

JsonValue: TypeAlias = Union[bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]", None]
JsonObject: TypeAlias = "dict[str, JsonValue]"

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

# Python writes and reads integers of up to 640 digits under any limit; 2,000 bits are 603 digits.
_SHORT_DIGITS = 600
_LONG_BITS = 2000

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)


class LongInteger:
    """An integer of more digits than its reader calculates with: the text of them, and JSON as it came."""

    __slots__ = ("digits",)

    def __init__(self, digits: str) -> None:
        self.digits = digits

    def __str__(self) -> str:
        return self.digits

    def __repr__(self) -> str:
        return f"LongInteger({self.digits!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LongInteger) and self.digits == other.digits

    def __hash__(self) -> int:
        return hash(self.digits)


def encode_json(value: object) -> bytes:
    """Encodes a value as compact ASCII JSON. Dictionary keys are coerced to strings as `json.dumps` does it (a
    DataFrame's integer index becomes `"0"`, `"1"`), non-finite floats become strings, and integers of any size are
    written in full. Raises TypeError where JSON cannot carry the value, and ValueError where it contains itself."""
    try:
        return _encoder.encode(value).encode("ascii")
    except TypeError as error:
        if LongInteger.__name__ not in str(error):
            raise
    except ValueError as error:
        # The one other ValueError is a circular reference, and walking that would never end.
        if "not JSON compliant" not in str(error) and "integer string conversion" not in str(error):
            raise
    long_integers = _LongIntegers()
    try:
        plain = _plain(value, long_integers)
    except RecursionError:
        raise ValueError("Circular reference detected") from None
    return long_integers.put_back(_encoder.encode(plain).encode("ascii"))


def decode_json(text: str | bytes, *, longest_integer: int | None = None) -> JsonValue:
    """Decodes JSON text with integers of any size. A million digits take Python a second, and eight million half a
    minute, in which no other thread runs: with `longest_integer` an integer of more digits becomes a `LongInteger`.
    Raises ValueError where the text is not JSON (a `json.JSONDecodeError`, with line and column), not UTF-8, or nested
    more deeply than Python can read."""
    # From bytes `json.loads` would guess the encoding, and let halves of surrogate pairs pass as UTF-8.
    decoded = text.decode("utf-8") if isinstance(text, bytes) else text
    try:
        return cast("JsonValue", json.loads(decoded))
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("The JSON is nested too deeply to be read.") from None
    except ValueError as error:
        if "integer string conversion" not in str(error):
            raise
    if longest_integer is None:
        return cast("JsonValue", json.loads(decoded, parse_int=_parse_long_int))

    def parse(digits: str) -> object:
        return _parse_long_int(digits) if len(digits.lstrip("-")) <= longest_integer else LongInteger(digits)

    return cast("JsonValue", json.loads(decoded, parse_int=parse))


def json_kind(value: JsonValue) -> str:
    """How a value is named in an error: its JSON type, and the value itself where it is short."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int():
            # Python refuses to write very long integers in decimal.
            return f"the number {value}" if abs(value) < 10**40 else "a number"
        case float():
            return f"the number {value}"
        case str():
            return f"the string {value[:40]!r}"
        case list():
            return "an array"
        case _:
            return "an object"


def json_pointer(*names: str) -> str:
    """A JSON Pointer (RFC 6901) through objects' members, `/` and `~` in their names escaped."""
    return "".join("/" + name.replace("~", "~0").replace("/", "~1") for name in names)


class _LongIntegers:
    """Stand-ins for integers that Python's encoder refuses to write."""

    def __init__(self) -> None:
        self._mark = os.urandom(16).hex()
        self._found: dict[bytes, bytes] = {}

    def stand_in(self, value: int | LongInteger) -> str:
        # Decimal writes an integer of any length, and takes no notice of the limit.
        from decimal import Decimal

        name = f"{self._mark}-{len(self._found)}"
        digits = value.digits if isinstance(value, LongInteger) else str(Decimal(value))
        self._found[f'"{name}"'.encode("ascii")] = digits.encode("ascii")
        return name

    def put_back(self, text: bytes) -> bytes:
        for name, digits in self._found.items():
            text = text.replace(name, digits)
        return text


def _plain(value: object, long_integers: _LongIntegers) -> object:
    """The value with what the encoder refuses replaced: non-finite floats (keys, too) and very long integers."""
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, int):
        return long_integers.stand_in(value) if value.bit_length() > _LONG_BITS else value
    if isinstance(value, LongInteger):
        return long_integers.stand_in(value)
    if isinstance(value, dict):
        items = cast("Mapping[object, object]", value).items()
        return {
            _plain(key, long_integers) if isinstance(key, float) else key: _plain(item, long_integers)
            for key, item in items
        }
    if isinstance(value, (list, tuple)):
        return [_plain(item, long_integers) for item in cast("Sequence[object]", value)]
    return value


def _parse_long_int(digits: str) -> int:
    if digits.startswith("-"):
        return -_parse_long_int(digits[1:])
    if len(digits) <= _SHORT_DIGITS:
        return int(digits)
    # Halving keeps the multiplications balanced; digit by digit a megabyte of them would take minutes.
    low = len(digits) // 2
    return _parse_long_int(digits[:-low]) * (5**low << low) + _parse_long_int(digits[-low:])

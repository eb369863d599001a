"""JSON text as this protocol uses it: standard JSON on the wire, with non-finite floats carried as strings.

`NaN`, `Infinity` and `-Infinity` are not JSON. Python writes them all the same, upstream's programs send them, and
databases refuse them, so they travel as the strings `"NaN"`, `"Infinity"` and `"-Infinity"`.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Mapping, Sequence
from typing import TypeAlias, Union, cast

JsonValue: TypeAlias = Union[bool, int, float, str, "list[JsonValue]", "dict[str, JsonValue]", None]
JsonObject: TypeAlias = "dict[str, JsonValue]"

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_encoder = json.JSONEncoder(separators=(",", ":"), allow_nan=False)

# A JSON string, or a token that is only JSON to Python. Strings are matched first, so a token inside one is left alone.
_STRING_OR_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\bInfinity\b|\bNaN\b', re.DOTALL)
# In a metadata entry whose type is to be inferred the token says that the value is a float; the string no longer would.
_INFERRED_RAW_FIRST = re.compile(
    rb'("raw_value"\s*:\s*)(NaN|-?Infinity)(\s*,\s*"type"\s*:\s*)"__infer__"',
)
_INFERRED_TYPE_FIRST = re.compile(
    rb'("type"\s*:\s*)"__infer__"(\s*,\s*"raw_value"\s*:\s*)(NaN|-?Infinity)\b',
)
# An escape in a JSON string: a surrogate pair, half of one, or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)


def encode_json(value: object) -> bytes:
    """Encodes a value as compact ASCII JSON.

    Dictionary keys are coerced to strings as `json.dumps` does it (a DataFrame's integer index becomes `"0"`, `"1"`).
    Non-finite floats become strings.

    Raises:
        TypeError: the value holds something JSON cannot carry ("Object of type X is not JSON serializable").
        ValueError: the value contains itself.
    """
    try:
        return _encoder.encode(value).encode("ascii")
    except ValueError as error:
        # The one other ValueError is a circular reference, and walking that would never end.
        if "not JSON compliant" not in str(error):
            raise
    return _encoder.encode(_with_finite_numbers(value)).encode("ascii")


def decode_json(text: str | bytes) -> JsonValue:
    """Decodes JSON text; integers of any size are read, whatever Python's own limit for decimal digits.

    Raises:
        ValueError: the text is not JSON (a `json.JSONDecodeError`, with line and column) or not UTF-8.
    """
    try:
        return cast("JsonValue", json.loads(text))
    except json.JSONDecodeError:
        raise
    except ValueError as error:
        if "integer string conversion" not in str(error):
            raise
    return cast("JsonValue", json.loads(text, parse_int=_parse_long_int))


def quote_non_finite(text: bytes) -> bytes:
    """Rewrites the tokens `NaN`, `Infinity` and `-Infinity` as strings; every other byte stays as it came."""
    text = _INFERRED_RAW_FIRST.sub(rb'\1"\2"\3"float"', text)
    text = _INFERRED_TYPE_FIRST.sub(rb'\1"float"\2"\3"', text)

    def quoted(match: re.Match[bytes]) -> bytes:
        found = match.group()
        return found if found.startswith(b'"') else b'"' + found + b'"'

    return _STRING_OR_TOKEN.sub(quoted, text)


def replace_lone_surrogates(text: bytes) -> bytes:
    """Rewrites an escaped half of a surrogate pair (`\\ud800` alone) as `\\ufffd`: it is no character, and strict
    readers refuse the whole text for it. Python writes such escapes for undecodable file names."""

    def repaired(match: re.Match[bytes]) -> bytes:
        return rb"\ufffd" if match.group("lone") else match.group()

    return _ESCAPE.sub(repaired, text)


def json_depth(text: bytes) -> int:
    """The deepest nesting of arrays and objects in a JSON text (0 for a bare scalar). Does not validate."""
    if text.count(b"[") + text.count(b"{") == 0:
        return 0
    depth = deepest = 0
    for byte in re.sub(rb'"(?:[^"\\]|\\.)*"', b"", text, flags=re.DOTALL):
        if byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _with_finite_numbers(value: object) -> object:
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, Mapping):
        items = cast("Mapping[object, object]", value).items()
        return {key: _with_finite_numbers(item) for key, item in items}
    if isinstance(value, (list, tuple)):
        return [_with_finite_numbers(item) for item in cast("Sequence[object]", value)]
    return value


def _parse_long_int(digits: str) -> int:
    step = sys.get_int_max_str_digits() if hasattr(sys, "get_int_max_str_digits") else 4300
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    value = 0
    for start in range(0, len(digits), step):
        part = digits[start : start + step]
        value = value * 10 ** len(part) + int(part)
    return sign * value

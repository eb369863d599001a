"""The numbers in a message's metadata: what can be plotted over time.

A number is finite, an entry of type `int` or `float`, or a plain number. At most a hundred are taken of one message.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

import msgspec

Numbers: TypeAlias = tuple[tuple[str, float], ...]
"""Labels and values."""

MOST_NUMBERS = 100
LONGEST_LABEL = 512
_SHORTEST = len('{"":1}')
_NUMERIC = frozenset({"int", "float", "__infer__"})
# A digit that begins a value: most metadata without numbers is told by this alone. That it begins with one certain
# character makes it several times as fast.
_begins_number = re.compile(rb":[ \t\r\n]*-?[0-9]").search
_decode = msgspec.json.Decoder(dict[str, Any]).decode


def numbers_in(metadata: msgspec.Raw) -> Numbers:
    """Of metadata as it was sent."""
    view = memoryview(metadata)
    if len(view) < _SHORTEST or _begins_number(view) is None:
        return ()
    try:
        return numbers_of(_decode(metadata))
    except (msgspec.DecodeError, RecursionError):
        return ()


def numbers_of(metadata: Mapping[str, Any]) -> Numbers:
    found: list[tuple[str, float]] = []
    for label, entry in metadata.items():
        value: object = entry
        if isinstance(entry, Mapping):
            typed = cast("Mapping[str, object]", entry)
            kind = typed.get("type")
            value = typed.get("raw_value") if isinstance(kind, str) and kind in _NUMERIC else None
        number = _finite(value)
        if number is not None and len(label) <= LONGEST_LABEL:
            found.append((label, number))
            if len(found) == MOST_NUMBERS:
                break
    return tuple(found)


def _finite(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None

"""The numbers in a message's metadata: what can be plotted over time.

A number is finite, an entry of type `int` or `float`, or a plain number. At most a hundred are taken of one message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypeAlias, cast

Numbers: TypeAlias = tuple[tuple[str, float], ...]
"""Labels and values."""

MOST_NUMBERS = 100
LONGEST_LABEL = 512
_NUMERIC = frozenset({"int", "float", "__infer__"})


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

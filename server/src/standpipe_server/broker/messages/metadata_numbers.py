"""The numbers in a message's metadata: what can be plotted over time.

A number is an entry of type `int` or `float`, or a plain number. One that is not finite is a number too: a loss that
became NaN is the last one that was reported. At most ten thousand are taken of one message.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, cast

NotFinite: TypeAlias = Literal["NaN", "Infinity", "-Infinity"]
Number: TypeAlias = float | NotFinite | None
"""A finite float, the name of one that is not finite (a whole number too large for a float is infinite here), or None:
an `int` or `float` was reported with no value."""

MOST_NUMBERS = 10_000
LONGEST_LABEL = 512
_NAMES: Mapping[str, NotFinite] = {"NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity"}


@dataclass(frozen=True, slots=True)
class Numbers:
    """Labels and values in the order of the message, and how many more it had that were not taken."""

    numbers: tuple[tuple[str, Number], ...] = ()
    left_out: int = 0


def numbers_of(metadata: Mapping[str, Any]) -> Numbers:
    numbers: list[tuple[str, Number]] = []
    left_out = 0
    for label, entry in metadata.items():
        is_number, number = _number(entry)
        if not is_number:
            continue
        if len(label) > LONGEST_LABEL or len(numbers) == MOST_NUMBERS:
            left_out += 1
        else:
            numbers.append((label, number))
    return Numbers(tuple(numbers), left_out)


def _number(entry: object) -> tuple[bool, Number]:
    """Whether an entry is a number, and which."""
    if not isinstance(entry, Mapping):
        return _plain(entry)
    typed = cast("Mapping[str, object]", entry)
    kind, value = typed.get("type"), typed.get("raw_value")
    if kind == "__infer__":
        return _plain(value)
    if kind not in ("int", "float") or "raw_value" not in typed:
        return False, None
    if value is None:
        return True, None
    if kind == "int" and not isinstance(value, int):
        return False, None
    return _plain(value)


def _plain(value: object) -> tuple[bool, Number]:
    if isinstance(value, str):
        # A bare NaN in a message is stored as its name.
        return value in _NAMES, _NAMES.get(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False, None
    try:
        number = float(value)
    except OverflowError:
        number = math.inf if value > 0 else -math.inf
    if math.isfinite(number):
        return True, number
    return True, "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"

"""What is different between invocations: values side by side, and only where they are not all the same.

Values that look like secrets by their names are told apart, never shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.masking import MASK, names_secret

_T = TypeVar("_T")

MOST_DIFFERENCES = 1_000
_MOST_LEAVES = 20_000
_LONGEST_VALUE = 2_000
_LONGEST_TEMPLATE = 300
# A word with a digit in it (`sha256`) is a word.
_VARYING = re.compile(
    r"(?P<id>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b)"
    r"|(?P<hex>\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b)"
    r"|(?P<n>(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?)",
    re.IGNORECASE,
)


def different(sides: Sequence[Mapping[_T, Any]]) -> Iterator[tuple[_T, list[Any]]]:
    """Each name with its values (None where a side has none), if they are not all the same; at most a thousand."""
    missing = object()
    told = 0
    for name in dict.fromkeys(name for side in sides for name in side):
        values = [side.get(name, missing) for side in sides]
        if any(not _same(value, values[0]) for value in values[1:]):
            yield name, [None if value is missing else value for value in values]
            told += 1
            if told == MOST_DIFFERENCES:
                return


def _same(one: object, other: object) -> bool:
    # True is 1 in Python, and no number in JSON; 1 and 1.0 are one number.
    if isinstance(one, dict) and isinstance(other, dict):
        ours, theirs = cast("dict[str, object]", one), cast("dict[str, object]", other)
        return ours.keys() == theirs.keys() and all(_same(value, theirs[name]) for name, value in ours.items())
    if isinstance(one, list) and isinstance(other, list):
        mine, others = cast("list[object]", one), cast("list[object]", other)
        return len(mine) == len(others) and all(map(_same, mine, others))
    return one == other and isinstance(one, bool) is isinstance(other, bool)


def different_leaves(sides: Sequence[JsonValue], *, by_name: bool = False) -> list[dict[str, JsonValue]]:
    """By JSON Pointer, leaf for leaf; with `by_name` the objects of a list that all have names are found by them."""
    leaves = [dict(_leaves(side, by_name=by_name)) for side in sides]
    told: list[dict[str, JsonValue]] = []
    for pointer, values in different(leaves):
        masked = names_secret(pointer)
        absent: list[JsonValue] = [pointer not in side for side in leaves]
        shown = [MASK if masked and not gone else shortened(value) for value, gone in zip(values, absent, strict=True)]
        told.append({"path": pointer, "values": shown, "absent": absent, "masked": masked})
    return told


def shortened(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and len(value) > _LONGEST_VALUE:
        return value[:_LONGEST_VALUE] + "…"
    return value


def template_of(message: str) -> str:
    """A log message without what varies from run to run, so that equal kinds of messages are equal."""
    return _VARYING.sub(lambda found: f"<{found.lastgroup}>", message[:_LONGEST_TEMPLATE])


def _leaves(value: JsonValue, *, by_name: bool) -> Iterator[tuple[str, JsonValue]]:
    waiting: list[tuple[str, JsonValue]] = [("", value)]
    for _ in range(_MOST_LEAVES):
        if not waiting:
            return
        pointer, value = waiting.pop()
        if parts := _parts(value, by_name=by_name):
            waiting += [(f"{pointer}/{_escaped(name)}", part) for name, part in reversed(list(parts.items()))]
        elif pointer:
            yield pointer, value


def _parts(value: JsonValue, *, by_name: bool) -> Mapping[str, JsonValue]:
    if isinstance(value, dict):
        return value
    if not isinstance(value, list):
        return {}
    named: dict[str, JsonValue] = {}
    for item in value if by_name else ():
        if isinstance(item, dict) and isinstance(name := item.get("name"), str):
            named[name] = {member: part for member, part in item.items() if member != "name"}
    if named and len(named) == len(value):
        return named
    return {str(index): item for index, item in enumerate(value)}


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

"""What is different between invocations: values side by side, and only where they are not all the same.

Values that look like secrets by their names are told apart, never shown.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.values.masking import MASK, mask_values

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
    count = 0
    for name in dict.fromkeys(name for side in sides for name in side):
        values = [side.get(name, missing) for side in sides]
        if any(not _same(value, values[0]) for value in values[1:]):
            yield name, [None if value is missing else value for value in values]
            count += 1
            if count == MOST_DIFFERENCES:
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
    """By JSON Pointer, leaf for leaf; with `by_name` the objects of a list that all have names are found by them.

    What differs is asked of the values as they are, and shown of them masked. Of a side with too many leaves only the
    first ones are known: what it may have beyond them is not told as missing.
    """
    leaves, cut = zip(*(_leaves(side, by_name=by_name) for side in sides), strict=True)
    masked = [_leaves(mask_values(side), by_name=by_name)[0] for side in sides]
    differences: list[dict[str, JsonValue]] = []
    for pointer, values in different(leaves):
        absent = [pointer not in side for side in leaves]
        if any(gone and is_cut for gone, is_cut in zip(absent, cut, strict=True)):
            continue
        safe = [None if gone else side.get(pointer, MASK) for gone, side in zip(absent, masked, strict=True)]
        hidden = any(not _same(value, one) for value, one in zip(values, safe, strict=True))
        differences.append(
            {
                "path": pointer,
                "values": [shortened(one) for one in safe],
                "absent": cast("JsonValue", absent),
                "masked": hidden,
            }
        )
    return differences


def is_cut(value: JsonValue) -> bool:
    """Whether it has more leaves than are compared."""
    return _leaves(value, by_name=False)[1]


def shortened(value: JsonValue) -> JsonValue:
    if isinstance(value, str) and len(value) > _LONGEST_VALUE:
        return value[:_LONGEST_VALUE] + "…"
    return value


def template_of(message: str) -> str:
    """A log message without what varies from run to run, so that equal kinds of messages are equal."""
    return _VARYING.sub(lambda match: f"<{match.lastgroup}>", message[:_LONGEST_TEMPLATE])


def _leaves(value: JsonValue, *, by_name: bool) -> tuple[dict[str, JsonValue], bool]:
    """The leaves by their pointers, and whether there are more than these."""
    leaves: dict[str, JsonValue] = {}
    waiting: list[tuple[str, JsonValue]] = [("", value)]
    for step in range(_MOST_LEAVES):
        if not waiting:
            return leaves, False
        pointer, value = waiting.pop()
        left = _MOST_LEAVES - step
        parts = list(itertools.islice(_parts(value, by_name=by_name), left))
        if parts:
            waiting += [(f"{pointer}/{_escaped(name)}", part) for name, part in reversed(parts)]
        elif pointer or not isinstance(value, dict):
            leaves[pointer] = value
    return leaves, bool(waiting)


def _parts(value: JsonValue, *, by_name: bool) -> Iterator[tuple[str, JsonValue]]:
    """What an object or a list is made of, one after the other: a long one is not gone through for its beginning."""
    if isinstance(value, dict):
        yield from value.items()
    elif isinstance(value, list):
        named = by_name and all(isinstance(item, dict) and isinstance(item.get("name"), str) for item in value)
        for index, item in enumerate(value):
            if named and isinstance(item, dict):
                yield str(item["name"]), {member: part for member, part in item.items() if member != "name"}
            else:
                yield str(index), item


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def difference_of(before: dict[str, Any], after: dict[str, Any]) -> dict[str, JsonValue] | None:
    """None when both say the same. The order of columns counts for nothing."""
    old = {column["name"]: column for column in before["columns"]}
    new = {column["name"]: column for column in after["columns"]}
    difference: dict[str, JsonValue] = {
        "added": [column for name, column in new.items() if name not in old],
        "removed": [column for name, column in old.items() if name not in new],
        "changed": [
            {"name": name, "before": old[name], "after": column}
            for name, column in new.items()
            if name in old and old[name] != column
        ],
    }
    return difference if any(difference.values()) else None

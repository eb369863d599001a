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
# Ids and numbers in all their dress; a word with a digit in it (`sha256`) is a word.
_VARYING = re.compile(
    r"\b0x[0-9a-fA-F]+\b|\b[0-9a-fA-F]{8,}(?:-[0-9a-fA-F]{4,})*\b|(?<![A-Za-z_0-9])[-+]?\d+(?:[.,:]\d+)*"
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
    # True is 1 in Python, and no number in JSON.
    return type(one) is type(other) and one == other if isinstance(one, bool | int) else one == other


def differences_in_extras(sides: Sequence[Mapping[str, JsonValue]]) -> list[dict[str, JsonValue]]:
    """By JSON Pointer, leaf for leaf."""
    leaves = [dict(_leaves(side)) for side in sides]
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
    return _VARYING.sub("<n>", message[:_LONGEST_TEMPLATE])


def _leaves(extras: Mapping[str, JsonValue]) -> Iterator[tuple[str, JsonValue]]:
    waiting: list[tuple[str, JsonValue]] = [("", cast("JsonValue", extras))]
    for _ in range(_MOST_LEAVES):
        if not waiting:
            return
        pointer, value = waiting.pop()
        if isinstance(value, dict) and value:
            waiting += [(f"{pointer}/{_escaped(name)}", member) for name, member in reversed(value.items())]
        elif isinstance(value, list) and value:
            waiting += [(f"{pointer}/{index}", item) for index, item in reversed(list(enumerate(value)))]
        elif pointer:
            yield pointer, value


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")

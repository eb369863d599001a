"""The first items made of an invocation's events, as many as fit into a bound; the rest is in the broker's history.

A million results need not be in memory for one that is asked for. The invariant: what is here are the first items,
without a gap, and `complete` says whether they are all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonValue

MOST_ITEMS = 10_000
MOST_CHARACTERS = 8 * 1024 * 1024
"""Of the messages as text; what Python makes of them weighs some times as much."""

T = TypeVar("T")


class ReadAgain(Protocol):
    """Reads stored events once more, of some methods and after a position, in their order."""

    def __call__(self, *, after: int, methods: Sequence[str]) -> Iterator[Event]: ...


@dataclass(frozen=True, slots=True)
class Item(Generic[T]):
    """What was made of one event."""

    position: int
    producer: str
    value: T


class Retained(Generic[T]):
    """The first items, and how far all of them reach. One thread adds, any may read.

    Args:
        bounded: whether anything may be left out, because it can be read again.

    Attributes:
        items: what is here.
        last_position: of the last item that was added, here or not.
        complete: whether all items are here.
    """

    def __init__(self, *, bounded: bool) -> None:
        self.items: list[Item[T]] = []
        self.last_position = 0
        self.complete = True
        self._bounded = bounded
        self._characters = 0

    def add(self, item: Item[T], *, characters: int) -> None:
        self.last_position = item.position
        if self._bounded and (
            len(self.items) >= MOST_ITEMS or self._characters + characters > MOST_CHARACTERS or not self.complete
        ):
            self.complete = False
            return
        self._characters += characters
        self.items.append(item)


def characters_of(params: JsonValue) -> int:
    """How large a message is as text, as `Retained` counts it."""
    return len(repr(params))

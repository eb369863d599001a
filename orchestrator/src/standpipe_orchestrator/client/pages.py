"""Lists of the broker, which come in pages."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list; `next_cursor` is None on the last."""

    items: tuple[T, ...]
    next_cursor: str | None


def all_items(page: Callable[..., Page[T]]) -> Iterator[T]:
    """The items of a list, page by page as they are needed.

    Args:
        page: a call of a list, which takes `cursor`.
    """
    cursor: str | None = None
    while True:
        answer = page(cursor=cursor)
        yield from answer.items
        cursor = answer.next_cursor
        if cursor is None:
            return

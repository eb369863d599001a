"""The different values of an indexed column, without reading every row that has them: from each one to the next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select


def distinct_values(
    connection: Connection,
    column: ColumnElement[Any],
    held: Sequence[ColumnElement[bool]],
    *,
    limit: int,
    beyond: Any = None,
) -> Iterator[Any]:
    """In their order, after `beyond`; `held` are the conditions on the columns that come before it in the index."""
    first = select(column).where(*held).order_by(column).limit(1)
    value = connection.scalar(first if beyond is None else first.where(column > beyond))
    for _ in range(limit):
        if value is None:
            return
        yield value
        value = connection.scalar(first.where(column > value))

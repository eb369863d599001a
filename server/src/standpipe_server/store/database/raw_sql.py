"""Rows into one table and out of it, without SQLAlchemy's work for each statement and each value.

For what every append reads and writes, and for the projection rows that come by the thousand with one batch: a prepared
statement with tuples, COPY on PostgreSQL for many rows (several times as fast there from a hundred on).
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Connection, Table, select
from sqlalchemy.exc import DBAPIError

from standpipe_server.store.database.carried_text import CarriedText, uncarry

_COPY_FROM = 100


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Inserts rows whose values stand in the order of `columns`. Text from outside must be made carriable before."""
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql" and len(rows) >= _COPY_FROM:
        with _cursor(connection) as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    places = ", ".join([_place(connection)] * len(columns))
    # The names are this schema's own.
    _execute_each(connection, f"INSERT INTO {table.name} ({names}) VALUES ({places})", rows)  # noqa: S608


def update_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Sets `columns` of the rows whose key `pk` comes last in each tuple."""
    if not rows:
        return
    place = _place(connection)
    changes = ", ".join(f"{column} = {place}" for column in columns)
    _execute_each(connection, f"UPDATE {table.name} SET {changes} WHERE pk = {place}", rows)  # noqa: S608


def select_rows(
    connection: Connection,
    table: Table,
    columns: Sequence[str],
    among: Mapping[str, Sequence[Any]],
    *,
    lock: bool = False,
) -> list[dict[str, Any]]:
    """The rows whose values are `among` these, in the order of their keys.

    `lock` locks them where that is needed: on SQLite a writing transaction has locked everything already.
    """
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql":
        conditions = " AND ".join(f"{name} = ANY(%s)" for name in among)
        values = [list(items) for items in among.values()]
        locking = " FOR UPDATE" if lock else ""
    else:
        padded = {name: _padded(items) for name, items in among.items()}
        conditions = " AND ".join(f"{name} IN ({', '.join('?' * len(items))})" for name, items in padded.items())
        values = [value for items in padded.values() for value in items]
        locking = ""
    statement = f"SELECT {names} FROM {table.name} WHERE {conditions} ORDER BY pk{locking}"  # noqa: S608
    with _cursor(connection) as cursor:
        cursor.execute(statement, values)
        rows: list[dict[str, Any]] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    for column in columns:
        if isinstance(kind := table.c[column].type, (Boolean, CarriedText)):
            convert = bool if isinstance(kind, Boolean) else uncarry
            for row in rows:
                row[column] = convert(row[column])
    return rows


def query_among(connection: Connection, statement: str, among: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement of this program's own, in which `{among}` stands for "is one of these"."""
    if not among:
        return []
    values: list[Any]
    if connection.dialect.name == "postgresql":
        condition, values = "= ANY(%s)", [list(among)]
    else:
        values = _padded(among)
        condition = f"IN ({', '.join('?' * len(values))})"
    return query(connection, statement.format(among=condition), values)


def query(connection: Connection, statement: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
    """The rows of a statement in the dialect of the connection's database."""
    with _cursor(connection) as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall()


def _execute_each(connection: Connection, statement: str, rows: Sequence[tuple[Any, ...]]) -> None:
    with _cursor(connection) as cursor:
        if len(rows) == 1:
            cursor.execute(statement, rows[0])
        else:
            cursor.executemany(statement, rows)


@contextlib.contextmanager
def _cursor(connection: Connection) -> Generator[Any]:
    """The driver's own cursor; its errors become what they are from SQLAlchemy, without statement and values."""
    cursor: Any = connection.connection.cursor()
    try:
        yield cursor
    except connection.dialect.loaded_dbapi.Error as error:
        kind = connection.dialect.loaded_dbapi.Error
        # Of the kind it would have been: who waits is told "later" for some and "never" for others.
        raise DBAPIError.instance(None, None, error, kind, hide_parameters=True, dialect=connection.dialect) from error
    finally:
        cursor.close()


def _padded(items: Sequence[Any]) -> list[Any]:
    """The last one repeated up to a power of two, so that there are few different statements to prepare."""
    missing = (1 << (len(items) - 1).bit_length()) - len(items)
    return [*items, *[items[-1]] * missing]


def _place(connection: Connection) -> str:
    return "%s" if connection.dialect.name == "postgresql" else "?"


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

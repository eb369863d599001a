"""Rows as tuples into one table, without SQLAlchemy's work for each value of each row.

For what every append writes, and for the projection rows that come by the thousand with one batch: a prepared statement
with tuples, COPY on PostgreSQL for many rows (several times as fast there from a hundred on).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table

_COPY_FROM = 100


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Inserts rows whose values stand in the order of `columns`. Text from outside must be made carriable before."""
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql" and len(rows) >= _COPY_FROM:
        cursor: Any = connection.connection.cursor()
        with cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        return
    places = ", ".join([_place(connection)] * len(columns))
    # The names are this schema's own.
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({places})", list(rows))  # noqa: S608


def update_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Sets `columns` of the rows whose key `pk` comes last in each tuple."""
    place = _place(connection)
    changes = ", ".join(f"{column} = {place}" for column in columns)
    connection.exec_driver_sql(f"UPDATE {table.name} SET {changes} WHERE pk = {place}", list(rows))  # noqa: S608


def _place(connection: Connection) -> str:
    return "%s" if connection.dialect.name == "postgresql" else "?"

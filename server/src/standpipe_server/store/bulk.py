"""Many rows into one table, without SQLAlchemy's work for each value of each row.

For the projection rows that come by the thousand with one batch: a prepared statement with tuples on SQLite, COPY on
PostgreSQL (several times as fast there from a hundred rows on).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Table

_COPY_FROM = 100


def insert_rows(connection: Connection, table: Table, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Inserts rows whose values stand in the order of `columns`. Text from outside must be made carriable before."""
    names = ", ".join(columns)
    if connection.dialect.name == "postgresql":
        if len(rows) >= _COPY_FROM:
            cursor: Any = connection.connection.cursor()
            with cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
            return
        places = ", ".join(["%s"] * len(columns))
    else:
        places = ", ".join("?" * len(columns))
    # The names are this schema's own.
    connection.exec_driver_sql(f"INSERT INTO {table.name} ({names}) VALUES ({places})", list(rows))  # noqa: S608

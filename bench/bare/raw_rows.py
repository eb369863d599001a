"""Rows by the bare driver, `sqlite3` or psycopg: what a query costs without anything around it."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import psycopg


class RawRows:
    """One connection for reading. Placeholders are SQLite's, `?`."""

    def __init__(self, database_url: str) -> None:
        self._marks = "?"
        self._connection: Any
        if database_url.startswith("sqlite:"):
            file = urlsplit(database_url).path[1:]
            self._connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True, isolation_level=None)
        else:
            self._marks = "%s"
            self._connection = psycopg.connect(database_url, autocommit=True)

    def named(self, sql: str, values: Sequence[Any]) -> tuple[list[str], list[Any]]:
        """The columns' names, and the rows."""
        cursor = self._connection.execute(sql.replace("?", self._marks), values)
        return [column[0] for column in cursor.description], cursor.fetchall()

    def fetch(self, sql: str, values: Sequence[Any]) -> list[Any]:
        return self.named(sql, values)[1]

    def close(self) -> None:
        self._connection.close()

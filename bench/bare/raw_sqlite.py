"""The bound of durable ingest: raw `sqlite3.executemany`, one row an event, 1,000 a commit, on disk at each commit."""

from __future__ import annotations

import sqlite3
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

INSERT = "INSERT INTO event (inv, body) VALUES (?, ?)"


def open_table(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE event (id INTEGER PRIMARY KEY, inv INTEGER NOT NULL, body BLOB NOT NULL)")
    connection.execute("CREATE INDEX event_inv_id ON event (inv, id)")
    return connection


def rows_per_second(events: Sequence[bytes], *, invocations: int = 8) -> float:
    """Stores all events, as those of some invocations, and says how many a second."""
    batches = [events[start : start + 1000] for start in range(0, len(events), 1000)]
    with tempfile.TemporaryDirectory(prefix="standpipe-bench-") as folder:
        connection = open_table(Path(folder) / "raw.db")
        start = time.perf_counter()
        for number, batch in enumerate(batches):
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, [(number % invocations, body) for body in batch])
            connection.execute("COMMIT")
        taken = time.perf_counter() - start
        connection.close()
    return len(events) / taken

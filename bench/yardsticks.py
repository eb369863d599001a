"""What the machine can do at all: raw SQLite commits, with the payloads that our own runs use."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from pathlib import Path

from bench.payloads import large_message, small_message


def _open(folder: str) -> sqlite3.Connection:
    connection = sqlite3.connect(Path(folder) / "bound.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("CREATE TABLE event (pk INTEGER PRIMARY KEY, body BLOB)")
    return connection


def rows_per_second(body: bytes, *, batch: int, batches: int) -> float:
    """Rows a second of `executemany` with `batch` rows a commit, each commit on disk."""
    with tempfile.TemporaryDirectory() as folder:
        connection = _open(folder)
        rows = [(body,)] * batch
        start = time.perf_counter()
        for _ in range(batches):
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO event (body) VALUES (?)", rows)
            connection.execute("COMMIT")
        taken = time.perf_counter() - start
        connection.close()
    return batch * batches / taken


def y1000() -> float:
    """1,000 rows of about 1 KB a commit."""
    return rows_per_second(large_message(), batch=1000, batches=30)


def y1000_small() -> float:
    """1,000 rows of about 190 bytes a commit."""
    return rows_per_second(small_message(), batch=1000, batches=60)


def y1() -> float:
    """One row of about 1 KB a commit."""
    return rows_per_second(large_message(), batch=1, batches=3000)


def fdatasync_ms() -> float:
    """The median time of one fdatasync after a write of 1 KiB, in milliseconds."""
    with tempfile.TemporaryFile() as file:
        times: list[float] = []
        for _ in range(500):
            os.write(file.fileno(), b"x" * 1024)
            start = time.perf_counter()
            os.fdatasync(file.fileno())
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2] * 1000

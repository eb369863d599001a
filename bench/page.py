"""The page about performance: what is measured, how, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench.machine import facts
from bench.report import Row, markdown_table

_HEAD = """\
<!-- Written by scripts/bench --markdown docs/reference/performance.md; do not edit. -->
# Performance

What `scripts/bench` measured. Figures of different machines, or of different minutes on a busy one, say little about
each other; so each figure of ours stands beside a bound taken before and after it in the same run, and the ratio is
that to the mean of the two. An aim is the ratio that was aimed for (for the last table, the figure itself).

To take the figures on your machine (half an hour, most of it to fill the long history, which `--keep FOLDER` keeps for
the next time; the temporary folder must be on a disk, `TMPDIR` sets it):

<!-- not run: it takes minutes -->
```bash
scripts/bench                                           # all of them; `scripts/bench ingest live` takes some
scripts/bench --markdown docs/reference/performance.md  # and writes this page
```

Every event is a different one, made of random words, numbers and ids; compression finds in it what it finds in real
ones. Servers are real processes with their defaults: each acknowledged event is on disk, repeats are recognised.
"""
_MEANINGS = {
    "Batches into SQLite": """\
1,000 events of 1 KB a request over 8 connections, 40,000 in all. The bound is Python's `sqlite3`: `executemany` of the
same events, one row each, 1,000 a commit, WAL, `synchronous=FULL`, one table with an integer primary key and one
further index; no network, no checks. A materialization is also entered into the history of its asset.""",
    "One message a request into SQLite": """\
Each connection sends its next message when the last one is acknowledged: head and body in one write, as programs on
bare sockets do, or in two, as httpx does. The bound is a bare ASGI app on uvicorn that neither authenticates nor
parses; its one writer thread commits what has gathered into one table. Processor time is that of the server's process;
other programs on the machine change it less than the events a second.""",
    "What the SDK costs the job": """\
One process that reports as fast as it can, until the last message is acknowledged, against the `executemany` above;
and the same with `STANDPIPE_SPOOL=first`, against itself without.
The time of one call to `report_custom_message` while the process reports as fast as it can, against `json.dumps` of
the same messages. The time from the first line of a program to the first one after `open_pipes()`, against
`import dagster_pipes`. A whole `PipesSubprocessClient.run()` (register, launch, report one
materialization, close, finish, collect), against the whole process of a script that asks once with httpx.""",
    "What a receipt costs": """\
Batches of 1,000 events and one `closed`, over raw connections, until the `closed` is acknowledged. Its ledger brings a
SHA-256, for which the server reads back what it has stored; the bound is the same with a ledger that brings none.
Producers that report through the SDK send a fraction of this, and pay the same for each event.""",
    "Batches into PostgreSQL": """\
The same as into SQLite. The bound is one connection's `COPY ... (FORMAT BINARY)` by psycopg into the same cluster, one
row an event, 1,000 a commit, the same table and index. The cluster syncs each commit.""",
    "From report to reader": """\
The SDK reports in one process, the orchestration package's reader calls back in another, some 140 events a second;
then the same with bare sockets at both ends, so that next to nothing of the time is the clients'.
The bound is the same two against a bare app that puts each event on a queue in memory and stores nothing.""",
    "Looking at a long history": """\
100,000 ended invocations of 50 events each and one of 50,000 log lines; the same request two hundred times over one
connection. The bound is a bare ASGI app on uvicorn that runs SQL for the same rows on a thread and answers with them
as JSON, without authentication, filters or cursors; below it the same figure beside that SQL alone, by the bare driver
in the measuring process. Why the app is the bound: [0032](../decisions/0032-what-a-page-is-measured-against.md).""",
    "Idle readers": """\
Growth of the server process's resident memory by 1,000 open event streams, each of another invocation.""",
}


def write(path: Path, measured: Mapping[str, Sequence[Row]]) -> None:
    """Writes the page; tables that were not taken this time stay as they are."""
    sections = _sections(path.read_text(encoding="utf-8")) if path.exists() else {}
    for title, rows in measured.items():
        sections[title] = f"{_MEANINGS[title]}\n\n{markdown_table(rows)}"
    lines = [_HEAD, f"Last measured on {datetime.now(UTC):%-d %B %Y} with:", "", *(f"- {fact}" for fact in facts())]
    for title in _MEANINGS:
        if title in sections:
            lines += ["", f"## {title}", "", sections[title]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _sections(page: str) -> dict[str, str]:
    parts = (part.partition("\n") for part in page.split("\n## ")[1:])
    return {title: text.strip() for title, _, text in parts}

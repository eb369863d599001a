"""Looking at a long history over HTTP, on both databases, against SQL for the same rows by the bare driver."""

from __future__ import annotations

import json
import socket
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import psycopg

from bench.client import call
from bench.history import ASSET, EVENTS, RARE_TEXT, Made, make_history
from bench.report import Row
from bench.service import Service, running_service
from tests.support.postgres import own_cluster

INVOCATIONS = 100_000
_TIMES = 100
_PAGE = 50
_DEEP = 100
_SETTINGS = {"listen_addresses": "", "shared_buffers": "256MB", "max_wal_size": "4GB", "log_min_messages": "warning"}

Query = Callable[[str, Sequence[Any]], Sequence[Any]]

_ROWS = (
    "SELECT invocation.*, context FROM invocation JOIN invocation_context ON invocation_pk = pk"
    " WHERE {where} ORDER BY created_at DESC, pk DESC LIMIT 50"
)
_SERIES = (
    "SELECT metadata_number.received_at, value, position, id FROM metadata_number JOIN invocation"
    " ON invocation.pk = invocation_pk WHERE asset_pk = (SELECT pk FROM asset WHERE asset_key = {p})"
    " AND check_name = '' AND label = 'rows' ORDER BY metadata_number.received_at, metadata_number.pk LIMIT 500"
)


@dataclass(frozen=True, slots=True)
class _Browser:
    """One connection to the server, as a browser keeps it."""

    service: Service
    connection: socket.socket


@dataclass(frozen=True, slots=True)
class _Look:
    """One thing that a page asks for, and SQL for the same rows. Without SQL there is nothing to set beside it."""

    what: str
    path: str
    query: dict[str, str]
    sql: str = ""
    values: Sequence[Any] = ()


def run(*, invocations: int = INVOCATIONS) -> Generator[Row]:
    with tempfile.TemporaryDirectory(prefix="standpipe-bench-") as folder:
        home = Path(folder)
        file = home / "standpipe.db"
        made = make_history(f"sqlite:///{file}", invocations=invocations)
        with running_service(home=home, database_url=f"sqlite:///{file}") as service:
            connection = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
            query: Query = lambda sql, values: connection.execute(sql, values).fetchall()  # noqa: E731
            with service.address.open() as opened:
                browser = _Browser(service, opened)
                yield from _measured(browser, made, query, name="SQLite", invocations=invocations)
            connection.close()
    with own_cluster(_SETTINGS) as cluster:
        url = cluster.create(template="template0")
        made = make_history(url, invocations=invocations)
        with psycopg.connect(url, autocommit=True) as bare, running_service(database_url=url) as service:
            bare.execute("VACUUM ANALYZE")
            query = lambda sql, values: bare.execute(sql.replace("?", "%s"), values).fetchall()  # type: ignore[arg-type]  # noqa: E731
            with service.address.open() as opened:
                browser = _Browser(service, opened)
                yield from _measured(browser, made, query, name="PostgreSQL", invocations=invocations)


def _measured(browser: _Browser, made: Made, query: Query, *, name: str, invocations: int) -> Generator[Row]:
    kept = f"{name}, {invocations:,} invocations, {invocations * EVENTS:,} events"
    for look in _looks(browser, made, query):
        ask = partial(_asked, browser, look)
        raw = partial(query, look.sql.replace("{p}", "?"), look.values)
        for _ in range(5):
            ask()
            if look.sql:
                raw()
        before = statistics.median(_times(raw)) if look.sql else None
        ours = _times(ask)
        after = statistics.median(_times(raw)) if look.sql else None
        yield Row(
            what=f"{look.what}, median ({kept})",
            value=statistics.median(ours) * 1e3,
            unit="ms",
            bound="SQL for the same rows",
            bounds=None if before is None or after is None else (before * 1e3, after * 1e3),
            aim=3 if look.sql else None,
            lower_is_better=True,
        )
        p99 = statistics.quantiles(ours, n=100)[98] * 1e3
        yield Row(what=f"{look.what}, p99", value=p99, unit="ms", aim=100, lower_is_better=True)


def _looks(browser: _Browser, made: Made, query: Query) -> Generator[_Look]:
    page = {"limit": str(_PAGE)}
    yield _Look("first page", "/invocations", page, _ROWS.format(where="1 = 1"))
    cursor = _cursor_at(browser, _DEEP)
    created_at, pk = query("SELECT created_at, pk FROM invocation ORDER BY created_at DESC, pk DESC LIMIT 1 OFFSET ?",
                           [_PAGE * _DEEP - 1])[0] if cursor else (0, 0)  # fmt: skip
    if cursor:
        where = _ROWS.format(where="(created_at, pk) < ({p}, {p})")
        yield _Look(f"page {_DEEP + 1}", "/invocations", page | {"cursor": cursor}, where, (created_at, pk))
    failed = _ROWS.format(where="verdict = 'failed'")
    yield _Look("failed ones", "/invocations", page | {"verdict": "failed"}, failed)
    searched = (
        "SELECT created_at, invocation_pk FROM invocation_text WHERE text LIKE {p}"
        " ORDER BY created_at DESC, invocation_pk DESC LIMIT 50"
    )
    rare = {"text": RARE_TEXT}
    yield _Look("search for what few have", "/invocations", page | rare, searched, [f"%{RARE_TEXT}%"])
    yield _Look("search for what none has", "/invocations", page | {"text": "qqqq"}, searched, ["%qqqq%"])
    yield _Look("of one asset", "/invocations", page | {"asset_key": ASSET})
    day = (
        "SELECT created_at / 86400000000, verdict, count(*) FROM invocation GROUP BY created_at / 86400000000, verdict"
    )
    since = {"bin": "day", "since": "2025-10-01T00:00:00Z", "until": "2026-12-31T00:00:00Z"}
    yield _Look("counts by day", "/invocations/counts", since, day)
    series = f"/assets/{quote(ASSET, safe='')}/metadata/rows/series"
    yield _Look("series of up to 500 points", series, {"max_points": "500"}, _SERIES, [ASSET])
    events = f"/invocations/{made.large}/events"
    yield _Look("last 200 of 50,000 lines", events, {"before": "end", "limit": "200"})
    yield _Look("search through 50,000 lines", events, {"text": "qqqq"})


def _cursor_at(browser: _Browser, pages: int) -> str | None:
    """The cursor after so many pages; None where there are fewer."""
    cursor: str | None = None
    for _ in range(pages):
        query = {"limit": str(_PAGE)} | ({"cursor": cursor} if cursor else {})
        cursor = json.loads(_asked(browser, _Look("", "/invocations", query)))["next_cursor"]
        if cursor is None:
            return None
    return cursor


def _asked(browser: _Browser, look: _Look) -> bytes:
    path = f"/api/v1{look.path}?{urlencode(look.query)}"
    request = browser.service.address.request("GET", path, token=browser.service.api_key)
    return call(browser.connection, request)


def _times(look: Callable[[], object]) -> list[float]:
    times: list[float] = []
    for _ in range(_TIMES):
        start = time.perf_counter()
        look()
        times.append(time.perf_counter() - start)
    return times

"""Looking at a long history over HTTP, on both databases.

Against two bounds: SQL for the same rows by the bare driver, and a bare app that answers with these rows over HTTP.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit, urlunsplit

import psycopg

from bench.bare.raw_rows import RawRows
from bench.load.client import Address, call
from bench.load.history import make_history
from bench.load.looks import PAGE, Look, looks
from bench.load.service import Service, running_bare, running_service
from bench.report import Row
from tests.support.postgres import own_cluster

INVOCATIONS = 100_000
_TIMES = 200
_WARM = 5
_SETTINGS = {"listen_addresses": "", "shared_buffers": "256MB", "max_wal_size": "4GB", "log_min_messages": "warning"}
_DATABASE = "standpipe"
NAMES = ("sqlite", "postgres")


Ask = Callable[[], Any]


@dataclass(frozen=True, slots=True)
class _Browser:
    """Asks the server."""

    service: Service

    @contextmanager
    def asking(self, look: Look) -> Generator[Ask]:
        path = f"/api/v1{look.path}?{urlencode(look.query)}"
        request = self.service.address.request("GET", path, token=self.service.api_key)
        with self.service.address.open() as connection:
            yield partial(call, connection, request)

    def cursor_at(self, pages: int) -> str | None:
        """The cursor after so many pages; None where there are fewer."""
        cursor: str | None = None
        # As many pages at a time as a request may ask for.
        left = pages * PAGE
        while left:
            limit = min(left, 500)
            query = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
            with self.asking(Look("", "/invocations", query)) as ask:
                cursor = json.loads(ask())["next_cursor"]
            if cursor is None:
                return None
            left -= limit
        return cursor


@dataclass(frozen=True, slots=True)
class _Bounds:
    """The two that ours is set beside: the bare driver, and a bare app on the same HTTP server."""

    raw: RawRows
    app: Address

    def place(self, pages: int) -> list[int]:
        """`created_at` and `pk` of the last row of so many pages."""
        statement = "SELECT created_at, pk FROM invocation ORDER BY created_at DESC, pk DESC LIMIT 1 OFFSET ?"
        return list(self.raw.fetch(statement, [pages * PAGE - 1])[0])

    @contextmanager
    def asking_driver(self, look: Look) -> Generator[Ask]:
        yield partial(self.raw.fetch, look.sql, look.values)

    @contextmanager
    def asking_app(self, look: Look) -> Generator[Ask]:
        body = json.dumps({"sql": look.sql, "values": list(look.values)}).encode()
        with self.app.open() as connection:
            yield partial(call, connection, self.app.request("POST", "/", body))


def run(*, invocations: int = INVOCATIONS, kept: Path | None = None, only: str | None = None) -> Generator[Row]:
    """`kept` is a folder in which the filled databases stay; `only` takes one of `NAMES`."""
    for name, opened in (("SQLite", _sqlite), ("PostgreSQL", _postgres)):
        if only is not None and not name.lower().startswith(only):
            continue
        with tempfile.TemporaryDirectory(prefix="standpipe-bench-") as fresh, ExitStack() as stack:
            database = stack.enter_context(opened(kept or Path(fresh)))
            made = make_history(database, invocations=invocations)
            if name == "PostgreSQL":
                with psycopg.connect(database, autocommit=True) as connection:
                    connection.execute("VACUUM ANALYZE")
            service = stack.enter_context(running_service(database_url=database))
            browser = _Browser(service)
            app = Address.of(stack.enter_context(running_bare("rows", database)))
            bounds = _Bounds(RawRows(database), app)
            stack.callback(bounds.raw.close)
            kind = f"{name}, {invocations:,} invocations"
            found = looks(made, invocations=invocations, cursor_at=browser.cursor_at, place=bounds.place)
            for look in found:
                yield from _rows(f"{look.what} ({kind})", look, browser, bounds)
                kind = name


@contextmanager
def _sqlite(folder: Path) -> Generator[str]:
    (folder / "sqlite").mkdir(parents=True, exist_ok=True)
    yield f"sqlite:///{folder.absolute() / 'sqlite' / 'standpipe.db'}"


@contextmanager
def _postgres(folder: Path) -> Generator[str]:
    with own_cluster(_SETTINGS, kept=folder.absolute() / "postgres") as cluster:
        with psycopg.connect(cluster.admin_url, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_DATABASE]).fetchone():
                connection.execute(f"CREATE DATABASE {_DATABASE} TEMPLATE template0")
        yield urlunsplit(urlsplit(cluster.admin_url)._replace(path=f"/{_DATABASE}"))


def _rows(what: str, look: Look, browser: _Browser, bounds: _Bounds) -> Generator[Row]:
    with browser.asking(look) as ask:
        # The first look at an asset takes the numbers out of its metadata, which the bounds need too.
        ask()
    by_driver: list[float] = []
    by_app: list[float] = []
    if look.sql:
        by_driver.append(_median(bounds.asking_driver(look)))
        by_app.append(_median(bounds.asking_app(look)))
    ours = _times(browser.asking(look))
    median = statistics.median(ours) * 1e3
    p99 = statistics.quantiles(ours, n=100)[98] * 1e3
    if look.sql:
        by_app.append(_median(bounds.asking_app(look)))
        by_driver.append(_median(bounds.asking_driver(look)))
        told = Row(what=f"{what}, median", value=median, unit="ms", lower_is_better=True)
        yield _beside(told, "the bare app", by_app, aim=3)
        yield _beside(told, "the bare SQL", by_driver, what="the same beside the bare SQL")
    else:
        yield Row(what=f"{what}, median", value=median, unit="ms")
    yield Row(what=f"{look.what}, p99", value=p99, unit="ms", aim=100, lower_is_better=True)


def _beside(row: Row, bound: str, times: list[float], *, aim: float | None = None, what: str | None = None) -> Row:
    before, after = times
    return Row(
        what=what or row.what,
        value=row.value,
        unit=row.unit,
        bound=bound,
        bounds=(before * 1e3, after * 1e3),
        aim=aim,
        lower_is_better=True,
    )


def _median(asking: AbstractContextManager[Ask]) -> float:
    return statistics.median(_times(asking))


def _times(asking: AbstractContextManager[Ask]) -> list[float]:
    """Over a connection of its own: one that waits for the others to be measured is closed by its server."""
    times: list[float] = []
    with asking as ask:
        for _ in range(_WARM):
            ask()
        for _ in range(_TIMES):
            start = time.perf_counter()
            ask()
            times.append(time.perf_counter() - start)
    return times

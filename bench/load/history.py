"""A history to look at: many ended invocations, as months of use would leave it.

Written by the commands of the store's own writer, some hundred invocations in a transaction and each at its own
instants, so that every row is one that the server would have written. What is left out is the way there (HTTP, queues,
a commit each), which is what takes the time.
"""

from __future__ import annotations

import json
import random
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Engine, select, update

from bench.load.events import WORDS, text
from standpipe_protocol.limits import Limits
from standpipe_server.broker.lifecycle.requests import json_digest, parse_registration
from standpipe_server.broker.messages.batches import parse_batch
from standpipe_server.broker.values.state import Finish
from standpipe_server.store.commands.append import Append
from standpipe_server.store.commands.launch import FinishInvocation
from standpipe_server.store.commands.lifecycle import Register
from standpipe_server.store.database import engines, tables
from standpipe_server.store.database.schema_upgrade import upgrade_database
from standpipe_server.store.events.segments import encode_batch
from standpipe_server.store.reads.lookups import find_target
from standpipe_server.store.transactions.caches import Caches, LiveStates
from standpipe_server.store.transactions.unit_of_work import UnitOfWork

EVENTS = 50
"""An invocation."""
LINES = 50_000
"""Of the one invocation that is large."""
JOBS = 50
ASSETS = 20
ASSET = "bench/asset-0"
"""The asset of which the series is read: every twentieth invocation materializes it."""
RARE_TEXT = "zanzibar"
"""In a few error messages only."""

_LIMITS = Limits()
_SECOND = 1_000_000
_BEGINNING = 1_760_000_000 * _SECOND
APART = 60 * _SECOND
"""Between two registrations."""
_AT_ONCE = 500
_LARGE_BATCH = 5_000
_random = random.Random(11)  # noqa: S311  benchmarks repeat, they keep no secrets


@dataclass(frozen=True, slots=True)
class Made:
    large: str
    """The id of the invocation with many lines."""


def make_history(database_url: str, *, invocations: int) -> Made:
    """Fills an empty database, or takes up one that it has filled before."""
    with _opened(database_url) as engine:
        made = _found(engine, invocations=invocations)
        return made or _filled(engine, invocations=invocations)


@contextmanager
def _opened(database_url: str) -> Generator[Engine]:
    url = engines.database_url(database_url)
    engine = engines.open_engine(url, synchronous="NORMAL", connections=1, writes=True)
    try:
        upgrade_database(engine, migrate="auto")
        if url.get_backend_name() == "sqlite":
            # The server's checkpointer does it beside the writer.
            with engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_autocheckpoint=4000")
        yield engine
    finally:
        engine.dispose()


def _found(engine: Engine, *, invocations: int) -> Made | None:
    table = tables.invocation
    with engine.connect() as connection:
        last = connection.execute(select(table.c.pk, table.c.id).order_by(table.c.pk.desc()).limit(1)).first()
    if last is None:
        return None
    if last.pk != invocations + 1:
        raise SystemExit(f"The database holds a history of another length: {last.pk - 1:,} invocations.")
    return Made(last.id)


def _filled(engine: Engine, *, invocations: int) -> Made:
    lines = [text(100) for _ in range(500)]
    writing = _Writing()
    for start in range(0, invocations, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, invocations))
        writing.write(engine, [(number, _messages(number, lines)) for number in numbers])
    large = [{"method": "opened", "params": {"extras": {}}}, *(_log(f"{lines[n % 500]} {n}") for n in range(LINES))]
    return Made(writing.write(engine, [(invocations, large)]))


class _Writing:
    """What the store's writer keeps between two transactions."""

    def __init__(self) -> None:
        self._caches = Caches()

    def write(self, engine: Engine, runs: Sequence[tuple[int, list[dict[str, object]]]]) -> str:
        """Writes invocations in one transaction; answers the last one's id."""
        with engine.begin() as connection:
            unit = UnitOfWork(connection, now=0, caches=self._caches, live=LiveStates())
            written = [self._run(unit, number, messages) for number, messages in runs]
            unit.flush()
            unit.committed()
            # What the sweeper leaves of an ended invocation whose segments need no merging.
            ended = tables.invocation.c.due_at.is_not(None)
            connection.execute(update(tables.invocation).where(ended).values(due_at=None))
        return written[-1]

    def _run(self, unit: UnitOfWork, number: int, messages: list[dict[str, object]]) -> str:
        unit.now = _BEGINNING + number * APART
        partition = f"2026-{number % 365:03}"
        context = {"job_name": f"job-{number % JOBS}", "partition_key": partition, "extras": {"n": number}}
        wire = json.dumps({"context": context, "tags": {"team": _random.choice(WORDS[:20])}}).encode()
        registered = Register(parse_registration(wire, limits=_LIMITS), None, json_digest(wire)).execute(unit)
        pk = find_target(unit.connection, registered.id).pk
        unit.now += _SECOND
        for start in range(0, len(messages), _LARGE_BATCH):
            body = json.dumps(messages[start : start + _LARGE_BATCH]).encode()
            batch = parse_batch(body, media="json", limits=_LIMITS)
            encoded = encode_batch(batch)
            Append(pk=pk, batch=batch, encoded=encoded, producer="bench", first_seq=start + 1).execute(unit)
            unit.now += _random.randrange(5, 300) * _SECOND
        FinishInvocation(pk, Finish(exit_code=0)).execute(unit)
        return registered.id


def _messages(number: int, lines: list[str]) -> list[dict[str, object]]:
    key = f"bench/asset-{number % ASSETS}"
    metadata = {"rows": {"raw_value": _random.randrange(10**6), "type": "int"}, "loss": _random.random()}
    told: list[dict[str, object]] = [{"method": "opened", "params": {"extras": {}}}]
    told += [_log(_random.choice(lines)) for _ in range(EVENTS - 4)]
    told += [
        {"method": "report_asset_materialization", "params": {"asset_key": key, "metadata": metadata}},
        {
            "method": "report_asset_check",
            "params": {"asset_key": key, "check_name": "fresh", "passed": number % 17 > 0, "severity": "ERROR"},
        },
    ]
    closed: dict[str, object] = {}
    if number % 20 == 7:
        what = RARE_TEXT if number % 2_000 == 7 else "boom"
        closed = {"exception": {"name": "ValueError", "message": f"{what}: {_random.choice(lines)}"}}
    return [*told, {"method": "closed", "params": closed}]


def _log(message: str) -> dict[str, object]:
    return {"method": "log", "params": {"message": message, "level": "INFO"}}

"""What the store asks of its engines, and what its sweeper does when the database refuses."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future

import pytest
from sqlalchemy import Engine, func, select, text
from sqlalchemy.exc import DBAPIError

from standpipe_server.store import Overloaded, StoreSettings
from standpipe_server.store.database import tables
from standpipe_server.store.database.engines import database_url as parse_url
from standpipe_server.store.database.engines import open_engine
from standpipe_server.store.store import Store
from standpipe_server.store.transactions.writer import Command
from standpipe_server.store.upkeep.lease_grace import LeaseGrace
from standpipe_server.store.upkeep.sweeper import Sweeper
from standpipe_server.store.upkeep.watched_clock import WatchedClock
from tests.integration.store.conftest import OPENED, Bench

pytestmark = pytest.mark.anyio


async def test_a_reader_sees_one_state_however_often_it_looks(bench: Bench) -> None:
    target = await bench.register()
    engine = open_engine(parse_url(bench.database_url), synchronous="FULL", connections=1, writes=False)
    with engine.connect() as connection:
        count = select(func.count()).select_from(tables.segment)
        assert connection.scalar(count) == 0
        await bench.append(target, OPENED)
        assert connection.scalar(count) == 0
    with engine.connect() as connection:
        assert connection.scalar(count) == 1
    engine.dispose()


@pytest.mark.parametrize("writes", [True, False])
def test_an_error_of_the_database_does_not_tell_what_was_to_be_stored(database_url: str, writes: bool) -> None:
    engine = open_engine(parse_url(database_url), synchronous="FULL", connections=1, writes=writes)
    with engine.connect() as connection, pytest.raises(DBAPIError) as refused:
        connection.execute(text("INSERT INTO nowhere VALUES (:value)"), {"value": "secret"})
    assert "secret" not in str(refused.value)
    engine.dispose()


@pytest.mark.parametrize(("writes", "patience"), [(False, "30s"), (True, "0")])
def test_a_read_or_an_idle_transaction_on_postgresql_is_bounded_and_a_migration_is_not(
    postgres_url: str, writes: bool, patience: str
) -> None:
    engine = open_engine(parse_url(postgres_url), synchronous="FULL", connections=1, writes=writes)
    with engine.connect() as connection:
        assert connection.scalar(text("SHOW statement_timeout")) == patience
        assert connection.scalar(text("SHOW idle_in_transaction_session_timeout")) == "1min"
    engine.dispose()


def test_what_cannot_be_ended_now_is_not_tried_again_at_once(database_url: str) -> None:
    Store(StoreSettings(database_url=database_url), clock=lambda: 1).close()
    engine = open_engine(parse_url(database_url), synchronous="FULL", connections=2, writes=True)
    again = threading.Event()
    tried: list[Command[None]] = []

    def refuse(command: Command[None]) -> Future[None]:
        tried.append(command)
        if len(tried) > 1:
            again.set()
        refused: Future[None] = Future()
        refused.set_exception(Overloaded("The disk is full."))
        return refused

    with engine.begin() as connection:
        values = {"due_at": 1, "status": "registered"} | _FILLER
        connection.execute(tables.invocation.insert().values(values))
    sweeper = _sweeper(engine, submit=refuse)
    sweeper.start()
    assert not again.wait(1)
    assert len(tried) == 1
    sweeper.close()
    engine.dispose()


def test_reaping_goes_on_after_a_failure_that_nobody_thought_of(
    database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    Store(StoreSettings(database_url=database_url), clock=lambda: 1).close()
    engine = open_engine(parse_url(database_url), synchronous="FULL", connections=2, writes=True)
    again = threading.Event()
    tried: list[Command[None]] = []

    def fail_once(command: Command[None]) -> Future[None]:
        tried.append(command)
        if len(tried) == 1:
            raise KeyError("a fault of our own")
        again.set()
        done: Future[None] = Future()
        done.set_result(None)
        return done

    with engine.begin() as connection:
        connection.execute(tables.invocation.insert().values({"due_at": 1, "status": "registered"} | _FILLER))
    sweeper = _sweeper(engine, submit=fail_once)
    sweeper.start()
    assert again.wait(30)
    sweeper.close()
    engine.dispose()
    assert "The sweeper failed and will try again." in caplog.text


def _sweeper(engine: Engine, *, submit: Callable[[Command[None]], Future[None]]) -> Sweeper:
    clock = WatchedClock(lambda: 2, lambda: 2)
    return Sweeper(
        engine,
        clock=clock,
        submit=submit,
        grace=LeaseGrace(engine),
        look=lambda: None,
        longest_sleep=5.0,
    )


_FILLER = {
    "id": "inv_1",
    "request_digest": b"",
    "reasons": "[]",
    "revision": 0,
    "last_position": 0,
    "asset_keys": "[]",
    "tags": "{}",
    "created_at": 0,
    "open_within": 1.0,
    "settle": 1.0,
    "lease_seconds": 1.0,
    "lease_lost": False,
    "producers_opened": 0,
    "producers_open": 0,
}

"""A connection that breaks in the middle of a transaction: who waits is told to try again, and then it works."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import psycopg
import pytest

from standpipe_server.store import Store, StoreError, StoreSettings
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from tests.integration.store.conftest import Bench, Clock, body
from tests.support.wire import custom

pytestmark = pytest.mark.anyio


@pytest.fixture
def postgres_bench(postgres_url: str) -> Iterator[Bench]:
    store = Store(StoreSettings(database_url=postgres_url), clock=Clock())
    yield Bench(store, Clock(), postgres_url)
    assert store.close()


async def test_an_append_whose_connection_breaks_may_be_sent_again(
    postgres_bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = postgres_bench
    target = await bench.register()
    load = UnitOfWork.load

    def break_and_load(unit: UnitOfWork, pks: Iterable[int], producers: Iterable[tuple[int, str]] = ()) -> None:
        monkeypatch.setattr(UnitOfWork, "load", load)
        backend = unit.connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        with psycopg.connect(bench.database_url.replace("postgresql+psycopg", "postgresql"), autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s)", [backend])
        load(unit, pks, producers)

    monkeypatch.setattr(UnitOfWork, "load", break_and_load)
    with pytest.raises(StoreError) as told:
        await bench.append(target, body(custom(1)), producer="p", first_seq=1)
    assert told.value.problem.name == "overloaded"
    outcome = await bench.append(target, body(custom(1)), producer="p", first_seq=1)
    assert (outcome.status, outcome.body["last_position"]) == (200, 1)

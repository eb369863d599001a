"""Whoever could not be heard is not missed: leases after an outage, at the start, and when the clock is set."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn

import anyio
import pytest
from sqlalchemy.exc import OperationalError

from standpipe_server.broker.lifecycle.requests import Heartbeat
from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.store import Overloaded, Store, Target
from standpipe_server.store.commands import RecordHeartbeat
from standpipe_server.store.reads import read_context
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from tests.integration.store.conftest import CLOSED, OPENED, Bench, Clock, settings

pytestmark = pytest.mark.anyio


async def verdicts(bench: Bench, *targets: Target) -> list[str | None]:
    return [(await bench.invocation(target))["verdict"] for target in targets]


async def lease_end(bench: Bench, target: Target) -> str | None:
    return (await bench.invocation(target))["lease_expires_at"]


async def until(probe: Callable[[], Awaitable[object]], expected: object) -> None:
    """The sweeper looks every few hundredths of a second at the latest."""
    with anyio.fail_after(30):
        while await probe() != expected:  # noqa: ASYNC110  the sweeper tells nobody
            await anyio.sleep(0.02)


def _refuse(*_: object, **__: object) -> NoReturn:
    raise OperationalError("INSERT", None, Exception("disk full"))


# The database is away


async def test_words_that_could_not_be_stored_are_not_missed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    beating = await bench.register()
    await bench.append(beating, OPENED)
    await bench.store.writes.run(RecordHeartbeat(beating.pk, Heartbeat(), start=True))
    with monkeypatch.context() as broken:
        broken.setattr(UnitOfWork, "load", _refuse)
        with pytest.raises(Overloaded):
            await bench.store.writes.run(RecordHeartbeat(beating.pk, Heartbeat(), start=True))
        bench.clock.pass_seconds(3600)
        with pytest.raises(Overloaded):
            await bench.store.writes.run(RecordHeartbeat(beating.pk, Heartbeat(), start=True))
    await _after_a_sweep(bench)
    assert await verdicts(bench, beating) == [None]
    # Who is silent now is missed as ever.
    bench.clock.pass_seconds(61)
    await until(lambda: verdicts(bench, beating), ["lost"])


async def test_reports_that_could_not_be_stored_are_not_missed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    # One that has no heartbeat: what it reports is its only word.
    leased = await bench.register(b'{"context":{},"lease_seconds":60}')
    await bench.append(leased, OPENED)
    with monkeypatch.context() as broken:
        broken.setattr(UnitOfWork, "load", _refuse)
        bench.clock.pass_seconds(3600)
        with pytest.raises(Overloaded):
            await bench.append(leased, CLOSED)
    await _after_a_sweep(bench)
    assert await verdicts(bench, leased) == [None]


async def _after_a_sweep(bench: Bench) -> None:
    """Returns once the sweeper has ended what was due."""
    due = await bench.register(b'{"context":{},"open_within_seconds":1}')
    bench.clock.pass_seconds(2)
    await until(lambda: verdicts(bench, due), ["incomplete"])


async def test_leases_start_anew_when_the_server_was_away(bench: Bench) -> None:
    leased = await bench.register(b'{"context":{},"lease_seconds":3}')
    await bench.append(leased, OPENED)
    # The clock of the first store stands still, or its sweeper would be the one that was not away.
    later = Clock(bench.clock.now + 3_600_000_000)
    store = Store(settings(bench.database_url), clock=later)
    try:
        other = Bench(store, later, bench.database_url)
        due = await other.register(b'{"context":{},"open_within_seconds":0.01}')
        later.pass_seconds(1)
        await until(lambda: verdicts(other, due), ["incomplete"])
        assert await verdicts(other, leased) == [None]
    finally:
        assert store.close()


async def test_a_store_that_cannot_write_starts_and_forgives_later(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    leased = await bench.register(b'{"context":{},"lease_seconds":3}')
    await bench.append(leased, OPENED)
    later = Clock(bench.clock.now + 3_600_000_000)
    with monkeypatch.context() as broken:
        broken.setattr(UnitOfWork, "load", _refuse)
        store = Store(settings(bench.database_url), clock=later)
        other = Bench(store, later, bench.database_url)
        with pytest.raises(Overloaded):
            await store.writes.run(RecordHeartbeat(leased.pk, Heartbeat(), start=True))
        assert (await other.invocation(leased))["status"] == "running"
    try:
        await _after_a_sweep(other)
        assert await verdicts(other, leased) == [None]
    finally:
        assert store.close()


async def test_whoever_looks_at_the_context_with_the_operator_key_is_not_the_process(bench: Bench) -> None:
    leased = await bench.register(b'{"context":{},"lease_seconds":60}')
    await bench.append(leased, OPENED)
    before = await lease_end(bench, leased)
    bench.clock.pass_seconds(30)
    await bench.store.reads.run(read_context, leased, by_token=False)
    assert await lease_end(bench, leased) == before
    await bench.store.writes.run(RecordHeartbeat(leased.pk, Heartbeat(), start=False))
    assert await lease_end(bench, leased) != before


# The clock is set


@pytest.fixture
def wall() -> Clock:
    return Clock()


@pytest.fixture
def steady_bench(database_url: str, wall: Clock) -> Iterator[Bench]:
    """`bench.clock` is the monotonic one; `wall` is what the store takes its instants from."""
    steady = Clock(0)
    store = Store(settings(database_url), clock=wall, monotonic=steady)
    yield Bench(store, steady, database_url)
    assert store.close()


def _pass_on_both(steady: Clock, wall: Clock, *, seconds: float) -> None:
    """In steps so small that a look between the two is no sign of a clock that was set."""
    while seconds > 0:
        step = min(seconds, 0.5)
        wall.pass_seconds(step)
        steady.pass_seconds(step)
        seconds -= step


@pytest.mark.parametrize("step", [3_600.0, -3_600.0, 40 * 86_400.0])
async def test_a_clock_that_is_set_loses_settles_and_ends_nobody(steady_bench: Bench, wall: Clock, step: float) -> None:
    bench = steady_bench
    leased = await bench.register(b'{"context":{},"lease_seconds":1000}')
    settling = await bench.register(b'{"context":{},"settle_seconds":1000}')
    waiting = await bench.register()
    await bench.append(leased, OPENED)
    await bench.append(settling, OPENED)
    await bench.append(settling, CLOSED)
    wall.pass_seconds(step)
    expires = to_rfc3339(wall.now + 1_000_000_000)
    await until(lambda: lease_end(bench, leased), expires)
    # All are forgiven once a later look of the sweeper has ended something.
    due = await bench.register(b'{"context":{},"open_within_seconds":0.01}')

    async def verdicts_later() -> list[str | None]:
        # Again and again: the sweeper may still be forgiving, and then this one waits anew as well.
        _pass_on_both(bench.clock, wall, seconds=0.1)
        return await verdicts(bench, due)

    await until(verdicts_later, ["incomplete"])
    assert await verdicts(bench, leased, settling, waiting) == [None, None, None]
    # Time that really passes counts as before.
    _pass_on_both(bench.clock, wall, seconds=1001)
    await until(lambda: verdicts(bench, leased, settling, waiting), ["lost", "succeeded", None])

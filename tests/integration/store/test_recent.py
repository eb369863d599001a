"""What was just committed reaches readers from memory: the same events as the database's, each once, none skipped."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from standpipe_server.broker.lifecycle.requests import parse_finish
from standpipe_server.feed.tail import Ended, tail
from standpipe_server.feed.wakeups import Feed
from standpipe_server.store import EventPage, NotFound, Store, StoreSettings, Target
from standpipe_server.store.commands import Delete
from tests.integration.store.conftest import CLOSED, OPENED, Bench, Clock, body
from tests.support.stores import finished
from tests.support.wire import custom

pytestmark = pytest.mark.anyio


@pytest.fixture
def two(postgres_url: str) -> Iterator[tuple[Bench, Bench]]:
    """Two servers' stores on one database."""
    first, second = (
        Bench(Store(StoreSettings(database_url=postgres_url), clock=Clock()), Clock(), postgres_url) for _ in range(2)
    )
    yield first, second
    assert first.store.close()
    assert second.store.close()


async def _follow(store: Store, target: Target, *, after: int, methods: frozenset[str] | None = None) -> EventPage:
    return await store.events.page(target.pk, after=after, limit=1000, methods=methods, following=True)


def _refuse_reads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def connect() -> Any:
        raise AssertionError("The database was asked.")

    monkeypatch.setattr(store._read_engine, "connect", connect)  # pyright: ignore[reportPrivateUsage]


async def test_a_reader_that_keeps_up_costs_no_connection(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    target = await bench.register()
    await bench.append(target, body(custom(1), custom(2)))
    _refuse_reads(bench.store, monkeypatch)
    page = await _follow(bench.store, target, after=1)
    assert (page.positions, page.next_after, page.last_position, page.ended) == ([2], 2, 2, False)


async def test_memory_gives_what_the_database_gives(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, OPENED, producer="p", first_seq=1)
    wrong = {"method": "report_asset_check", "params": {"asset_key": 7}}
    await bench.append(target, body(custom("é" * 2_000), wrong, {"no": "message"}, 7), producer="p", first_seq=2)
    await bench.append(target, CLOSED, producer="p", first_seq=6)
    for after in range(6):
        for methods in (None, frozenset({"report_custom_message"}), frozenset({"closed"})):
            stored = await bench.store.events.page(target.pk, after=after, limit=1000, methods=methods)
            recent = await _follow(bench.store, target, after=after, methods=methods)
            assert (recent.events, recent.positions, recent.next_after) == (
                stored.events,
                stored.positions,
                stored.next_after,
            )
            assert (recent.last_position, recent.ended) == (stored.last_position, stored.ended)


async def test_what_memory_does_not_hold_comes_from_the_database(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(*(custom("x" * 1000) for _ in range(200))))
    await bench.append(target, body(custom(1)))
    positions: list[int] = []
    while (page := await _follow(bench.store, target, after=len(positions))).events:
        positions += page.positions
    assert positions == list(range(1, 202))


async def test_what_is_deleted_is_not_in_memory_any_more(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(custom(1)))
    await bench.store.writes.run(Delete(target.pk, force=True))
    with pytest.raises(NotFound):
        await _follow(bench.store, target, after=0)


async def test_positions_of_two_servers_are_followed_without_a_gap(two: tuple[Bench, Bench]) -> None:
    target = await two[0].register()
    for number in range(1, 10):
        await two[number % 3 == 0].append(target, body(custom(number)))
        for bench in two:
            read: list[int] = []
            while (page := await _follow(bench.store, target, after=len(read))).events or not page.latest:
                read += page.positions
            assert read == list(range(1, number + 1))


async def test_a_server_does_not_take_its_own_last_commit_for_the_latest(two: tuple[Bench, Bench]) -> None:
    here, there = two
    target = await here.register()
    await here.append(target, body(json.loads(OPENED), json.loads(CLOSED)))
    await there.append(target, body(custom(1)))
    page = await _follow(here.store, target, after=0)
    assert (page.positions, page.latest) == ([1, 2], False)
    page = await _follow(here.store, target, after=2)
    assert (page.positions, page.latest) == ([3], True)


async def test_readers_get_every_position_once_while_writers_race(bench: Bench) -> None:
    feed = Feed()
    bench.store.on_commit = feed.on_commit
    target = await bench.register()

    async def read(after: int) -> list[int]:
        positions: list[int] = []
        with feed.subscribe(target.pk) as subscription:
            steps = tail(
                bench.store.events,
                subscription,
                after=after,
                methods=None,
                limit=7,
                max_bytes=1 << 20,
                idle_seconds=30,
            )
            async for step in steps:
                if isinstance(step, EventPage):
                    positions += step.positions
                elif isinstance(step, Ended):
                    break
            await steps.aclose()
        return positions

    async def write(producer: str) -> None:
        for number in range(1, 41):
            await bench.append(target, body(custom(number)), producer=producer, first_seq=number)

    await bench.append(target, OPENED, producer="main", first_seq=1)
    async with asyncio.timeout(60):
        readers = [asyncio.create_task(read(after)) for after in (0, 0, 1)]
        await asyncio.gather(*(write(f"p{n}") for n in range(4)))
        await bench.append(target, CLOSED, producer="main", first_seq=2)
        finish = parse_finish(b'{"receipt":{"exit_code":0}}')
        await finished(bench.store, target.id, finish)
        read_by = await asyncio.gather(*readers)
    assert read_by == [list(range(1, 163)), list(range(1, 163)), list(range(2, 163))]

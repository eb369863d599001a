"""Merging the small segments of what has ended: bounded in memory, whatever they hold, and it comes to an end."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import anyio
import pytest
from sqlalchemy import create_engine, select

from standpipe_server.broker.values.state import Finish
from standpipe_server.store import Target
from standpipe_server.store.commands import merge_segments as merge
from standpipe_server.store.database import tables
from standpipe_server.store.database.engines import database_url
from standpipe_server.store.events.segments import Run, StoredSegment, decoded_size
from tests.integration.store.conftest import CLOSED, OPENED, Bench, body
from tests.support.stores import finished
from tests.support.wire import check, custom, log

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


def _segments(bench: Bench, target: Target) -> Sequence[StoredSegment]:
    """As the database has them: how many messages each holds, and what they weigh."""
    engine, table = create_engine(database_url(bench.database_url)), tables.segment
    with engine.connect() as connection:
        found = connection.execute(
            select(table).where(table.c.invocation_pk == target.pk).order_by(table.c.first_position)
        ).mappings()
        rows = list(found)
    engine.dispose()
    return [
        StoredSegment(row["first_position"], row["encoding"], row["body"], [Run("p", 1, row["count"], 0)], None, None)
        for row in rows
    ]


def _is_at_rest(bench: Bench, target: Target) -> bool:
    engine, table = create_engine(database_url(bench.database_url)), tables.invocation
    with engine.connect() as connection:
        due_at = connection.scalar(select(table.c.due_at).where(table.c.pk == target.pk))
    engine.dispose()
    return due_at is None


async def _end_and_merge(bench: Bench, target: Target) -> None:
    await finished(bench.store, target.id, Finish(exit_code=0))
    bench.clock.pass_seconds(61)
    with anyio.fail_after(30):
        while not _is_at_rest(bench, target):  # noqa: ASYNC110  the sweeper tells nobody
            await anyio.sleep(0.02)


async def test_what_weighs_little_compressed_is_merged_by_what_it_weighs_in_memory(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, OPENED)
    for _ in range(12):
        # A thousandth of that on disk.
        await bench.append(target, body(log("0" * 2 * MIB)))
    await bench.append(target, CLOSED)
    before = await bench.events(target)
    await _end_and_merge(bench, target)
    assert max(map(decoded_size, _segments(bench, target))) < 6 * MIB
    assert await bench.events(target) == before


async def test_segments_that_cannot_be_merged_are_looked_at_once(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_SEGMENTS_AT_A_TIME", 4)
    target = await bench.register()
    await bench.append(target, OPENED)
    for _ in range(5):
        await bench.append(target, body(log(secrets.token_hex(300_000))))
    for number in range(10):
        await bench.append(target, body(log(str(number))))
    before = await bench.events(target)
    await _end_and_merge(bench, target)
    assert [segment.runs[0].count for segment in _segments(bench, target)] == [1] * 6 + [10]
    assert await bench.events(target) == before


async def test_small_segments_between_large_ones_are_left_alone(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "_SEGMENTS_AT_A_TIME", 2)
    target = await bench.register()
    for number in range(4):
        await bench.append(target, body(log(str(number))))
        await bench.append(target, body(*map(log, map(str, range(100)))))
    await _end_and_merge(bench, target)
    assert [segment.runs[0].count for segment in _segments(bench, target)] == [1, 100] * 4


async def test_problems_notes_producers_and_methods_are_those_of_the_same_messages_after_a_merge(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, OPENED, producer="p", first_seq=1)
    for seq in (2, 3):
        await bench.append(target, body(check("a", "c")), producer="p", first_seq=seq)
    await bench.append(target, body({"method": "nonsense"}), producer="q", first_seq=1)
    await bench.append(target, body(custom(1), log("two")), producer="q", first_seq=2)
    await bench.append(target, CLOSED, producer="p", first_seq=4)
    before = await bench.events(target)
    by_method = {event["method"]: event["position"] for event in before}
    await _end_and_merge(bench, target)
    assert len(_segments(bench, target)) == 1
    assert await bench.events(target) == before
    for method, position in by_method.items():
        page = await bench.store.events.page(target.pk, after=0, limit=10, methods=frozenset({str(method)}))
        assert position in page.positions
    again = await bench.append(target, body({"method": "nonsense"}), producer="q", first_seq=1)
    assert [result["seq"] for result in again.body["results"]] == [1]  # type: ignore[union-attr, index]

"""Threads for reading: what waits for them is bounded, and nobody who waits is forgotten."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from time import monotonic

import pytest

from standpipe_server.store import Overloaded, StoreClosed
from standpipe_server.store.reads import threads as read_threads
from standpipe_server.store.reads.threads import Lane, ReadThreads
from tests.support.waiting import wait_until

pytestmark = pytest.mark.anyio


class Door:
    """A read that the database does not answer until the door is opened."""

    def __init__(self) -> None:
        self.entered = 0
        self._open = threading.Event()

    def pass_through(self) -> str:
        self.entered += 1
        assert self._open.wait(30)
        return "read"

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def threads() -> Iterator[ReadThreads]:
    made = ReadThreads(1)
    yield made
    assert made.close(deadline=monotonic() + 30)


async def _blocked(lane: Lane, door: Door) -> asyncio.Task[str]:
    task = asyncio.create_task(lane.run(door.pass_through))
    await asyncio.to_thread(wait_until, lambda: door.entered, what="the thread to be busy")
    return task


async def test_who_comes_when_too_many_wait_is_told_to_come_again(threads: ReadThreads) -> None:
    lane, door = threads.lane(capacity=2), Door()
    tasks = [await _blocked(lane, door)]
    tasks += [asyncio.create_task(lane.run(door.pass_through)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded) as told:
        await lane.run(door.pass_through)
    assert told.value.problem.members["retry_after"] == 1
    door.open()
    assert await asyncio.gather(*tasks) == ["read"] * 3
    assert await lane.run(lambda: "again") == "again"


async def test_one_lane_full_leaves_room_on_the_other(threads: ReadThreads) -> None:
    full, other, door = threads.lane(capacity=1), threads.lane(capacity=1), Door()
    tasks = [await _blocked(full, door), asyncio.create_task(full.run(door.pass_through))]
    waiting = asyncio.create_task(other.run(lambda: "read"))
    await asyncio.sleep(0)
    door.open()
    assert await asyncio.gather(*tasks, waiting) == ["read"] * 3


async def test_whoever_went_away_costs_nothing_and_is_counted_until_then(threads: ReadThreads) -> None:
    lane, door, ran = threads.lane(capacity=1), Door(), threading.Event()
    first = await _blocked(lane, door)
    gone = asyncio.create_task(lane.run(ran.set))
    await asyncio.sleep(0)
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    with pytest.raises(Overloaded):
        await lane.run(lambda: None)
    door.open()
    assert await first == "read"
    # The first is answered before the thread comes to the one that went away.
    await asyncio.to_thread(wait_until, lambda: lane.waiting == 0, what="the thread to pass over who went away")
    await lane.run(lambda: None)
    assert not ran.is_set()


async def test_who_waited_too_long_is_told_so_instead_of_waiting_on(
    threads: ReadThreads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_threads, "LONGEST_WAIT_SECONDS", 0.0)
    lane, door, ran = threads.lane(capacity=2), Door(), threading.Event()
    first = asyncio.create_task(lane.run(door.pass_through))
    second = asyncio.create_task(lane.run(ran.set))
    with pytest.raises(Overloaded, match="answers slowly"):
        await first
    with pytest.raises(Overloaded, match="answers slowly"):
        await second
    assert (door.entered, ran.is_set()) == (0, False)


async def test_a_failure_reaches_its_caller_and_the_thread_goes_on(threads: ReadThreads) -> None:
    lane = threads.lane(capacity=1)
    with pytest.raises(ZeroDivisionError):
        await lane.run(lambda: 1 // 0)
    assert await lane.run(lambda: 1) == 1


async def test_closing_a_lane_answers_everybody_and_a_hanging_thread_holds_up_nobody() -> None:
    threads, door = ReadThreads(1), Door()
    lane = threads.lane(capacity=1)
    tasks = [await _blocked(lane, door), asyncio.create_task(lane.run(door.pass_through))]
    await asyncio.sleep(0)
    lane.close()
    for task in tasks:
        with pytest.raises(StoreClosed):
            await task
    with pytest.raises(StoreClosed):
        await lane.run(door.pass_through)
    assert not threads.close(deadline=monotonic())
    door.open()
    assert threads.close(deadline=monotonic() + 30)

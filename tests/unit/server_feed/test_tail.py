"""Reading along on a real store: what is stored, then what comes, signs of life between, and an end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path

import pytest

from standpipe_protocol.home import Credentials
from standpipe_protocol.limits import Limits
from standpipe_server.broker.lifecycle.requests import parse_finish, parse_registration
from standpipe_server.broker.messages.batches import parse_batch
from standpipe_server.feed.tail import Ended, Idle, Step, Stopping, tail
from standpipe_server.feed.wakeups import Subscription
from standpipe_server.settings import Settings
from standpipe_server.store import EventPage, Target
from standpipe_server.store.commands import Append
from standpipe_server.wiring import Wiring, open_wiring
from tests.support.stores import finished, registered

pytestmark = pytest.mark.anyio


@pytest.fixture
def wiring(tmp_path: Path) -> Iterator[Wiring]:
    settings = Settings(home=tmp_path, database_url=f"sqlite:///{tmp_path / 'standpipe.db'}")
    with open_wiring(settings, Credentials(url="", api_key="key", identity="")) as opened:
        yield opened


async def _registered(wiring: Wiring) -> Target:
    registration = parse_registration(b"{}", limits=Limits())
    return await registered(wiring.store, registration)


async def _append(wiring: Wiring, target: Target) -> None:
    body = b'{"method":"report_custom_message","params":{"payload":1}}'
    batch = parse_batch(body, media="json", limits=Limits())
    await wiring.store.appends.run(Append.of(target.pk, batch, body))


def _tail(wiring: Wiring, subscription: Subscription, *, idle_seconds: float = 30) -> AsyncGenerator[Step]:
    return tail(
        wiring.store.events, subscription, after=0, methods=None, limit=10, max_bytes=1 << 20, idle_seconds=idle_seconds
    )


async def _next(steps: AsyncGenerator[Step]) -> Step:
    async with asyncio.timeout(20):
        return await anext(steps)


async def test_what_is_stored_comes_first_and_then_what_is_committed(wiring: Wiring) -> None:
    target = await _registered(wiring)
    await _append(wiring, target)
    with wiring.feed.subscribe(target.pk) as subscription:
        async with contextlib.aclosing(_tail(wiring, subscription)) as steps:
            stored = await _next(steps)
            assert isinstance(stored, EventPage)
            assert stored.positions == [1]
            coming = asyncio.create_task(_next(steps))
            await _append(wiring, target)
            came = await coming
            assert isinstance(came, EventPage)
            assert came.positions == [2]
            ending = asyncio.create_task(_next(steps))
            await finished(wiring.store, target.id, parse_finish(b""))
            assert await ending == Ended(2)
            await _append(wiring, target)
            late = await _next(steps)
            assert isinstance(late, EventPage)
            assert late.positions == [3]
            assert await _next(steps) == Ended(3)


async def test_a_quiet_invocation_gives_signs_of_life(wiring: Wiring) -> None:
    target = await _registered(wiring)
    with wiring.feed.subscribe(target.pk) as subscription:
        async with contextlib.aclosing(_tail(wiring, subscription, idle_seconds=0.05)) as steps:
            assert [await _next(steps) for _ in range(3)] == [Idle()] * 3


async def test_a_stopping_server_is_told_and_nothing_more_is_read(wiring: Wiring) -> None:
    target = await _registered(wiring)
    with wiring.feed.subscribe(target.pk) as subscription:
        async with contextlib.aclosing(_tail(wiring, subscription)) as steps:
            waiting = asyncio.create_task(_next(steps))
            await asyncio.sleep(0)
            wiring.feed.stop()
            assert await waiting == Stopping()
            with pytest.raises(StopAsyncIteration):
                await _next(steps)


async def test_a_reader_that_has_gone_ends_the_tail(wiring: Wiring) -> None:
    target = await _registered(wiring)
    with wiring.feed.subscribe(target.pk) as subscription:
        async with contextlib.aclosing(_tail(wiring, subscription)) as steps:
            waiting = asyncio.create_task(_next(steps))
            await asyncio.sleep(0)
            subscription.close()
            with pytest.raises(StopAsyncIteration):
                await waiting

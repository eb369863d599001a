"""The feed's promise: who subscribes before reading never sleeps through a commit, and nobody sleeps past the end."""

from __future__ import annotations

import asyncio
import threading

import pytest

from standpipe_server.feed.wakeups import Feed, Subscription
from standpipe_server.store import Wake

pytestmark = pytest.mark.anyio
LONG = 30.0


def _commit_from_a_thread(feed: Feed, *pks: int) -> None:
    thread = threading.Thread(target=feed.on_commit, args=([Wake(pk, 1, ended=False) for pk in pks],))
    thread.start()
    thread.join()


async def _wakes(subscription: Subscription) -> None:
    async with asyncio.timeout(10):
        await subscription.wait(LONG)


async def test_a_commit_on_another_thread_wakes_who_waits() -> None:
    feed = Feed()
    with feed.subscribe(1) as subscription:
        waiting = asyncio.create_task(_wakes(subscription))
        await asyncio.sleep(0)
        _commit_from_a_thread(feed, 1)
        await waiting


async def test_a_commit_between_two_waits_counts_for_the_second() -> None:
    feed = Feed()
    with feed.subscribe(1) as subscription:
        _commit_from_a_thread(feed, 1)
        await _wakes(subscription)


async def test_a_commit_of_another_invocation_wakes_nobody() -> None:
    feed = Feed()
    with feed.subscribe(1) as subscription, feed.subscribe(2) as other:
        waiting = asyncio.create_task(subscription.wait(LONG))
        _commit_from_a_thread(feed, 2)
        await _wakes(other)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_every_reader_of_an_invocation_is_woken() -> None:
    feed = Feed()
    with feed.subscribe(1) as one, feed.subscribe(1) as two:
        _commit_from_a_thread(feed, 1, 1)
        await asyncio.gather(_wakes(one), _wakes(two))


async def test_a_wait_ends_when_its_time_is_up() -> None:
    feed = Feed()
    with feed.subscribe(1) as subscription:
        await subscription.wait(0.01)
        await subscription.wait(-1)


async def test_stopping_ends_every_wait_now_and_later() -> None:
    feed = Feed()
    with feed.subscribe(1) as subscription:
        waiting = asyncio.create_task(_wakes(subscription))
        await asyncio.sleep(0)
        feed.stop()
        await waiting
        await _wakes(subscription)
        assert subscription.stopping
    with feed.subscribe(2) as late:
        await _wakes(late)


async def test_a_reader_that_goes_away_is_woken_and_forgotten() -> None:
    feed = Feed()
    with feed.subscribe(1) as subscription:
        waiting = asyncio.create_task(_wakes(subscription))
        await asyncio.sleep(0)
        subscription.close()
        await waiting
        assert subscription.closed
        assert feed.subscriptions == 1
    assert feed.subscriptions == 0


def test_a_commit_after_the_loop_has_ended_harms_nobody() -> None:
    feed = Feed()

    async def subscribe() -> Subscription:
        return feed.subscribe(1)

    asyncio.run(subscribe())
    feed.on_commit([Wake(1, 1, ended=False)])


async def test_without_other_servers_commits_waits_are_short() -> None:
    feed = Feed()
    with feed.subscribe(1) as subscription:
        hearing = subscription.poll_seconds
        feed.deaf = True
        assert subscription.poll_seconds < hearing

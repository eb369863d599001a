"""The open streams and long polls of this process: counted and bounded."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator

from standpipe_protocol.problems import Problem
from standpipe_server.api.http.exchange import Exchange
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.feed.wakeups import Feed, Subscription

MOST_STREAMS = 10_000


class Streams:
    """Counts what is open."""

    def __init__(self, feed: Feed, *, most: int = MOST_STREAMS) -> None:
        self._feed = feed
        self._most = most
        self.open = 0

    @contextlib.asynccontextmanager
    async def following(self, exchange: Exchange, pk: int) -> AsyncGenerator[Subscription]:
        """A subscription for as long as one answer takes; it is closed when the client goes away."""
        if self.open >= self._most:
            detail = f"The server has {self.open} streams open and takes no more."
            raise Refused(Problem("overloaded", detail, {"retry_after": 5}))
        self.open += 1
        try:
            with self._feed.subscribe(pk) as subscription:
                watcher = asyncio.create_task(_watch(exchange, subscription), name="standpipe-watch-reader")
                try:
                    yield subscription
                finally:
                    watcher.cancel()
        finally:
            self.open -= 1


async def _watch(exchange: Exchange, subscription: Subscription) -> None:
    while True:
        message = await exchange.receive()
        if message["type"] == "http.disconnect":
            subscription.close()
            return

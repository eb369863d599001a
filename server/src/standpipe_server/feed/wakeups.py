"""The feed: readers subscribe to an invocation; the store's writer and PostgreSQL's notifications wake them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterable, Sequence
from types import TracebackType

from standpipe_server.store import Wake

# With wake-ups arriving, a reader that heard nothing looks again after this long. Without them (the connection that
# listens is down) it is the only way to hear of other processes' commits, so it must be short.
BACKSTOP_SECONDS = 30.0
DEAF_SECONDS = 1.0


class Feed:
    """Wakes the subscriptions of one event loop. `on_commit`, `wake_all` and `deaf` may be used from any thread."""

    def __init__(self) -> None:
        self.stopping = False
        self.deaf = False
        """Whether other processes' commits go unheard for now."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: dict[int, set[Subscription]] = {}
        self._lock = threading.Lock()
        self._pending: set[int] = set()

    @property
    def poll_seconds(self) -> float:
        return DEAF_SECONDS if self.deaf else BACKSTOP_SECONDS

    @property
    def subscriptions(self) -> int:
        return sum(len(group) for group in self._waiting.values())

    def subscribe(self, pk: int) -> Subscription:
        """Subscribes to an invocation; subscribe first and read then, so that no commit falls between."""
        self._loop = asyncio.get_running_loop()
        subscription = Subscription(self, pk)
        self._waiting.setdefault(pk, set()).add(subscription)
        return subscription

    def is_followed(self, pk: int) -> bool:
        """Whether the invocation has a subscriber. Safe on any thread, for the reason that `wake` gives."""
        return pk in self._waiting

    def on_commit(self, wakes: Sequence[Wake]) -> None:
        """Wakes the readers of what was committed. Called on the writer's thread; costs nothing without readers."""
        self.wake([wake.pk for wake in wakes])

    def wake(self, pks: Iterable[int]) -> None:
        """Wakes the readers that wait for one of these invocations."""
        # Reading the dictionary without the loop's knowledge is safe: who subscribes after this look reads the store
        # after subscribing, and finds what was committed before.
        waited = [pk for pk in pks if pk in self._waiting]
        loop = self._loop
        if not waited or loop is None:
            return
        with self._lock:
            scheduled = bool(self._pending)
            self._pending.update(waited)
        if not scheduled:
            with contextlib.suppress(RuntimeError):  # the loop was closed: no reader waits any more
                loop.call_soon_threadsafe(self._deliver)

    def wake_all(self) -> None:
        """Wakes all readers, after wake-ups may have been missed."""
        self.wake(list(self._waiting))

    def stop(self) -> None:
        """Ends every wait, now and from now on. Called on the loop, before the server stops taking requests."""
        self.stopping = True
        for group in self._waiting.values():
            for subscription in group:
                subscription.wake()

    def _deliver(self) -> None:
        with self._lock:
            pending, self._pending = self._pending, set()
        for pk in pending:
            for subscription in self._waiting.get(pk, ()):
                subscription.wake()

    def forget(self, subscription: Subscription) -> None:
        group = self._waiting.get(subscription.pk)
        if group is not None:
            group.discard(subscription)
            if not group:
                del self._waiting[subscription.pk]


class Subscription:
    """One reader's place in the feed. Use it as a context manager; one coroutine waits on it at a time."""

    __slots__ = ("_awake", "_feed", "_future", "closed", "pk")

    def __init__(self, feed: Feed, pk: int) -> None:
        self.pk = pk
        self.closed = False
        """Whether the reader has gone away."""
        self._feed = feed
        self._awake = False
        self._future: asyncio.Future[None] | None = None

    @property
    def stopping(self) -> bool:
        return self._feed.stopping

    @property
    def poll_seconds(self) -> float:
        return self._feed.poll_seconds

    def wake(self) -> None:
        self._awake = True
        self._resolve()

    def close(self) -> None:
        """The reader has gone away: its wait ends."""
        self.closed = True
        self.wake()

    async def wait(self, timeout: float) -> None:
        """Waits for a wake-up, at most `timeout` seconds. One that came since the last wait counts."""
        if not self._awake and not self.stopping and timeout > 0:
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            # A timer of its own, not asyncio.wait_for: that would cost a task a wait.
            timer = loop.call_later(timeout, self._resolve)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        self._awake = False

    def _resolve(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._feed.forget(self)

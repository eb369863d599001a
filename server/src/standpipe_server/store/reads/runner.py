"""Reads: each on a thread of this room with a connection that it gives back at once.

Callers get one error for a failing database, for every error of the driver. Invariant: nothing is read once the
database is known to be lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from standpipe_server.store.database.engines import StoreSettings
from standpipe_server.store.errors import Overloaded
from standpipe_server.store.reads.threads import Lane, ReadThreads
from standpipe_server.store.watch import Fence, Watch

_log = logging.getLogger(__name__)
_COMPUTATIONS_AT_ONCE = 2
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Reads:
    """Runs functions on reading threads. `on_refused` is called when a read was refused: the activity of a process may
    have gone unrecorded with it."""

    def __init__(
        self, engine: Engine, settings: StoreSettings, *, watch: Watch, fence: Fence, on_refused: Callable[[], None]
    ) -> None:
        self._engine = engine
        self._watch = watch
        self._fence = fence
        self._on_refused = on_refused
        self._threads = ReadThreads(settings.read_threads)
        self._reads = self._threads.lane(capacity=settings.read_queue_size)
        self._follows = self._threads.lane(capacity=settings.most_followers)
        self._computations = self._threads.lane(capacity=settings.most_followers)
        self._computing = asyncio.Semaphore(_COMPUTATIONS_AT_ONCE)

    async def run(self, function: Callable[Concatenate[Connection, _P], _R], *args: _P.args, **kwargs: _P.kwargs) -> _R:
        """Calls `function` with a connection."""
        return await self._run_on(self._reads, function, *args, **kwargs)

    async def follow(
        self, function: Callable[Concatenate[Connection, _P], _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        """Calls `function` with a connection for a reader that follows; one commit wakes many of these at once."""
        return await self._run_on(self._follows, function, *args, **kwargs)

    async def compute(self, function: Callable[[], _R]) -> _R:
        """Calls `function`, which takes too long for the event loop, without a connection.

        Few run at once: one commit wakes many readers that compute, and other reads must not wait behind them.
        """
        async with self._computing:
            return await self._computations.run(function)

    @property
    def waiting(self) -> int:
        return self._reads.waiting + self._follows.waiting + self._computations.waiting

    def end(self) -> None:
        """Answers every waiting caller that the server stops. Call it on the callers' event loop."""
        self._follows.close()
        self._reads.close()
        self._computations.close()

    def close(self, *, deadline: float) -> bool:
        """Ends the threads; False when some still work at `deadline` (of the monotonic clock)."""
        return self._threads.close(deadline=deadline)

    async def _run_on(
        self, lane: Lane, function: Callable[Concatenate[Connection, _P], _R], *args: _P.args, **kwargs: _P.kwargs
    ) -> _R:
        def run() -> _R:
            self._fence.check()
            try:
                with self._engine.connect() as connection:
                    return function(connection, *args, **kwargs)
            except (DBAPIError, PoolTimeout) as error:
                if isinstance(error, DBAPIError):
                    self._watch.explain(error, writing=False)
                    if not isinstance(error, OperationalError):
                        raise
                _log.warning("The database did not answer a read: %s", error)
                raise Overloaded("The database did not answer. Try again.", retry_after=2) from error

        try:
            return await lane.run(run)
        except Overloaded:
            self._on_refused()
            raise

"""Threads for what would hold up the event loop: reading, and large batches that are made ready to be stored.

A lane is a bounded way onto them. Invariant: what waits is bounded in number and in time, a caller that has gone
costs the database nothing, and a thread that the database never answers does not keep the server from ending.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, TypeVar

from standpipe_server.store.errors import Overloaded, StoreClosed
from standpipe_server.store.replies import resolve

_Result = TypeVar("_Result")

LONGEST_WAIT_SECONDS = 10.0
"""A caller that has waited this long for a thread gets 503: the database answers too slowly for all of them."""


@dataclass(frozen=True, slots=True)
class _Task:
    function: Callable[[], Any]
    answer: asyncio.Future[Any]
    lane: Lane
    asked_at: float


class ReadThreads:
    """A fixed number of threads and one queue, which the lanes bound."""

    def __init__(self, count: int) -> None:
        self._tasks: queue.SimpleQueue[_Task | None] = queue.SimpleQueue()
        # Daemons, unlike an executor's: the interpreter would wait for a read that is never answered.
        self._threads = [
            threading.Thread(target=self._run, name=f"standpipe-read-{number}", daemon=True) for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    def lane(self, *, capacity: int) -> Lane:
        return Lane(self._tasks, capacity=capacity)

    def close(self, *, deadline: float) -> bool:
        """Ends the threads; False when some still work at `deadline` (of the monotonic clock)."""
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join(max(deadline - monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task.lane.started()
            if task.answer.done():
                continue
            if monotonic() - task.asked_at > LONGEST_WAIT_SECONDS:
                detail = f"The database answers slowly: this waited {LONGEST_WAIT_SECONDS:g} s for its turn."
                resolve([(task.answer, Overloaded(detail, retry_after=2))])
                continue
            try:
                result = task.function()
            except BaseException as error:  # it belongs to the waiting caller, and the thread must go on
                resolve([(task.answer, error)])
            else:
                resolve([(task.answer, result)])


class Lane:
    """At most `capacity` callers wait here for a thread; the next one is told to come again."""

    def __init__(self, tasks: queue.SimpleQueue[_Task | None], *, capacity: int) -> None:
        self._tasks = tasks
        self._capacity = capacity
        self._lock = threading.Lock()
        self._waiting = 0
        self._unanswered: set[asyncio.Future[Any]] = set()
        self._closed = False

    @property
    def waiting(self) -> int:
        return self._waiting

    async def run(self, function: Callable[[], _Result]) -> _Result:
        """Runs `function` on a thread.

        Raises:
            Overloaded: too many wait already, this waited too long, or the lane was closed.
        """
        if self._closed:
            raise StoreClosed
        with self._lock:
            # Counted until a thread takes it, also when the caller goes away: it stays in the queue until then.
            if self._waiting >= self._capacity:
                raise Overloaded(f"{self._capacity} reads wait for the database already. Try again.")
            self._waiting += 1
        answer: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._unanswered.add(answer)
        self._tasks.put(_Task(function, answer, self, monotonic()))
        try:
            return await answer
        finally:
            self._unanswered.discard(answer)

    def started(self) -> None:
        with self._lock:
            self._waiting -= 1

    def close(self) -> None:
        """Answers every caller that waits here that the server stops. Call it on their event loop."""
        self._closed = True
        for answer in self._unanswered:
            if not answer.done():
                answer.set_exception(StoreClosed())

"""The writer: one thread that owns a connection and drains whatever waits into one transaction.

A lone command is committed at once; a thousand callers share one fsync. No timer lingers. Invariant: a caller gets an
answer only after the commit that holds what the answer says.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

from sqlalchemy import Engine
from sqlalchemy.exc import DBAPIError

from standpipe_server.broker.state import InvocationState
from standpipe_server.store.append import Append
from standpipe_server.store.caches import Caches
from standpipe_server.store.commands import Command
from standpipe_server.store.errors import Overloaded, StoreClosed, StoreError
from standpipe_server.store.unit import UnitOfWork

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_GROUP_COMMANDS = 512
_GROUP_BYTES = 16 * 1024 * 1024
_DRAIN_SECONDS = 30.0
_Waiting = tuple[Command[Any], "Future[Any]"]


class Writer:
    """Runs commands on a thread of its own. `announce` is called on it inside the transaction, `on_commit` after it."""

    def __init__(
        self,
        engine: Engine,
        *,
        name: str,
        clock: Callable[[], int],
        caches: Caches,
        capacity: int,
        announce: Callable[[UnitOfWork], None],
        on_commit: Callable[[Sequence[InvocationState], Sequence[int]], None],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._caches = caches
        self._announce = announce
        self._on_commit = on_commit
        self._waiting: queue.Queue[_Waiting | None] = queue.Queue(maxsize=capacity)
        self._closing = False
        self._submitting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, command: Command[_Result]) -> Future[_Result]:
        """Queues a command.

        Raises:
            Overloaded: the queue is full, or the writer is closing.
        """
        answer: Future[_Result] = Future()
        with self._submitting:
            if self._closing:
                raise StoreClosed
            try:
                self._waiting.put_nowait((command, answer))
            except queue.Full:
                detail = f"{self._waiting.maxsize} requests wait to be stored already. Nothing of this one was stored."
                raise Overloaded(detail) from None
        return answer

    async def run(self, command: Command[_Result]) -> _Result:
        # Shielded: a caller that goes away does not take its command out of a transaction that is under way.
        return await asyncio.shield(asyncio.wrap_future(self.submit(command)))

    @property
    def depth(self) -> int:
        return self._waiting.qsize()

    def close(self) -> bool:
        """Stores what waits, then ends the thread; False when that took longer than half a minute."""
        with self._submitting:
            first = not self._closing
            self._closing = True
        if first:
            self._waiting.put(None)
        self._thread.join(_DRAIN_SECONDS)
        return not self._thread.is_alive()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            group, stopping = self._next_group()
            if group:
                self._store(group)

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        group: list[_Waiting] = []
        size = 0
        item = self._waiting.get()
        while item is not None:
            group.append(item)
            if isinstance(item[0], Append):
                size += len(item[0].encoded.body)
            if len(group) >= _GROUP_COMMANDS or size >= _GROUP_BYTES:
                return group, False
            try:
                item = self._waiting.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _store(self, group: Sequence[_Waiting]) -> None:
        try:
            self._commit(group)
        except Exception as error:  # any failure must reach the callers, never end the thread
            if len(group) == 1:
                if not isinstance(error, DBAPIError):
                    _log.exception("The command %s failed.", type(group[0][0]).__name__)
                else:
                    _log.warning("The database refused %s: %s", type(group[0][0]).__name__, error)
                group[0][1].set_exception(_told(error))
                return
            # One of them failed and the transaction is rolled back whole: each again by itself, so that only the
            # one at fault is refused.
            for waiting in group:
                self._store([waiting])

    def _commit(self, group: Sequence[_Waiting]) -> None:
        answers: list[tuple[Future[Any], Any]] = []
        with self._engine.connect() as connection, connection.begin():
            unit = UnitOfWork(connection, now=self._clock(), caches=self._caches)
            appends = [command for command, _ in group if isinstance(command, Append)]
            unit.load(
                [command.pk for command, _ in group if command.pk is not None],
                [(append.pk, append.producer_name) for append in appends],
            )
            for command, future in group:
                try:
                    answers.append((future, command.execute(unit)))
                except StoreError as refusal:
                    answers.append((future, refusal))
            unit.flush()
            self._announce(unit)
        self._on_commit(unit.committed(), unit.deleted)
        for future, answer in answers:
            if isinstance(answer, StoreError):
                future.set_exception(answer)
            else:
                future.set_result(answer)


def _told(error: Exception) -> Exception:
    if isinstance(error, DBAPIError):
        return Overloaded("The database did not take it; nothing was stored. Try again.", retry_after=2)
    return error

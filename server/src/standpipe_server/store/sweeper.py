"""The sweeper: ends invocations whose deadline has passed, and merges small segments of those that have ended.

A thread that sleeps until the next deadline. It only looks and submits commands; the rules decide again under the
lock, so that it does not matter how many servers sweep one database.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from standpipe_server.store import tables
from standpipe_server.store.commands import Command, EndDue
from standpipe_server.store.errors import Overloaded
from standpipe_server.store.merge import Merge

_log = logging.getLogger(__name__)
_LONGEST_SLEEP = 5.0
"""Another server may have set an earlier deadline in the meantime."""
_AT_A_TIME = 100


class Sweeper:
    def __init__(
        self, engine: Engine, *, clock: Callable[[], int], submit: Callable[[Command[None]], Future[None]]
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._submit = submit
        self._wake = threading.Event()
        self._stopping = False
        self._next_look = 0
        self._thread = threading.Thread(target=self._run, name="standpipe-sweeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def expect(self, due_at: int) -> None:
        """A deadline was set; wakes the sweeper if it would sleep past it."""
        if due_at < self._next_look:
            self._wake.set()

    def close(self) -> None:
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10)

    def _run(self) -> None:
        while not self._stopping:
            try:
                done = self._sweep()
                pause = self._pause() if done else _LONGEST_SLEEP
            except (SQLAlchemyError, Overloaded) as error:
                _log.warning("The sweeper could not look for deadlines and will try again: %s", error)
                pause = _LONGEST_SLEEP
            self._next_look = self._clock() + round(pause * 1_000_000)
            self._wake.wait(pause)
            self._wake.clear()

    def _sweep(self) -> bool:
        """Whether everything found was dealt with; what was not stays due, and is not tried again at once."""
        table = tables.invocation
        statement = (
            select(table.c.pk, table.c.status)
            .where(table.c.due_at <= self._clock())
            .order_by(table.c.due_at)
            .limit(_AT_A_TIME)
        )
        with self._engine.connect() as connection:
            found = connection.execute(statement).all()
        futures = [self._submit(Merge(row.pk) if row.status == "ended" else EndDue(row.pk)) for row in found]
        done, waiting = wait(futures, timeout=60)
        if waiting or any(future.exception() for future in done):
            return False
        if len(found) == _AT_A_TIME:
            self._wake.set()
        return True

    def _pause(self) -> float:
        with self._engine.connect() as connection:
            due_at = connection.scalar(select(func.min(tables.invocation.c.due_at)))
        if due_at is None:
            return _LONGEST_SLEEP
        return min(max((due_at - self._clock()) / 1_000_000, 0.005), _LONGEST_SLEEP)

"""Checks that the database is still the same one while nothing is written: for `/readyz`, and every few seconds."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic

from sqlalchemy import Connection, Engine, select
from sqlalchemy.exc import DBAPIError

from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from standpipe_server.store.transactions.writer import Command
from standpipe_server.store.watch import Fence, Watch

_AT_MOST_EVERY_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class RaiseEpoch:
    """Raises the epoch in a writer's transaction of its own."""

    watch: Watch
    pk: int | None = None

    def execute(self, unit: UnitOfWork) -> None:
        self.watch.raise_epoch(unit.connection)


class IdentityCheck:
    """`check` is for `/readyz`; `check_periodically`, for one thread, looks less often and raises an old epoch."""

    def __init__(
        self, engine: Engine, *, watch: Watch, fence: Fence, submit: Callable[[Command[None]], Future[None]]
    ) -> None:
        self._engine = engine
        self._watch = watch
        self._fence = fence
        self._submit = submit
        self._next = 0.0

    def check(self, connection: Connection) -> None:
        """Raises DatabaseLost, and what the driver raises."""
        connection.execute(select(1))
        self._watch.look(connection)

    def check_periodically(self) -> None:
        """Raises DatabaseLost, and what the driver raises."""
        self._fence.check()
        if monotonic() < self._next:
            return
        self._next = monotonic() + _AT_MOST_EVERY_SECONDS
        try:
            with self._engine.connect() as connection:
                self._watch.look(connection)
        except DBAPIError as error:
            self._watch.explain(error, writing=False)
            raise
        if self._watch.epoch_is_old:
            self._submit(RaiseEpoch(self._watch))

"""Forgiving: leases and other waits start anew when it was not the process that was silent.

That is so when the server was away, when words could not be stored (database gone, disk full, queue full), and when
somebody set the clock. Invariant: until everything is forgiven that has to be, nobody is judged (the sweeper asks).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass

from sqlalchemy import Engine, select

from standpipe_server.broker.lifecycle import leases as lifecycle
from standpipe_server.store.database import tables
from standpipe_server.store.errors import NotFound, Overloaded
from standpipe_server.store.transactions.command import Command
from standpipe_server.store.transactions.unit_of_work import UnitOfWork

_AT_A_TIME = 500
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Forgive:
    """Lets the lease of an invocation start anew; `all_waits`: everything else it waits for, too."""

    pk: int
    all_waits: bool

    def execute(self, unit: UnitOfWork) -> None:
        state = unit.invocation(self.pk)
        rule = lifecycle.restart_waiting if self.all_waits else lifecycle.forgive_lease
        forgiven = rule(state, now=unit.now)
        if forgiven is state:
            return
        if forgiven.open_within != state.open_within:
            unit.put_time_to_open(self.pk, forgiven.open_within)
        unit.put_invocation(forgiven)


class Forgiveness:
    """Remembers what there is to forgive, and forgives it. `owe` may be called from any thread, `pay` from one."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        # Nobody could beat while no server ran.
        self._owed = True
        self._all_waits = False

    def owe(self, *, all_waits: bool = False) -> None:
        """A word could not be stored; or, `all_waits`, the clock was set."""
        with self._lock:
            self._owed = True
            self._all_waits = self._all_waits or all_waits

    def is_owed(self) -> bool:
        """Whether there is something to forgive now."""
        return self._owed

    def pay(self, submit: Callable[[Command[None]], Future[None]]) -> bool:
        """Forgives what is owed; False when that could not be done and is still owed.

        Raises:
            SQLAlchemyError: the database did not answer; it is still owed.
        """
        with self._lock:
            if not self._owed:
                return True
            # Put down first: what is owed while this runs is owed again.
            all_waits, self._owed, self._all_waits = self._all_waits, False, False
        done = False
        try:
            done = self._forgive(submit, all_waits=all_waits)
        finally:
            if not done:
                self.owe(all_waits=all_waits)
        return done

    def _forgive(self, submit: Callable[[Command[None]], Future[None]], *, all_waits: bool) -> bool:
        after = 0
        while pks := self._waiting(after, all_waits=all_waits):
            try:
                futures = [submit(Forgive(pk, all_waits)) for pk in pks]
            except Overloaded:
                return False
            done, late = wait(futures, timeout=_PATIENCE_SECONDS)
            if late or any(not isinstance(future.exception(), (NotFound, type(None))) for future in done):
                return False
            after = pks[-1]
        return True

    def _waiting(self, after: int, *, all_waits: bool) -> Sequence[int]:
        table = tables.invocation
        statement = select(table.c.pk).where(table.c.pk > after, table.c.status != "ended")
        if not all_waits:
            statement = statement.where(table.c.lease_expires_at.is_not(None))
        with self._engine.connect() as connection:
            return connection.scalars(statement.order_by(table.c.pk).limit(_AT_A_TIME)).all()

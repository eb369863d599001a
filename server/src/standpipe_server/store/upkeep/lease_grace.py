"""Lease grace: leases and other waits restart after a time in which the server could not record activity.

Such a time is one in which no server ran, in which activity could not be stored (database gone, disk full, queue full),
or after which the clock was set. Invariant: while grace is pending, no invocation is ended (the sweeper asks).
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
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from standpipe_server.store.transactions.writer import Command

_AT_A_TIME = 500
_PATIENCE_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class RestartLease:
    """Lets the lease of an invocation start anew; `all_waits`: everything else it waits for, too."""

    pk: int
    all_waits: bool

    def execute(self, unit: UnitOfWork) -> None:
        state = unit.invocation(self.pk)
        rule = lifecycle.restart_waits if self.all_waits else lifecycle.restart_lease
        restarted = rule(state, now=unit.now)
        if restarted is state:
            return
        if restarted.open_within != state.open_within:
            unit.put_time_to_open(self.pk, restarted.open_within)
        unit.put_invocation(restarted)


class LeaseGrace:
    """Restarts leases. Any thread may grant grace, one thread consumes it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        # No heartbeat could arrive while no server ran.
        self._pending = True
        self._all_waits = False

    def grant(self, *, all_waits: bool = False) -> None:
        """Activity could not be stored; or, `all_waits`, the clock was set."""
        with self._lock:
            self._pending = True
            self._all_waits = self._all_waits or all_waits

    def is_pending(self) -> bool:
        """Whether leases are to be restarted."""
        return self._pending

    def consume(self, submit: Callable[[Command[None]], Future[None]]) -> bool:
        """Restarts the leases; False when that could not be done, and the grace is still pending.

        Raises:
            SQLAlchemyError: the database did not answer; the grace is still pending.
        """
        with self._lock:
            if not self._pending:
                return True
            # Taken first: grace that is granted while this runs is for the next call.
            all_waits, self._pending, self._all_waits = self._all_waits, False, False
        done = False
        try:
            done = self._restart(submit, all_waits=all_waits)
        finally:
            if not done:
                self.grant(all_waits=all_waits)
        return done

    def _restart(self, submit: Callable[[Command[None]], Future[None]], *, all_waits: bool) -> bool:
        after = 0
        while pks := self._waiting(after, all_waits=all_waits):
            try:
                futures = [submit(RestartLease(pk, all_waits)) for pk in pks]
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

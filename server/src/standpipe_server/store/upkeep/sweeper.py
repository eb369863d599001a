"""The sweeper: ends invocations whose deadline has passed, and merges small segments of those that have ended.

A thread that sleeps until the next deadline. It only looks and submits commands; the rules decide again under the
lock, so that it does not matter how many servers sweep one database. Nothing but `close` ends the thread.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from itertools import islice
from time import monotonic

from sqlalchemy import Engine, func, select
from sqlalchemy.exc import SQLAlchemyError

from standpipe_server.broker.values.state import InvocationState
from standpipe_server.store.commands.lifecycle import EndDue, RenewLease, is_from_the_work
from standpipe_server.store.commands.merge_segments import Merge
from standpipe_server.store.database import tables
from standpipe_server.store.errors import Overloaded
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from standpipe_server.store.transactions.writer import Command
from standpipe_server.store.upkeep.activity import TICK_SECONDS, ActivityMonitor
from standpipe_server.store.upkeep.lease_grace import LeaseGrace
from standpipe_server.store.upkeep.watched_clock import WatchedClock

_log = logging.getLogger(__name__)
_AT_A_TIME = 100
_MOST_UNDER_WAY = 1_000


class Sweeper:
    def __init__(
        self,
        engine: Engine,
        *,
        clock: WatchedClock,
        submit: Callable[[Command[None]], Future[None]],
        grace: LeaseGrace,
        look: Callable[[], None],
        longest_sleep: float,
        activity: ActivityMonitor | None = None,
    ) -> None:
        """`look` raises DatabaseLost when the database is not the same any more.

        `longest_sleep`, in seconds, bounds the time in which a deadline that another server has set is not seen.
        `hearing` says how far silence counts; without it all silence does.
        """
        self._engine = engine
        self._clock = clock
        self._submit = submit
        self._grace = grace
        self._look = look
        self._longest_sleep = longest_sleep
        self._activity = activity
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

    def wake(self) -> None:
        """There may be something to do now."""
        self._wake.set()

    def close(self, *, deadline: float | None = None) -> None:
        """Ends the thread and waits for it, until `deadline` of the monotonic clock or ten seconds."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(10 if deadline is None else max(deadline - monotonic(), 0.0))

    def _run(self) -> None:
        failures = 0
        while not self._stopping:
            try:
                pause = self._turn()
                failures = 0
            except Exception as error:  # if this thread ended, no deadline would ever be kept again
                # Activity could not be recorded either, while the database was away.
                self._grace.grant()
                pause = min(2.0**failures, self._longest_sleep)
                failures += 1
                if isinstance(error, (SQLAlchemyError, Overloaded)):
                    _log.warning("The sweeper could not look for deadlines and will try again: %s", error)
                else:
                    _log.exception("The sweeper failed and will try again.")
            self._wake.wait(pause)
            self._wake.clear()

    def _turn(self) -> float:
        """Restarts leases where grace is pending, then ends what is due; answers how long to sleep."""
        self._look()
        clock = self._clock.look()
        if clock.jump:
            _log.warning("The clock was set by %+.1f s; waits and leases start anew.", clock.jump / 1_000_000)
            self._grace.grant(all_waits=True)
        # First: silence counts only as far as the server has listened, and grace for the rest is granted by then.
        through = clock.now if self._activity is None else self._activity.through(clock.now)
        done = self._grace.consume(self._submit) and self._renew(clock.now) and self._sweep(through)
        pause = self._pause(through) if done else self._longest_sleep
        self._next_look = clock.now + round(pause * 1_000_000)
        return pause

    def _sweep(self, now: int) -> bool:
        """Whether everything found was dealt with; what was not stays due, and is not tried again at once."""
        table = tables.invocation
        statement = (
            select(table.c.pk, table.c.status, (table.c.due_at == table.c.lease_expires_at).label("by_lease"))
            .where(table.c.due_at <= now)
            .order_by(table.c.due_at)
        )
        # Those that may be in doubt stay due; the others must not wait behind them.
        under_way = (
            set(islice(self._activity.under_way(), _MOST_UNDER_WAY)) if self._activity is not None else set[int]()
        )
        with self._engine.connect() as connection:
            rows = connection.execute(statement.limit(_AT_A_TIME + len(under_way))).all()
        settled = [row for row in rows if not (row.by_lease and row.pk in under_way)][:_AT_A_TIME]
        doubtful = [row for row in rows if row.by_lease and row.pk in under_way][:_AT_A_TIME]
        futures = [
            self._submit(Merge(row.pk) if row.status == "ended" else EndDue(row.pk, now, self._is_in_doubt))
            for row in (*settled, *doubtful)
        ]
        done, waiting = wait(futures, timeout=60)
        if waiting or any(future.exception() for future in done):
            return False
        if len(settled) == _AT_A_TIME:
            self._wake.set()
        return True

    def _renew(self, now: int) -> bool:
        """Renews leases in the database for requests that take long, so that no other server ends them either."""
        pks = [] if self._activity is None else list(islice(self._activity.slow(), _MOST_UNDER_WAY))
        if not pks:
            return True
        table = tables.invocation
        left = table.c.lease_expires_at - now
        statement = select(table.c.pk).where(
            table.c.pk.in_(pks), table.c.status != "ended", left <= table.c.lease_seconds * (1_000_000 * 2 / 3)
        )
        with self._engine.connect() as connection:
            worn = connection.scalars(statement).all()
        done, waiting = wait([self._submit(RenewLease(pk, self._is_active)) for pk in worn], timeout=60)
        return not waiting and not any(future.exception() for future in done)

    def _is_in_doubt(self, unit: UnitOfWork, state: InvocationState) -> bool:
        return self._grace.is_pending() or self._is_active(unit, state)

    def _is_active(self, unit: UnitOfWork, state: InvocationState) -> bool:
        """Whether a request of the invocation's process is under way."""
        if self._activity is None:
            return False
        active_producers = self._activity.active_producers(state.pk, lease_seconds=state.lease_seconds)
        return any(is_from_the_work(unit, state, name) for name in active_producers)

    def _pause(self, now: int) -> float:
        with self._engine.connect() as connection:
            due_at = connection.scalar(select(func.min(tables.invocation.c.due_at)))
        if due_at is None:
            return self._longest_sleep
        # Where ticks are listened for, nothing new is known before the next one.
        shortest = 0.005 if self._activity is None or not self._activity.ticks else TICK_SECONDS
        return min(max((due_at - now) / 1_000_000, shortest), self._longest_sleep)

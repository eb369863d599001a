"""The store: writers, readers and upkeep of one database, opened and closed together.

It has no reads or writes of its own: callers run functions on `reads` and commands on `writes`. None of them holds a
connection while it waits for anything but the database. Invariant: what `writes` answers is committed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic as steady
from typing import Any

from standpipe_server.store.commands.stored_digests import Appends
from standpipe_server.store.commands.take_numbers import NumberTaker
from standpipe_server.store.database import engines
from standpipe_server.store.database.engines import StoreSettings
from standpipe_server.store.database.schema_upgrade import upgrade_database
from standpipe_server.store.events.recent_events import RecentEvents
from standpipe_server.store.reads.following import EventReads
from standpipe_server.store.reads.lookups import Callers
from standpipe_server.store.reads.runner import Reads
from standpipe_server.store.transactions.caches import Caches
from standpipe_server.store.transactions.checkpointer import Checkpointer
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from standpipe_server.store.transactions.writer import Writer, Writes
from standpipe_server.store.upkeep.activity import ActivityMonitor
from standpipe_server.store.upkeep.identity_check import IdentityCheck
from standpipe_server.store.upkeep.lease_grace import LeaseGrace
from standpipe_server.store.upkeep.sweeper import Sweeper
from standpipe_server.store.upkeep.watched_clock import WatchedClock
from standpipe_server.store.wakes import Wake
from standpipe_server.store.watch import Fence, open_watch

_CLOSE_SECONDS = 10.0


class Store:
    """`close` closes it. `on_commit` is called on a writer's thread after each commit."""

    def __init__(
        self, settings: StoreSettings, *, clock: Callable[[], int], monotonic: Callable[[], int] | None = None
    ) -> None:
        """Connects, upgrades the schema if asked to, and starts the threads.

        `clock` gives instants; an administrator may set it, and `monotonic` (both in microseconds) shows when.
        Without `monotonic`, `clock` counts as one that is never set.

        Raises:
            MigrationNeeded: the schema is not this version's.
            UnusableDatabase: the URL names nothing that can be opened.
        """
        url = engines.database_url(settings.database_url)
        self.is_postgresql = url.get_backend_name() == "postgresql"
        writers = settings.writers if self.is_postgresql else 1
        self._write_engine = engines.open_engine(
            url, synchronous=settings.synchronous, connections=writers + 1, writes=True
        )
        self.fence = Fence()
        try:
            engines.require_unicode(self._write_engine)
            upgrade_database(self._write_engine, migrate=settings.migrate)
            self._watch = open_watch(self._write_engine, fence=self.fence, writers=writers)
        except BaseException:
            self._write_engine.dispose()
            raise
        self._read_engine = engines.open_engine(
            url, synchronous=settings.synchronous, connections=settings.read_threads + 1, writes=False
        )
        for engine in (self._write_engine, self._read_engine):
            self._watch.attach(engine)
        self.on_commit: Callable[[Sequence[Wake]], None] = lambda wakes: None
        self.is_followed: Callable[[int], bool] = lambda pk: True
        """Whether a reader may wait for an invocation's next event; only then memory holds it for that reader."""
        self._recent = RecentEvents(alone=not self.is_postgresql)
        self._checkpointer = None
        if not self.is_postgresql:
            self._checkpointer = Checkpointer(Path(str(url.database)), may_write_back=self._watch.may_write_back)
        grace = LeaseGrace(self._read_engine)
        self.activity = ActivityMonitor(clock=clock, monotonic=monotonic or clock, on_stall=grace.grant)
        self.reads = Reads(self._read_engine, settings, watch=self._watch, fence=self.fence, on_refused=grace.grant)
        caches = Caches()
        self.writes = Writes(
            [
                Writer(
                    self._write_engine,
                    number=number,
                    clock=clock,
                    caches=caches,
                    capacity=settings.queue_size,
                    watch=self._watch,
                    fence=self.fence,
                    on_commit=self._committed,
                    on_refused=grace.grant,
                    between=None if self._checkpointer is None else self._checkpointer.checkpoint_rest,
                )
                for number in range(writers)
            ]
        )
        self.appends = Appends(self.reads, self.writes)
        self.events = EventReads(self.reads, self._recent)
        self.numbers = NumberTaker(self.reads, self.writes)
        self.callers = Callers(self.reads)
        self.identity = IdentityCheck(self._read_engine, watch=self._watch, fence=self.fence, submit=self.writes.submit)
        self._sweeper = Sweeper(
            self._read_engine,
            clock=WatchedClock(clock, monotonic or clock),
            submit=self.writes.submit,
            grace=grace,
            look=self.identity.check_periodically,
            longest_sleep=settings.sweep_seconds,
            activity=self.activity,
        )
        self.activity.on_slow = self._sweeper.wake
        self._sweeper.start()

    def close(self, *, seconds: float = _CLOSE_SECONDS) -> bool:
        """Stores what waits and ends the threads; False when something could not be stored in time."""
        deadline = steady() + seconds
        self.writes.close()
        self._sweeper.close(deadline=deadline)
        drained = self.writes.join(deadline=deadline)
        ended = self.reads.close(deadline=deadline)
        # Otherwise the disk or the database hangs, and any further call would hang too; or the file at the path is
        # another one.
        if drained and ended and self._watch.close():
            if self._checkpointer is not None:
                self._checkpointer.close()
            self._read_engine.dispose()
            self._write_engine.dispose()
            self._watch.release()
        return drained

    def statistics(self) -> dict[str, int]:
        """What waits to be written or read, and how many read connections are in use."""
        pool: Any = self._read_engine.pool
        return {
            "queued": self.writes.waiting,
            "queued_reads": self.reads.waiting,
            "read_connections": pool.checkedout(),
        }

    def _committed(self, unit: UnitOfWork) -> None:
        if self._checkpointer is not None:
            self._checkpointer.written()
        states = unit.committed()
        # Before any reader is woken for it.
        followed = [(pk, segment) for pk, segment in unit.segments if self.is_followed(pk)]
        self._recent.committed(followed, states, unit.deleted)
        if unit.deadlines:
            self._sweeper.expect(min(unit.deadlines))
        self.on_commit(unit.wakes())

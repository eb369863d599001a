"""The store: the service's memory. Writes go through writer threads, reads run on threads of their own.

Every method is a short transaction; none holds a connection while it waits for anything but the database. Invariant:
what a write method answers is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from time import monotonic as steady
from typing import Any, TypeVar

from standpipe_protocol.invocation import Control
from standpipe_server.broker.lifecycle.refusals import Refusal
from standpipe_server.broker.lifecycle.requests import Heartbeat, Registration
from standpipe_server.broker.outcome.ledgers import Digests
from standpipe_server.broker.values.state import Finish
from standpipe_server.store.commands import lifecycle as commands
from standpipe_server.store.commands.append import Append, AppendOutcome, AppendRequest
from standpipe_server.store.commands.launch import LauncherCalls
from standpipe_server.store.commands.refuse import Refuse
from standpipe_server.store.commands.stored_digests import append_with_digests, digest_stored
from standpipe_server.store.database import engines, tables
from standpipe_server.store.database.recently_used import RecentlyUsed
from standpipe_server.store.database.schema_upgrade import upgrade_database
from standpipe_server.store.database.settings import StoreSettings
from standpipe_server.store.events import event_pages as events
from standpipe_server.store.events.event_match import EventMatch
from standpipe_server.store.events.recent_events import RecentEvents
from standpipe_server.store.reads import lookups
from standpipe_server.store.reads.assets import reports as assets
from standpipe_server.store.reads.assets.browsing import Browsing
from standpipe_server.store.reads.cursors import Page
from standpipe_server.store.reads.invocations import first_errors
from standpipe_server.store.reads.invocations import views as invocations
from standpipe_server.store.reads.invocations.filters import InvocationFilter
from standpipe_server.store.reads.lookups import ContextAnswer, Target
from standpipe_server.store.reads.runner import Reading
from standpipe_server.store.transactions.caches import Caches
from standpipe_server.store.transactions.checkpointer import Checkpointer
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from standpipe_server.store.transactions.wakes import Wake
from standpipe_server.store.transactions.writer import Writer
from standpipe_server.store.upkeep.activity import Hearing
from standpipe_server.store.upkeep.identity_check import Looking
from standpipe_server.store.upkeep.lease_grace import Forgiveness
from standpipe_server.store.upkeep.sweeper import Sweeper
from standpipe_server.store.upkeep.watched_clock import WatchedClock
from standpipe_server.store.watch import Fence, open_watch

_R = TypeVar("_R")

ENCODE_ON_A_THREAD_FROM = 64 * 1024
_CLOSE_SECONDS = 10.0
_PAGE_BYTES = 8 * 1024 * 1024
_DIGESTS_AT_ONCE = 2
"""How many read at once what a producer has stored; other reads must not wait for many that close together."""


class Store:
    """Opened by `Store.open`, closed by `close`; `on_commit` is called on a writer's thread after each commit."""

    def __init__(
        self, settings: StoreSettings, *, clock: Callable[[], int], monotonic: Callable[[], int] | None = None
    ) -> None:
        url = engines.database_url(settings.database_url)
        self.is_postgresql = url.get_backend_name() == "postgresql"
        writers = settings.writers if self.is_postgresql else 1
        self._clock = clock
        self._write_engine = engines.open_engine(
            url, synchronous=settings.synchronous, connections=writers + 1, writes=True
        )
        self._fence = Fence()
        try:
            engines.require_unicode(self._write_engine)
            upgrade_database(self._write_engine, migrate=settings.migrate)
            self._watch = open_watch(self._write_engine, fence=self._fence, writers=writers)
        except BaseException:
            self._write_engine.dispose()
            raise
        self._read_engine = engines.open_engine(
            url, synchronous=settings.synchronous, connections=settings.read_threads + 1, writes=False
        )
        for engine in (self._write_engine, self._read_engine):
            self._watch.attach(engine)
        # A word that was not heard must not be missed.
        self._forgiveness = Forgiveness(self._read_engine, submit=self._submit)
        self.hearing = Hearing(clock=clock, monotonic=monotonic or clock, on_deaf=self._forgiveness.owe)
        self._reading = Reading(
            self._read_engine, settings, watch=self._watch, fence=self._fence, on_unheard=self._forgiveness.owe
        )
        self._read = self._reading.read
        self._looking = Looking(self._read_engine, watch=self._watch, fence=self._fence, submit=self._submit)
        self._digesting = asyncio.Semaphore(_DIGESTS_AT_ONCE)
        self._caches = Caches()
        self._recent = RecentEvents(alone=not self.is_postgresql)
        self._names: events.ProducerNames = RecentlyUsed(10_000)
        self.browse = Browsing(self._read, write=self._write, names=self._names)
        self.launcher = LauncherCalls(self._write)
        self._targets: RecentlyUsed[bytes, Target] = RecentlyUsed(10_000)
        self._checkpointer = None
        if not self.is_postgresql:
            self._checkpointer = Checkpointer(Path(str(url.database)), may_write_back=self._watch.may_write_back)
        self.on_commit: Callable[[Sequence[Wake]], None] = lambda wakes: None
        self.is_followed: Callable[[int], bool] = lambda pk: True
        """Whether somebody may wait for an invocation's next event; only then it is kept in memory for him."""
        self._writers = [
            Writer(
                self._write_engine,
                number=number,
                clock=clock,
                caches=self._caches,
                capacity=settings.queue_size,
                watch=self._watch,
                fence=self._fence,
                on_commit=self._committed,
                on_unheard=self._forgiveness.owe,
                between=None if self._checkpointer is None else self._checkpointer.take_rest,
            )
            for number in range(writers)
        ]
        self._sweeper = Sweeper(
            self._read_engine,
            clock=WatchedClock(clock, monotonic or clock),
            submit=self._submit,
            forgiveness=self._forgiveness,
            look=self._looking.turn,
            longest_sleep=settings.sweep_seconds,
            hearing=self.hearing,
        )
        self.hearing.on_slow = self._sweeper.wake
        self._sweeper.start()

    @classmethod
    def open(
        cls, settings: StoreSettings, *, clock: Callable[[], int], monotonic: Callable[[], int] | None = None
    ) -> Store:
        """Connects, upgrades the schema if asked to, and starts the threads.

        `clock` gives instants and may be set by somebody; `monotonic` (both in microseconds) tells when it was.
        Without that, `clock` counts as one that is never set.

        Raises:
            MigrationNeeded: the schema is not this version's.
            UnusableDatabase: the URL names nothing that can be opened.
        """
        return cls(settings, clock=clock, monotonic=monotonic)

    def end_reads(self) -> None:
        """Tells everybody who still waits for a read that the server stops. On the event loop that they wait on."""
        self._reading.end()

    def close(self, *, seconds: float = _CLOSE_SECONDS) -> bool:
        """Stores what waits and ends the threads; False when something could not be stored in time."""
        deadline = steady() + seconds
        for writer in self._writers:
            writer.close()
        self._sweeper.close(deadline=deadline)
        drained = all(writer.join(deadline=deadline) for writer in self._writers)
        ended = self._reading.close(deadline=deadline)
        # Otherwise the disk or the database hangs, and whoever asks it for anything more hangs with it; or what is in
        # the file is none of ours any more.
        if drained and ended and self._watch.close():
            if self._checkpointer is not None:
                self._checkpointer.close()
            self._read_engine.dispose()
            self._write_engine.dispose()
            self._watch.release()
        return drained

    @property
    def is_lost(self) -> bool:
        """Whether the database is not the one any more into which this store has committed."""
        return self._fence.is_down

    def when_lost(self, call: Callable[[], None]) -> None:
        """`call` is called once when that is noticed, on any thread."""
        self._fence.on_down = call

    # Writing

    async def register(
        self, registration: Registration, *, idempotency_key: str | None, request_digest: bytes
    ) -> tuple[commands.Registered, invocations.InvocationView]:
        """Registers an invocation, or finds it again by its key, with a token that works."""
        registered = await self._write(commands.Register(registration, idempotency_key, request_digest))
        return registered, await self.read_invocation(registered.id)

    async def append(self, request: AppendRequest) -> AppendOutcome:
        if len(request.body) < ENCODE_ON_A_THREAD_FROM:
            command = request.command()
        else:
            command = await self._reading.run(request.command)
        outcome = await self._writer_of(command).run(command)
        return outcome if isinstance(outcome, AppendOutcome) else await self._append_with_digests(command)

    async def _append_with_digests(self, command: Append) -> AppendOutcome:
        """Appends a `closed` whose ledger tells a SHA-256: that of what is stored has to be taken first."""

        async def take() -> Digests:
            async with self._digesting:
                return await self._read(digest_stored, command)

        return await append_with_digests(command, take=take, run=self._writer_of(command).run)

    async def refuse(self, target: Target, refusal: Refusal) -> None:
        """Keeps that a request without numbers was refused. Raises NotFound, and Overloaded: then nothing is kept."""
        await self._write(Refuse(target.pk, refusal))

    async def heartbeat(self, target: Target, heartbeat: Heartbeat) -> commands.Beaten:
        return await self._write(commands.Beat(target.pk, heartbeat, start=True))

    async def request_cancel(self, invocation_id: str, *, reason: str | None = None) -> invocations.InvocationView:
        await self._write(commands.RequestCancel((await self.find(invocation_id)).pk, reason))
        return await self.read_invocation(invocation_id)

    async def finish(self, invocation_id: str, finish: Finish) -> invocations.InvocationView:
        await self.launcher.finish((await self.find(invocation_id)).pk, finish)
        return await self.read_invocation(invocation_id)

    async def pin(self, invocation_id: str, *, pinned: bool, reason: str | None = None) -> invocations.InvocationView:
        await self._write(commands.Pin((await self.find(invocation_id)).pk, pinned, reason))
        return await self.read_invocation(invocation_id)

    async def delete(self, invocation_id: str, *, force: bool) -> None:
        await self._write(commands.Delete((await self.find(invocation_id)).pk, force))

    # Reading

    def known_caller(self, token_digest: bytes) -> Target | None:
        """The same as `authenticate` for a token that was seen lately; None is no answer."""
        return self._targets.get(token_digest)

    async def authenticate(self, token_digest: bytes) -> Target | None:
        """The invocation that a token (by `broker.ids.token_digest`) is good for; None for an unknown one."""
        known = self._targets.get(token_digest)
        if known is None:
            known = await self._read(lookups.find_by_token, token_digest)
            if known is not None:
                self._targets.put(token_digest, known)
        return known

    async def find(self, invocation_id: str) -> Target:
        """Raises NotFound."""
        return await self._read(lookups.find, invocation_id)

    async def read_context(self, target: Target, *, by_token: bool) -> ContextAnswer:
        """The context for the external process; asking for it with its token is a word that renews a running lease."""
        answer = await self._read(lookups.read_context, target, by_token=by_token)
        if answer.lease_expires_at is None or not by_token:
            return answer
        beaten = await self._write(commands.Beat(target.pk, Heartbeat(), start=False))
        return ContextAnswer(
            context_json=answer.context_json,
            lease_seconds=beaten.lease_seconds,
            lease_expires_at=beaten.lease_expires_at,
            control=beaten.control,
        )

    async def read_control(self, target: Target) -> Control:
        """What the external process is to hear. Raises NotFound."""
        return await self._read(lookups.read_control, target)

    async def read_invocation(self, invocation_id: str, *, mask: bool = False) -> invocations.InvocationView:
        return await self._read(invocations.read_invocation, invocation_id, mask=mask)

    async def list_invocations(
        self, filters: InvocationFilter, *, limit: int, cursor: str | None, usual: bool = False, mask: bool = False
    ) -> invocations.InvocationPage:
        return await self._read(
            invocations.list_invocations, filters, limit=limit, cursor=cursor, usual=usual, mask=mask
        )

    async def read_history(self, invocation_id: str, *, mask: bool = False) -> list[dict[str, Any]]:
        return await self._read(invocations.read_history, invocation_id, mask=mask)

    async def read_events(
        self,
        pk: int,
        *,
        after: int,
        limit: int,
        methods: frozenset[str] | None = None,
        match: EventMatch | None = None,
        max_bytes: int = 4 * 1024 * 1024,
        following: bool = False,
    ) -> events.EventPage:
        """`following`: the caller reads on until it was told the latest, and waits for wake-ups then."""
        if following and match is None:
            recent = self._recent.read(pk, after=after, limit=limit, methods=methods, max_bytes=max_bytes)
            if recent is not None:
                return recent
        read = partial(
            events.read_event_page,
            after=after,
            limit=limit,
            methods=methods,
            match=match,
            max_bytes=max_bytes,
            names=self._names,
        )
        return await (self._reading.follow if following else self._reading.read)(read, pk)

    async def read_events_before(
        self, pk: int, *, before: int | None, limit: int, methods: frozenset[str] | None, match: EventMatch | None
    ) -> events.EventPage:
        """The last events before a position, or before the end."""
        read = events.read_event_page_before
        bounds: Any = {"limit": limit, "methods": methods, "match": match, "max_bytes": _PAGE_BYTES}
        return await self._read(read, pk, before=before, names=self._names, **bounds)

    async def list_assets(self, *, limit: int, cursor: str | None, text: str | None = None) -> Page:
        return await self._read(assets.list_assets, limit=limit, cursor=cursor, text=text, names=self._names)

    async def read_asset(self, asset_key: str) -> bytes:
        await self.browse.take_numbers(asset_key)
        return await self._read(assets.read_asset, asset_key, names=self._names)

    async def list_materializations(
        self, asset_key: str, filters: assets.ReportFilter, *, limit: int, cursor: str | None
    ) -> Page:
        return await self._list_reports(tables.materialization, asset_key, filters, limit=limit, cursor=cursor)

    async def list_observations(
        self, asset_key: str, filters: assets.ReportFilter, *, limit: int, cursor: str | None
    ) -> Page:
        return await self._list_reports(tables.observation, asset_key, filters, limit=limit, cursor=cursor)

    async def list_checks(
        self, asset_key: str, filters: assets.ReportFilter, *, limit: int, cursor: str | None
    ) -> Page:
        return await self._list_reports(tables.asset_check, asset_key, filters, limit=limit, cursor=cursor)

    async def list_errors(self, filters: first_errors.ErrorFilter, *, limit: int, cursor: str | None) -> Page:
        return await self._read(first_errors.list_errors, filters, limit=limit, cursor=cursor)

    async def ping(self) -> None:
        """Asks the database, and whether it is the same; raises what the driver raises, and DatabaseLost."""
        await self._read(self._looking.now)

    async def count_by_status(self) -> dict[str, int]:
        """How many invocations are registered and running; ended ones are not counted (there may be millions)."""
        return await self._read(lookups.count_by_status)

    def statistics(self) -> dict[str, int]:
        """What waits to be written or read, and how many read connections are in use."""
        pool: Any = self._read_engine.pool
        return {
            "queued": sum(writer.depth for writer in self._writers),
            "queued_reads": self._reading.waiting,
            "read_connections": pool.checkedout(),
        }

    # Machinery

    async def _list_reports(self, table: Any, asset_key: str, filters: Any, *, limit: int, cursor: str | None) -> Page:
        return await self._read(
            assets.list_reports, table, asset_key, filters, limit=limit, cursor=cursor, names=self._names
        )

    async def _write(self, command: commands.Command[_R]) -> _R:
        return await self._writer_of(command).run(command)

    def _submit(self, command: commands.Command[None]) -> Future[None]:
        return self._writer_of(command).submit(command)

    def _writer_of(self, command: commands.Command[Any]) -> Writer:
        # One invocation, one writer: its callers share commits and never wait for each other's row lock.
        return self._writers[(command.pk or 0) % len(self._writers)]

    def _committed(self, unit: UnitOfWork) -> None:
        if self._checkpointer is not None:
            self._checkpointer.written()
        states = unit.committed()
        # Before anybody is woken for it.
        followed = [(pk, segment) for pk, segment in unit.segments if self.is_followed(pk)]
        self._recent.committed(followed, states, unit.deleted)
        if unit.deadlines:
            self._sweeper.expect(min(unit.deadlines))
        wakes = [Wake(state.pk, state.last_position, state.ended) for state in states]
        self.on_commit([*wakes, *(Wake(pk, 0, ended=True) for pk in unit.deleted)])

"""The writer: one thread that owns a connection and takes all waiting commands into one transaction.

A lone command is committed at once; a thousand callers share one fsync. No timer lingers. Invariant: a caller gets an
answer only after the commit that holds what the answer says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import queue
import threading
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future
from time import monotonic
from typing import Any, Protocol, TypeAlias, TypeVar

import msgspec
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, ProgrammingError

from standpipe_server.broker.values.ids import ANONYMOUS_PRODUCER
from standpipe_server.store.errors import DatabaseLost, Overloaded, StoreClosed, StoreError
from standpipe_server.store.events.segments import EncodedBody
from standpipe_server.store.replies import Answer, Reply, resolve
from standpipe_server.store.transactions.caches import Caches, LiveStates
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from standpipe_server.store.watch import Fence, Watch

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)
_OF_THE_COMMAND = (DataError, IntegrityError, ProgrammingError)
"""What says something of a command and nothing of the database."""
_GROUP_COMMANDS = 512
_GROUP_BYTES = 16 * 1024 * 1024


class Command(Protocol[_Result_co]):
    """`pk` is the invocation it is about (None: none yet); it decides which writer runs it and what is locked first."""

    @property
    def pk(self) -> int | None: ...

    def execute(self, unit: UnitOfWork) -> _Result_co: ...


class BatchCommand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part of an append that its writer needs: the producer to load, and the bytes that count for the group."""

    pk: int
    encoded: EncodedBody
    producer: str | None = None

    @property
    def producer_name(self) -> str:
        return self.producer or ANONYMOUS_PRODUCER

    @property
    def producer_key(self) -> tuple[int, str]:
        return self.pk, self.producer_name


_Waiting: TypeAlias = tuple[Command[Any], Reply]


class Writer:
    """Runs commands on a thread of its own; `on_commit` is called on it after each transaction.

    `on_refused` is called, on any thread, when a command could not be stored.
    `between` is called between two transactions with the connection that is kept on SQLite.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        number: int,
        clock: Callable[[], int],
        caches: Caches,
        capacity: int,
        watch: Watch,
        fence: Fence,
        on_commit: Callable[[UnitOfWork], None],
        on_refused: Callable[[], None],
        between: Callable[[Connection], None] | None = None,
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._caches = caches
        self._number = number
        self._watch = watch
        self._fence = fence
        self._on_commit = on_commit
        self._on_refused = on_refused
        self._between = between
        self._capacity = capacity
        # Bounded by hand: the bounded one takes and wakes in Python, which a lone caller waits for.
        self._queued: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._sqlite_connection: Connection | None = None
        self._live = LiveStates() if engine.dialect.name == "sqlite" else None
        self._closing = False
        self._submitting = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"standpipe-writer-{number}", daemon=True)
        self._thread.start()

    def submit(self, command: Command[_Result]) -> Future[_Result]:
        """Queues a command.

        Raises:
            Overloaded: the queue is full, or the writer is closing.
        """
        answer: Future[_Result] = Future()
        self._enqueue(command, answer)
        return answer

    async def run(self, command: Command[_Result]) -> _Result:
        """Queues a command and waits for its answer; raises as `submit` does."""
        answer: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()
        self._enqueue(command, answer)
        # A caller that goes away does not take its command out of a transaction that is under way.
        return await answer

    def _enqueue(self, command: Command[Any], answer: Reply) -> None:
        with self._submitting:
            if self._closing:
                raise StoreClosed
            if self._queued.qsize() >= self._capacity:
                self._on_refused()
                detail = f"{self._capacity} requests wait to be stored already. Nothing of this one was stored."
                raise Overloaded(detail)
            self._queued.put((command, answer))

    @property
    def waiting(self) -> int:
        return self._queued.qsize()

    def close(self) -> None:
        """Takes nothing more; what waits is stored, then the thread ends."""
        with self._submitting:
            first = not self._closing
            self._closing = True
        if first:
            self._queued.put(None)

    def join(self, *, deadline: float) -> bool:
        """Waits for the end after `close`; False when it does not come by `deadline` (of the monotonic clock)."""
        self._thread.join(max(deadline - monotonic(), 0.0))
        return not self._thread.is_alive()

    def _run(self) -> None:
        stopping = False
        while not stopping:
            group, stopping = self._next_group()
            if group:
                self._store(group)
                if self._sqlite_connection is not None and self._between is not None:
                    self._between(self._sqlite_connection)
        if self._sqlite_connection is not None:
            self._sqlite_connection.close()

    def _next_group(self) -> tuple[list[_Waiting], bool]:
        group: list[_Waiting] = []
        size = 0
        item = self._queued.get()
        while item is not None:
            group.append(item)
            if isinstance(item[0], BatchCommand):
                size += len(item[0].encoded.body)
            if len(group) >= _GROUP_COMMANDS or size >= _GROUP_BYTES:
                return group, False
            try:
                item = self._queued.get_nowait()
            except queue.Empty:
                return group, False
        return group, True

    def _store(self, group: Sequence[_Waiting]) -> None:
        try:
            unit, answers = self._commit_or_explain(group)
        except _CommitFailed as failed:
            # Whether it was committed is not known. A client may send numbered messages again; the server does not
            # guess, so that no message is stored twice.
            _log.warning("A commit failed: %s", failed.__cause__)
            self._on_refused()
            failure = Overloaded("The database did not confirm the commit. Send it again.", retry_after=2)
            resolve([(reply, failure) for _, reply in group])
        except DatabaseLost as lost:
            self._on_refused()
            resolve([(reply, lost) for _, reply in group])
        except Exception as error:  # any failure must reach the callers, never end the thread
            if len(group) > 1:
                # One of them failed and the transaction is rolled back whole: each again by itself, so that only the
                # one at fault is refused.
                for waiting in group:
                    self._store([waiting])
                return
            command, reply = group[0]
            if isinstance(error, (DBAPIError, Overloaded)):
                _log.warning("The database refused %s: %s", type(command).__name__, error)
                if not isinstance(error, _OF_THE_COMMAND):
                    self._on_refused()
            else:
                _log.exception("The command %s failed.", type(command).__name__)
            resolve([(reply, _refusal_of(error))])
        else:
            self._answer(unit, answers)

    def _commit_or_explain(self, group: Sequence[_Waiting]) -> tuple[UnitOfWork, list[Answer]]:
        try:
            return self._commit(group)
        except DBAPIError as error:
            self._watch.explain(error, writing=True)
            raise

    def _commit(self, group: Sequence[_Waiting]) -> tuple[UnitOfWork, list[Answer]]:
        answers: list[Answer] = []
        self._fence.check()
        with self._connected() as connection:
            transaction = connection.begin()
            if self._live is not None and self._live.begin(connection):
                self._watch.changed_by_others(connection)
            unit = UnitOfWork(connection, now=self._clock(), caches=self._caches, live=self._live)
            unit.load(
                [command.pk for command, _ in group if command.pk is not None],
                [command.producer_key for command, _ in group if isinstance(command, BatchCommand)],
            )
            for command, reply in group:
                try:
                    answers.append((reply, command.execute(unit)))
                except StoreError as refusal:
                    answers.append((reply, refusal))
            unit.flush()
            self._watch.before_commit(connection, now=unit.now, writer=self._number, wakes=unit.wakes())
            try:
                transaction.commit()
                self._watch.committed(self._number)
            except (DBAPIError, OSError) as error:
                raise _CommitFailed from error
        return unit, answers

    @contextlib.contextmanager
    def _connected(self) -> Generator[Connection]:
        """A connection. SQLite's is kept, since it cannot break and is not looked at before each use."""
        if self._engine.dialect.name != "sqlite":
            with self._engine.connect() as connection:
                yield connection
            return
        if self._sqlite_connection is None:
            self._sqlite_connection = self._engine.connect()
        try:
            yield self._sqlite_connection
        except BaseException:
            connection, self._sqlite_connection = self._sqlite_connection, None
            connection.close()
            raise

    def _answer(self, unit: UnitOfWork, answers: Sequence[Answer]) -> None:
        """Answers the callers. The group is committed, so an error in `on_commit` does not reach them."""
        try:
            self._on_commit(unit)
        except Exception:
            _log.exception("What follows a commit failed; readers may learn of it late.")
        resolve(answers)


class Writes:
    """The writers of a store. The commands of one invocation all go to the same writer."""

    def __init__(self, writers: Sequence[Writer]) -> None:
        self._writers = writers

    async def run(self, command: Command[_Result]) -> _Result:
        """Runs a command; answers once it is committed. Raises Overloaded, and what the command raises."""
        return await self._writer_of(command).run(command)

    def submit(self, command: Command[_Result]) -> Future[_Result]:
        """Queues a command from a thread without an event loop."""
        return self._writer_of(command).submit(command)

    @property
    def waiting(self) -> int:
        return sum(writer.waiting for writer in self._writers)

    def close(self) -> None:
        """Takes nothing more; stores what waits."""
        for writer in self._writers:
            writer.close()

    def join(self, *, deadline: float) -> bool:
        """Waits for the threads to end; False when one still works at `deadline` (of the monotonic clock)."""
        return all(writer.join(deadline=deadline) for writer in self._writers)

    def _writer_of(self, command: Command[Any]) -> Writer:
        # Commands of one invocation share a commit and never wait for each other's row lock.
        return self._writers[(command.pk or 0) % len(self._writers)]


class _CommitFailed(Exception):
    """The database did not confirm a commit; the cause is the driver's error."""


def _refusal_of(error: Exception) -> Exception:
    if isinstance(error, DBAPIError):
        return Overloaded("The database did not take it; nothing was stored. Try again.", retry_after=2)
    return error

"""Messages that are numbered and not yet acknowledged: in memory first, past its bounds on disk.

The one lock here is held for microseconds and never across I/O on the network. The invariant: the queue holds the
numbers `acknowledged + 1` to `numbered` without a gap. Memory holds the first of them. The spool file, where there is
one, holds them from the first on too, until they are acknowledged. A message for which there is no room gets no number
and is counted as dropped.

A signal handler or a finaliser may report in the middle of a report: the lock is reentrant, an append to memory is one
step, and what interrupts a longer change waits in `_postponed`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from standpipe.delivery.ledger import MOST_BYTES_READ_BACK, RunningSum
from standpipe.runtime import clock
from standpipe_protocol.messages import Ledger

if TYPE_CHECKING:
    from standpipe.spool.spool_file import Spool

MEMORY_MESSAGES = 50_000
MEMORY_BYTES = 64 * 1024 * 1024
# Read under the lock, so small enough that a report that waits for it does not notice.
REFILL_BYTES = 1024 * 1024
DROPPABLE = frozenset({"log", "log_external_stream"})
"""What may be dropped under pressure; the number is reported instead."""
RESERVE = 0.25
"""The part of memory and disk that log lines leave to reports."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Consecutive messages for one request."""

    first_seq: int
    bodies: tuple[bytes, ...]


class MessageQueue:
    """The numbered, unacknowledged messages of one producer. Any thread puts, one thread takes."""

    def __init__(
        self,
        *,
        spool: Callable[[int], Spool],
        memory_messages: int = MEMORY_MESSAGES,
        memory_bytes: int = MEMORY_BYTES,
        always_spool: bool = False,
        dropped_note: Callable[[int], tuple[str, bytes]] | None = None,
    ) -> None:
        """Makes an empty queue.

        Args:
            spool: makes the file, for messages from this number on.
            always_spool: every message is on disk before `put` returns, room in memory or not.
            dropped_note: method and body of a message that reports how many log lines were dropped.
        """
        self._lock = threading.RLock()
        self._busy = False
        self._postponed: deque[Callable[[], bool]] = deque()
        self._progress = threading.Condition(self._lock)
        self.begin_taking()
        self._asleep = False
        self._memory: deque[bytes] = deque()
        self._memory_size = 0
        self._memory_messages = memory_messages
        self._memory_bytes = memory_bytes
        self._make_spool = spool
        self._spool: Spool | None = None
        self._always_spool = always_spool
        # While this is set, everything goes to disk as well as to memory.
        self._spools = always_spool
        self._dropped_note = dropped_note
        self._unreported_drops = 0
        self._refused = False
        self._is_delivered = True
        self.by_method: defaultdict[str, int] = defaultdict(int)
        self._sum = RunningSum()
        self.acknowledged = 0
        self.dropped = 0
        self.spool_error: str | None = None
        """With `always_spool`: why a message is in memory alone."""
        self.dropped_logs = 0
        """Log lines that were dropped under pressure. They are reported by a message of their own, and are no loss."""

    @property
    def numbered(self) -> int:
        with self._lock:
            in_memory = self.acknowledged + len(self._memory)
            return in_memory if self._spool is None else max(in_memory, self._spool.last_seq)

    def put(self, method: str, body: bytes) -> bool:
        """Numbers a message and stores it. False when there is no room for it; it is counted as dropped then."""
        with self._lock:
            if self._busy:
                self._postponed.append(lambda: self.put(method, body))
                return True
            stored = self._store(method, body, reserve=RESERVE if method in DROPPABLE else 0.0)
            if stored and self._unreported_drops:
                self._report_drops(reserve=RESERVE)
            wake, self._asleep = self._asleep, False
        if wake:
            self.wake()
        return stored

    def put_opening(self, body: bytes, *, spool: Callable[[], Spool]) -> bool:
        """Numbers the first message, which is on disk already; False where its file is gone. Until something is
        acknowledged what follows is on disk as well."""
        if self.numbered:
            self.put("opened", body)  # a signal handler's report got the first number
            return False
        with self._changing():
            with contextlib.suppress(Exception):
                self._spool = spool()
                self._spools = True
            self._remember(body)
            self.by_method["opened"] += 1
            return self._spool is not None

    def put_closing(self, encode: Callable[[Ledger], bytes]) -> bool:
        """Like `put`, for `closed`, which accounts for all messages before it."""

        def put() -> bool:
            self._report_drops(reserve=0.0)
            # A dropped message counts as numbered, so that the server finds it missing.
            number = self.numbered + self.dropped + 1
            ledger = Ledger(
                messages=number,
                by_method={**self.by_method, "closed": self.by_method["closed"] + 1},
                last_seq=number,
                dropped_logs=self.dropped_logs,
                sha256=self._sum_of_all(),
            )
            return self.put("closed", encode(ledger))

        with self._lock:
            if self._busy:
                self._postponed.append(put)
                return True
            return put()

    def end_delivery(self, *, refused: bool) -> None:
        """This process delivers nothing more, so waiters return at once; `refused`: nor does any other, so that new
        messages are counted as dropped."""
        with self._lock:
            self._is_delivered, self._refused = False, self._refused or refused
            self._progress.notify_all()

    def take(self, *, messages: int, size: int) -> Batch | None:
        """The oldest messages, at most so many and so large together (one at least). They stay until acknowledged."""
        with self._changing():
            if not self._memory and self._spool is not None:
                self._spool.unread_beyond(self.acknowledged)
                for body in self._spool.read(size=REFILL_BYTES, messages=self._memory_messages):
                    self._remember(body)
            if not self._memory:
                return None
            bodies: list[bytes] = []
            for body in itertools.islice(self._memory, messages):
                size -= len(body) + 1
                if bodies and size < 0:
                    break
                bodies.append(body)
            return Batch(first_seq=self.acknowledged + 1, bodies=tuple(bodies))

    def acknowledge(self, through: int) -> None:
        """Forgets everything through this number, on disk too."""
        with self._changing():
            gone: list[bytes] = []
            while self.acknowledged < through and self._memory:
                gone.append(self._memory.popleft())
                self._memory_size -= len(gone[-1])
                self.acknowledged += 1
            self._sum.note(gone)
            self._spools = self._always_spool
            if self._spool is not None:
                self._spool.acknowledge(self.acknowledged)
                if not self._always_spool and self.acknowledged >= self._spool.last_seq:
                    # The emptied file goes away, so that memory is used again.
                    self._delete_spool()
            self._progress.notify_all()
        # Outside the lock that reports wait for.
        self._sum.add_noted(self._lock)

    def replace(self, seq: int, body: bytes) -> None:
        """Puts another message under the oldest number."""
        with self._changing():
            if seq == self.acknowledged + 1 and self._memory:
                self._memory_size += len(body) - len(self._memory[0])
                self._memory[0] = body

    def begin_taking(self) -> None:
        """Called on the thread that takes, to wait as its threads do by now: gevent may have replaced them."""
        # A lock as a signal: held while there is nothing to wake for. A Condition would cost each put more.
        wake = threading.Lock()
        wake.acquire()
        self._wake = wake

    def wait_for_work(self, timeout: float | None, *, new_messages: bool) -> None:
        """Sleeps until `wake`, the time-out or, with `new_messages`, the next message."""
        with self._lock:
            if new_messages:
                if self._memory or self._unread > 0:
                    return
                self._asleep = True
        self._wake.acquire(timeout=-1 if timeout is None else clock.bounded(timeout))
        # No lock: a put that still sees True wakes once too often, which costs one look at an empty queue.
        self._asleep = False

    def wake(self) -> None:
        """Ends `wait_for_work`, the next one where no thread waits; two calls are one."""
        with contextlib.suppress(RuntimeError):
            self._wake.release()

    def wait_for_acknowledgement(self, *, through: int, deadline: float) -> bool:
        """Waits until everything through a number is acknowledged; False at the deadline, or when all is refused."""
        with self._lock:
            while self.acknowledged < through:
                left = deadline - clock.monotonic()
                # Busy: this call interrupted a change on this very thread, which cannot go on before it returns.
                if left <= 0 or self._busy or not self._is_delivered:
                    return False
                self._progress.wait(clock.bounded(left))
            return True

    def spool_all(self) -> tuple[Spool | None, int]:
        """Writes everything unacknowledged to the spool file; returns the file and how many messages it holds: fewer
        where its bound is reached. Raises OSError where it cannot be made or takes nothing; the messages stay in
        memory."""
        with self._lock:
            if self._busy:  # interrupted in the middle of a change
                return self._spool, 0 if self._spool is None else self._spool.last_seq - self.acknowledged
            with self._changing():
                if self.numbered == self.acknowledged:
                    self._delete_spool()
                    return None, 0
                spool = self._open_spool()
                if not self._write_missing(spool) and spool.last_seq <= self.acknowledged:
                    raise OSError(f"the disk, or its bound, takes no message in {spool.path}")
                return spool, spool.last_seq - self.acknowledged

    def spool_until_acknowledged(self) -> None:
        """For an outage: puts on disk what is in memory and what comes, so that it outlives a killed process."""
        with contextlib.suppress(Exception):
            self._spools = True
            self.spool_all()

    def abandon_spool(self) -> Spool | None:
        """Releases the file, because nothing in it can ever be delivered; returns it where it holds a message."""
        with self._lock:
            spool, self._spool = self._spool, None
            if spool is not None:
                spool.release()
                if spool.last_seq <= self.acknowledged:
                    spool.discard()
                    return None
            return spool

    def forget_in_child(self) -> None:
        """After a fork: these messages are the parent's to send; the child closes its copy of the file."""
        if self._spool is not None:
            self._spool.forget_in_child()

    @property
    def _unread(self) -> int:
        """How many messages are in the file and not in memory."""
        return 0 if self._spool is None else self._spool.last_seq - self.acknowledged - len(self._memory)

    @contextlib.contextmanager
    def _changing(self) -> Generator[None]:
        """A change of more than one step: messages of what interrupts it are put afterwards."""
        with self._lock:
            try:
                self._busy = True
                yield
            finally:
                self._busy = False
            while self._postponed:
                self._postponed.popleft()()

    def _remember(self, body: bytes) -> None:
        self._memory.append(body)
        self._memory_size += len(body)

    def _store(self, method: str, body: bytes, *, reserve: float) -> bool:
        if self._refused:
            return self._drop(method)
        full = bool(self._memory) and (
            len(self._memory) >= self._memory_messages * (1 - reserve)
            or self._memory_size + len(body) > self._memory_bytes * (1 - reserve)
        )
        if self._spools or full or (self._spool is not None and self._unread > 0):
            with self._changing():
                if self._store_on_disk(body, reserve=reserve, full=full):
                    self.by_method[method] += 1
                    return True
            if self._always_spool and self.spool_error is None:
                self.spool_error = "the disk, or the bound of the spool file, takes no more"
            if full or self._unread > 0:
                return self._drop(method)
        # One step, so that what interrupts here finds everything in order; the counts have no calls inside.
        self._memory.append(body)
        self._memory_size += len(body)
        self.by_method[method] += 1
        return True

    def _store_on_disk(self, body: bytes, *, reserve: float, full: bool) -> bool:
        try:
            spool = self._open_spool()
        except Exception as error:
            if self._always_spool:
                self.spool_error = str(error)
            return False
        if not self._write_missing(spool):
            return False
        in_memory = not full and self._unread <= 0
        if not spool.append(body, reserve=reserve, read=in_memory):
            return False
        if in_memory:
            self._remember(body)
        return True

    def _drop(self, method: str) -> bool:
        if method in DROPPABLE and not self._refused:
            self.dropped_logs += 1
            self._unreported_drops += 1
        else:
            self.dropped += 1
        return False

    def _report_drops(self, *, reserve: float) -> None:
        """Reports how many log lines were dropped, as soon as there is room for that."""
        if self._unreported_drops and self._dropped_note is not None and not self._refused:
            count = self._unreported_drops
            if self._store(*self._dropped_note(count), reserve=reserve):
                self._unreported_drops -= count
            else:
                # The note was counted as one of the lines it is about.
                self.dropped_logs -= 1
                self._unreported_drops -= 1

    def _open_spool(self) -> Spool:
        if self._spool is None:
            self._spool = self._make_spool(self.acknowledged + 1)
        return self._spool

    def _delete_spool(self) -> None:
        if self._spool is not None:
            self._spool.discard()
            self._spool = None

    def _write_missing(self, spool: Spool) -> bool:
        """Appends what is in memory alone, so that the file's numbers stay consecutive; False when some do not fit."""
        # An interrupt may have come between reading and remembering.
        spool.unread_beyond(self.acknowledged + len(self._memory))
        if self._unread >= 0:
            return True
        missing = itertools.islice(self._memory, max(spool.last_seq - self.acknowledged, 0), None)
        return all(spool.append(body, read=True) for body in missing)

    def _sum_of_all(self) -> str | None:
        if self._spool is None or self._unread <= 0:
            return self._sum.with_rest(self._memory)
        if self._spool.unread_bytes > MOST_BYTES_READ_BACK or self._busy:
            return None
        with self._changing():
            return self._sum.with_rest(itertools.chain(self._memory, self._peek(self._spool)))

    def _peek(self, spool: Spool) -> Generator[bytes]:
        """What is in the file and not in memory, without counting as read."""
        in_memory = self.acknowledged + len(self._memory)
        spool.unread_beyond(in_memory)
        while bodies := spool.read(size=REFILL_BYTES, messages=self._memory_messages):
            yield from bodies
        spool.unread_beyond(in_memory)

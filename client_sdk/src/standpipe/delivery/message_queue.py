"""Messages that were numbered and are not yet acknowledged: in memory first, past its bounds on disk.

The one lock here is held for microseconds and never across I/O on the network. The invariant: what is kept are the
numbers `acknowledged + 1` to `numbered` without a gap. Memory holds the first of them; the spool file, where there is
one, holds them from the first on too, and keeps them until they are acknowledged. What can be kept nowhere gets no
number and is counted as dropped.

A signal handler or a finaliser may report in the middle of a report: the lock is reentrant, keeping in memory is one
append to a deque, and a change that is more than that has what interrupts it wait in `_late`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

from standpipe.delivery.batch import Batch
from standpipe.delivery.ledger import MOST_BYTES_READ_BACK, Account, RunningSum
from standpipe.delivery.loss_warnings import DROPPABLE, RESERVE
from standpipe.runtime import clock

if TYPE_CHECKING:
    from standpipe.spool.spool_file import Spool

MEMORY_MESSAGES = 50_000
MEMORY_BYTES = 64 * 1024 * 1024
# Read under the lock, so small enough that a report that waits for it does not notice.
REFILL_BYTES = 1024 * 1024


class Pending:
    """The numbered, unacknowledged messages of one producer. Any thread puts, one thread takes."""

    def __init__(
        self,
        *,
        spool: Callable[[int], Spool],
        memory_messages: int = MEMORY_MESSAGES,
        memory_bytes: int = MEMORY_BYTES,
        disk_first: bool = False,
        dropped_note: Callable[[int], tuple[str, bytes]] | None = None,
    ) -> None:
        """Keeps nothing yet.

        Args:
            spool: makes the file, for messages from this number on.
            disk_first: every message is on disk before `put` returns, room in memory or not.
            dropped_note: method and body of a message that tells how many log lines were dropped.
        """
        self._lock = threading.RLock()
        self._busy = False
        self._late: deque[Callable[[], bool]] = deque()
        self._progress = threading.Condition(self._lock)
        self.begin_taking()
        self._asleep = False
        self._memory: deque[bytes] = deque()
        self._memory_size = 0
        self._memory_messages = memory_messages
        self._memory_bytes = memory_bytes
        self._make_spool = spool
        self._spool: Spool | None = None
        self._disk_first = disk_first
        # While this is set, everything goes to disk as well as to memory.
        self._write_through = disk_first
        self._dropped_note = dropped_note
        self._untold = 0
        self._refused: str | None = None
        self._is_delivered = True
        self._by_method: defaultdict[str, int] = defaultdict(int)
        self._sum = RunningSum()
        self.acknowledged = 0
        self.dropped = 0
        self.not_on_disk: str | None = None
        """With `disk_first`: why something is in memory alone."""
        self.dropped_logs = 0
        """Log lines that were dropped under pressure. They are told by a message of their own, and are no loss."""

    @property
    def numbered(self) -> int:
        with self._lock:
            in_memory = self.acknowledged + len(self._memory)
            return in_memory if self._spool is None else max(in_memory, self._spool.last_seq)

    @property
    def by_method(self) -> dict[str, int]:
        return dict(self._by_method)

    def put(self, method: str, body: bytes) -> bool:
        """Numbers a message and keeps it. False when it can be kept nowhere; it is counted as dropped then."""
        with self._lock:
            kept = self._put(method, body)
            wake, self._asleep = self._asleep, False
        if wake:
            self.kick()
        return kept

    def begin(self, method: str, body: bytes, *, spool: Callable[[], Spool]) -> bool:
        """Numbers the first message, which is on disk already; False where its file is gone.

        Until something is acknowledged what follows is on disk as well.
        """
        if self.numbered:
            # What a signal handler reported got the number.
            self.put(method, body)
            return False
        with self._changing():
            with contextlib.suppress(Exception):
                self._spool = spool()
                self._write_through = True
            self._memory.append(body)
            self._memory_size += len(body)
            self._by_method[method] += 1
            return self._spool is not None

    def put_last(self, method: str, encode: Callable[[Account], bytes]) -> bool:
        """Like `put`, for a message that tells of all before it."""

        def put() -> bool:
            self._tell_dropped(reserve=0.0)
            account = Account(
                number=self.numbered + self.dropped + 1,
                by_method={**self._by_method, method: self._by_method[method] + 1},
                dropped_logs=self.dropped_logs,
                sha256=self._sum_of_all(),
            )
            return self._put(method, encode(account))

        with self._lock:
            if self._busy:
                self._late.append(put)
                return True
            kept = put()
            wake, self._asleep = self._asleep, False
        if wake:
            self.kick()
        return kept

    def end_waiting(self) -> None:
        """From now on nothing is delivered by this process: what is put is kept, and nothing waits for it."""
        with self._lock:
            self._is_delivered = False
            self._progress.notify_all()

    def refuse(self, reason: str) -> None:
        """From now on nothing can be delivered: what is put is counted as dropped, and waiters are told."""
        with self._lock:
            self._refused = reason
            self._progress.notify_all()

    def take(self, *, messages: int, size: int) -> Batch | None:
        """The oldest messages, at most so many and so large together (one at least). They stay until acknowledged."""
        with self._changing():
            if not self._memory and self._spool is not None:
                self._spool.forget_reading_beyond(self.acknowledged)
                for body in self._spool.read(size=REFILL_BYTES, messages=self._memory_messages):
                    self._memory.append(body)
                    self._memory_size += len(body)
            if not self._memory:
                return None
            taken: list[bytes] = []
            for body in itertools.islice(self._memory, messages):
                size -= len(body) + 1
                if taken and size < 0:
                    break
                taken.append(body)
            return Batch(first_seq=self.acknowledged + 1, bodies=tuple(taken))

    def acknowledge(self, through: int) -> None:
        """Forgets everything through this number, on disk too."""
        with self._changing():
            gone: list[bytes] = []
            while self.acknowledged < through and self._memory:
                gone.append(self._memory.popleft())
                self._memory_size -= len(gone[-1])
                self.acknowledged += 1
            self._sum.leave(gone)
            self._write_through = self._disk_first
            if self._spool is not None:
                self._spool.acknowledge(self.acknowledged)
                if not self._disk_first and self.acknowledged >= self._spool.last_seq:
                    # Emptied it goes away, so that memory is used again.
                    self._spool.discard()
                    self._spool = None
            self._progress.notify_all()
        # Outside the lock that reports wait for.
        self._sum.catch_up(self._lock)

    def _sum_of_all(self) -> str | None:
        if self._spool is None or self._unread <= 0:
            return self._sum.with_rest(self._memory)
        if self._spool.unread_bytes > MOST_BYTES_READ_BACK or self._busy:
            return None
        with self._changing():
            return self._sum.with_rest(itertools.chain(self._memory, self._read_through(self._spool)))

    def _read_through(self, spool: Spool) -> Generator[bytes]:
        """What the file holds and memory does not, without counting as read."""
        kept = self.acknowledged + len(self._memory)
        spool.forget_reading_beyond(kept)
        while bodies := spool.read(size=REFILL_BYTES, messages=self._memory_messages):
            yield from bodies
        spool.forget_reading_beyond(kept)

    def replace(self, seq: int, body: bytes) -> None:
        """Puts another message under the oldest number."""
        with self._changing():
            if seq == self.acknowledged + 1 and self._memory:
                self._memory_size += len(body) - len(self._memory[0])
                self._memory[0] = body

    def begin_taking(self) -> None:
        """Called on the thread that takes, to wait as threads do by now: gevent may have replaced them."""
        # A lock used as a signal: held while there is nothing to wake for. A Condition would cost each put more.
        wake = threading.Lock()
        wake.acquire()
        self._wake = wake

    def wait_for_work(self, timeout: float | None, *, new_messages: bool) -> None:
        """Sleeps until `kick`, the time-out or, where wanted, a new message."""
        with self._lock:
            if new_messages:
                if self._memory or self._unread > 0:
                    return
                self._asleep = True
        self._wake.acquire(timeout=-1 if timeout is None else clock.bounded(timeout))
        # No lock: a put that still sees True kicks once too often, which costs one look at an empty queue.
        self._asleep = False

    def kick(self) -> None:
        """Wakes the taker."""
        try:
            self._wake.release()
        except RuntimeError:
            # It is awake already: two kicks are one.
            return

    def wait_for_acknowledgement(self, *, through: int, deadline: float) -> bool:
        """Waits until everything through a number is acknowledged; False when the time is over, or all is refused."""
        with self._lock:
            while self.acknowledged < through:
                left = deadline - clock.monotonic()
                # Busy: called by what interrupted a change on this very thread, which cannot go on meanwhile.
                if left <= 0 or self._refused is not None or self._busy or not self._is_delivered:
                    return False
                self._progress.wait(clock.bounded(left))
            return True

    def spill(self) -> tuple[Spool | None, int]:
        """Sees to it that everything unacknowledged is in the spool file; answers it and how many messages it has.

        They are fewer than are unacknowledged where the file's bound is reached.

        Raises:
            OSError: the file cannot be made or takes nothing; memory keeps what it has.
        """
        with self._lock:
            if self._busy:
                # Interrupted in the middle of a change: what is on disk is on disk.
                return self._spool, 0 if self._spool is None else self._spool.last_seq - self.acknowledged
            with self._changing():
                if self.numbered == self.acknowledged:
                    if self._spool is not None:
                        self._spool.discard()
                        self._spool = None
                    return None, 0
                spool = self._begin_spooling()
                if not self._catch_up(spool) and spool.last_seq <= self.acknowledged:
                    raise OSError(f"the disk, or its bound, takes no message in {spool.path}")
                return spool, spool.last_seq - self.acknowledged

    def abandon(self) -> Spool | None:
        """Lets go of the file, because nothing in it can ever be delivered; answers it where there is one."""
        with self._lock:
            spool, self._spool = self._spool, None
            if spool is not None:
                spool.release()
                if spool.last_seq <= self.acknowledged:
                    spool.discard()
                    return None
            return spool

    def shelter(self) -> None:
        """Puts on disk what is in memory and what comes, so that it outlives a killed process.

        For the time that nothing can be delivered: it ends with the next acknowledgement.
        """
        # Whatever the disk, or what makes the file, raises: memory keeps what it has.
        with contextlib.suppress(Exception):
            self._write_through = True
            self.spill()

    def forget_in_child(self) -> None:
        """After a fork: what is here is the parent's to send; the child keeps nothing of it and closes its file."""
        if self._spool is not None:
            self._spool.forget_in_child()

    @property
    def _unread(self) -> int:
        """How many messages the file holds that memory does not."""
        return 0 if self._spool is None else self._spool.last_seq - self.acknowledged - len(self._memory)

    @contextlib.contextmanager
    def _changing(self) -> Generator[None]:
        """A change of more than one step: what interrupts it and wants to put something is put afterwards."""
        with self._lock:
            try:
                self._busy = True
                yield
            finally:
                self._busy = False
            while self._late:
                self._late.popleft()()

    def _put(self, method: str, body: bytes) -> bool:
        if self._busy:
            self._late.append(lambda: self._put(method, body))
            return True
        kept = self._keep(method, body, reserve=RESERVE if method in DROPPABLE else 0.0)
        if kept and self._untold:
            self._tell_dropped(reserve=RESERVE)
        return kept

    def _tell_dropped(self, *, reserve: float) -> None:
        """Reports how many log lines were dropped, as soon as there is room for that."""
        if self._untold and self._dropped_note is not None and self._refused is None:
            untold = self._untold
            if self._keep(*self._dropped_note(untold), reserve=reserve):
                self._untold -= untold
            else:
                # The note was counted as one of those it is about.
                self.dropped_logs -= 1
                self._untold -= 1

    def _keep(self, method: str, body: bytes, *, reserve: float) -> bool:
        size = len(body)
        if self._refused is not None:
            return self._drop(method)
        full = bool(self._memory) and (
            len(self._memory) >= self._memory_messages * (1 - reserve)
            or self._memory_size + size > self._memory_bytes * (1 - reserve)
        )
        if self._write_through or full or self._unread > 0:
            with self._changing():
                if self._to_disk(body, reserve=reserve, full=full):
                    self._by_method[method] += 1
                    return True
            if self._disk_first and self.not_on_disk is None:
                self.not_on_disk = "the disk, or the bound of the spool file, takes no more"
            if full or self._unread > 0:
                return self._drop(method)
        # One step, so that whatever interrupts here finds everything in order; the counts have no calls inside.
        self._memory.append(body)
        self._memory_size += size
        self._by_method[method] += 1
        return True

    def _to_disk(self, body: bytes, *, reserve: float, full: bool) -> bool:
        try:
            spool = self._begin_spooling()
        except Exception as error:
            if self._disk_first:
                self.not_on_disk = str(error)
            return False
        if not self._catch_up(spool):
            return False
        in_memory = not full and self._unread <= 0
        if not spool.append(body, reserve=reserve, read=in_memory):
            return False
        if in_memory:
            self._memory.append(body)
            self._memory_size += len(body)
        return True

    def _drop(self, method: str) -> bool:
        if method in DROPPABLE and self._refused is None:
            self.dropped_logs += 1
            self._untold += 1
        else:
            self.dropped += 1
        return False

    def _begin_spooling(self) -> Spool:
        if self._spool is None:
            self._spool = self._make_spool(self.acknowledged + 1)
        return self._spool

    def _catch_up(self, spool: Spool) -> bool:
        """Appends what is in memory alone, so that the file's numbers stay consecutive; False when it takes not all."""
        # An interrupt may have come between reading and keeping.
        spool.forget_reading_beyond(self.acknowledged + len(self._memory))
        if self._unread >= 0:
            return True
        for body in itertools.islice(self._memory, max(spool.last_seq - self.acknowledged, 0), None):
            if not spool.append(body, read=True):
                return False
        return True

"""Messages that were numbered and are not yet acknowledged: in memory first, past its bounds on disk.

The one lock here is held for microseconds and never across I/O on the network. The invariant: the messages kept are
`acknowledged + 1` to `numbered` without a gap, memory before spool. What can be kept nowhere gets no number and is
counted as `dropped`.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from standpipe.spool import Spool

MEMORY_MESSAGES = 50_000
MEMORY_BYTES = 64 * 1024 * 1024
# Read under the lock, so small enough that a report that waits for it does not notice.
REFILL_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Consecutive messages, ready to be sent."""

    first_seq: int
    bodies: tuple[bytes, ...]


class Pending:
    """The numbered, unacknowledged messages of one producer. Any thread puts, one thread takes."""

    def __init__(
        self,
        *,
        spool: Callable[[], Spool],
        memory_messages: int = MEMORY_MESSAGES,
        memory_bytes: int = MEMORY_BYTES,
    ) -> None:
        self._lock = threading.Lock()
        self._progress = threading.Condition(self._lock)
        # A lock used as a signal: held while there is nothing to wake for. A Condition would cost each put a
        # microsecond more.
        self._wake = threading.Lock()
        self._wake.acquire()
        self._asleep = False
        self._memory: deque[bytes] = deque()
        self._memory_size = 0
        self._memory_messages = memory_messages
        self._memory_bytes = memory_bytes
        self._make_spool = spool
        self._spool: Spool | None = None
        self._refused: str | None = None
        self.acknowledged = 0
        self.numbered = 0
        self.dropped = 0
        self.by_method: dict[str, int] = {}

    @property
    def unacknowledged(self) -> int:
        return self.numbered - self.acknowledged

    def put(self, method: str, body: bytes) -> bool:
        """Numbers a message and keeps it. False when it can be kept nowhere; it is counted as dropped then."""
        with self._lock:
            kept = self._keep(method, body)
            wake, self._asleep = self._asleep, False
        if wake:
            self.kick()
        return kept

    def put_last(self, method: str, encode: Callable[[int, dict[str, int]], bytes]) -> bool:
        """Like `put`, for a message that tells its own number and the count by method, itself included.

        Messages that could not be kept count as numbered here, so that the server finds them missing.
        """
        with self._lock:
            counts = {**self.by_method, method: self.by_method.get(method, 0) + 1}
            kept = self._keep(method, encode(self.numbered + self.dropped + 1, counts))
            wake, self._asleep = self._asleep, False
        if wake:
            self.kick()
        return kept

    def refuse(self, reason: str) -> None:
        """From now on nothing can be delivered: what is put is counted as dropped, and waiters are told."""
        with self._lock:
            self._refused = reason
            self._progress.notify_all()

    def take(self, *, messages: int, size: int) -> Batch | None:
        """The oldest messages, at most so many and so large together (one at least). They stay until acknowledged."""
        with self._lock:
            if not self._memory and self._spool is not None:
                self._refill()
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
        """Forgets everything through this number."""
        with self._lock:
            while self.acknowledged < through and self._memory:
                self._memory_size -= len(self._memory.popleft())
                self.acknowledged += 1
            self._progress.notify_all()

    def replace(self, seq: int, body: bytes) -> None:
        """Puts another message under the oldest number."""
        with self._lock:
            if seq == self.acknowledged + 1 and self._memory:
                self._memory_size += len(body) - len(self._memory[0])
                self._memory[0] = body

    def wait_for_work(self, timeout: float | None, *, new_messages: bool) -> None:
        """Sleeps until `kick`, the time-out or, where wanted, a new message."""
        with self._lock:
            if new_messages:
                if self._memory or self._spool is not None:
                    return
                self._asleep = True
        self._wake.acquire(timeout=-1 if timeout is None else max(timeout, 0.0))
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
                left = deadline - time.monotonic()
                if left <= 0 or self._refused is not None:
                    return False
                self._progress.wait(left)
            return True

    def spill(self) -> tuple[Spool | None, int]:
        """Writes everything unacknowledged into the spool file; answers it and how many messages it now holds.

        Raises:
            OSError: the file cannot be written; nothing is lost from memory.
        """
        with self._lock:
            if self.numbered == self.acknowledged:
                if self._spool is not None:
                    self._spool.discard()
                    self._spool = None
                return None, 0
            spool = self._spool or self._make_spool()
            spool.prepend(first_seq=self.acknowledged + 1, bodies=self._memory)
            self._memory.clear()
            self._memory_size = 0
            self._spool = spool
            return spool, self.numbered - self.acknowledged

    def shelter(self) -> None:
        """Moves memory to disk, where it outlives a killed process. For the time that nothing can be delivered.

        Does nothing where a file is in use already (to write it anew would hold up who reports), or none can be.
        """
        if self._spool is None:
            with contextlib.suppress(OSError):
                self.spill()

    def forget_in_child(self) -> None:
        """After a fork: what is here is the parent's to send; the child keeps nothing of it and closes its file."""
        if self._spool is not None:
            self._spool.release()

    def _keep(self, method: str, body: bytes) -> bool:
        if self._refused is not None:
            self.dropped += 1
            return False
        spool = self._spool
        full = len(self._memory) >= self._memory_messages or self._memory_size + len(body) > self._memory_bytes
        if spool is None and full and self._memory:
            spool = self._begin_spooling()
        if spool is not None:
            if not spool.append(seq=self.numbered + 1, body=body):
                self.dropped += 1
                return False
        elif full and self._memory:
            self.dropped += 1
            return False
        else:
            self._memory.append(body)
            self._memory_size += len(body)
        self.numbered += 1
        self.by_method[method] = self.by_method.get(method, 0) + 1
        return True

    def _begin_spooling(self) -> Spool | None:
        try:
            self._spool = self._make_spool()
        except OSError:
            self._spool = None
        return self._spool

    def _refill(self) -> None:
        """Moves the spool's oldest messages into memory; an emptied spool goes away, so that memory is used again."""
        spool = self._spool
        if spool is None:
            return
        for body in spool.read(size=REFILL_BYTES, messages=self._memory_messages):
            self._memory.append(body)
            self._memory_size += len(body)
        if spool.drained:
            spool.discard()
            self._spool = None

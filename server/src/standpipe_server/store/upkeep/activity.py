"""Activity: how far the silence of a process counts, since the server may not have listened.

The event loop ticks while it listens. Silence counts up to the last tick but one, between which and the last one the
loop has taken what had come; a process of which a request is under way is not silent: while the server works on what
has come whole, and for a bounded time while it still comes. Invariant: a server that stood still, for any reason,
judges no process before it has listened for a whole lease.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
_LATE = 1_000_000
"""Microseconds between two ticks from which on the server was deaf; less is a busy machine."""
LONGEST_READING_SECONDS = 60.0
"""A request that has not come whole by then, or within the lease where that is shorter, says no more than silence."""


@dataclass(slots=True, eq=False)
class OpenRequest:
    """A request under way. It is activity of the invocation's process, if its producer is one."""

    pk: int
    producer: str | None
    """None: the process as such, as a heartbeat without a name is."""
    began: int
    is_whole: bool = False

    def complete(self) -> None:
        """All of it has come; from now on it waits for the server alone."""
        self.is_whole = True


class ActivityMonitor:
    """`tick` is called on the event loop, the rest on any thread. Without any tick all silence counts.

    Args:
        clock: instants, in microseconds.
        monotonic: the same of a clock that is never set.
        on_deaf: called when the loop listens again, before any later silence counts.
    """

    def __init__(self, *, clock: Callable[[], int], monotonic: Callable[[], int], on_stall: Callable[[], None]) -> None:
        self._clock, self._monotonic, self._on_stall = clock, monotonic, on_stall
        self.on_slow: Callable[[], None] = lambda: None
        """Called with each tick while a request takes longer than one."""
        self._ticked_at: int | None = None
        self._last = 0
        self._through: int | None = None
        self._lock = threading.Lock()
        # The oldest first.
        self._requests: dict[OpenRequest, None] = {}

    def tick(self) -> None:
        """The event loop runs; it takes what has come before it ticks again."""
        now, steady = self._clock(), self._monotonic()
        if self._ticked_at is None:
            self._last = now
        elif steady - self._ticked_at > _LATE:
            pause = (steady - self._ticked_at) / 1_000_000
            _log.warning("The server did not listen for %.1f s; leases start anew before any is judged.", pause)
            self._on_stall()
        self._ticked_at = steady
        self._through, self._last = self._last, now
        if self.slow():
            self.on_slow()

    @property
    def ticks(self) -> bool:
        """Whether there are ticks."""
        return self._through is not None

    def through(self, now: int) -> int:
        """The instant up to which silence counts, `now` at the latest."""
        return now if self._through is None else min(now, self._through)

    @contextmanager
    def request(self, pk: int, producer: str | None) -> Generator[OpenRequest]:
        """A request of this producer is under way: it comes, is looked at, or waits to be stored."""
        request = OpenRequest(pk, producer, self._monotonic())
        with self._lock:
            self._requests[request] = None
        try:
            yield request
        finally:
            with self._lock:
                del self._requests[request]

    def active_producers(self, pk: int, *, lease_seconds: float) -> set[str | None]:
        """The producers with a request under way that counts for an invocation with such a lease."""
        longest = min(lease_seconds, LONGEST_READING_SECONDS)
        return {request.producer for request in self._counting(longest) if request.pk == pk}

    def under_way(self) -> set[int]:
        """Invocations with a request under way that may count."""
        return {request.pk for request in self._counting(LONGEST_READING_SECONDS)}

    def slow(self) -> set[int]:
        """The same, with a request that has taken longer than a tick."""
        before = self._monotonic() - round(TICK_SECONDS * 1_000_000)
        with self._lock:
            oldest = next(iter(self._requests), None)
        if oldest is None or oldest.began > before:
            return set()
        return {request.pk for request in self._counting(LONGEST_READING_SECONDS) if request.began <= before}

    def _counting(self, longest: float) -> list[OpenRequest]:
        since = self._monotonic() - round(longest * 1_000_000)
        with self._lock:
            return [request for request in self._requests if request.is_whole or request.began >= since]

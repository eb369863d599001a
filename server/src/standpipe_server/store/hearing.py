"""Hearing: how far the silence of processes counts as theirs, and not as that of a server that did not listen.

The event loop ticks while it listens. Silence counts up to the last tick but one, between which and the last one the
loop has taken what had come; a process of which a request is under way is not silent. Invariant: a server that stood
still, for whatever reason, judges nobody before it has listened for a whole lease.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager

_log = logging.getLogger(__name__)

TICK_SECONDS = 0.25
_LATE = 1_000_000
"""Microseconds between two ticks from which on the server was deaf; less is a busy machine."""


class Hearing:
    """`tick` is called on the event loop, the rest on any thread. Without any tick all silence counts.

    Args:
        clock: instants, in microseconds.
        monotonic: the same, never set by anybody.
        on_deaf: called when the loop listens again, before any later silence counts.
    """

    def __init__(self, *, clock: Callable[[], int], monotonic: Callable[[], int], on_deaf: Callable[[], None]) -> None:
        self._clock, self._monotonic, self._on_deaf = clock, monotonic, on_deaf
        self._ticked_at: int | None = None
        self._last = 0
        self._through: int | None = None
        self._lock = threading.Lock()
        self._under_way: Counter[int] = Counter()

    def tick(self) -> None:
        """The event loop runs; it takes what has come before it ticks again."""
        now, steady = self._clock(), self._monotonic()
        if self._ticked_at is None:
            self._last = now
        elif steady - self._ticked_at > _LATE:
            pause = (steady - self._ticked_at) / 1_000_000
            _log.warning("The server did not listen for %.1f s; leases start anew before any is judged.", pause)
            self._on_deaf()
        self._ticked_at = steady
        self._through, self._last = self._last, now

    @property
    def ticks(self) -> bool:
        """Whether anybody ticks."""
        return self._through is not None

    def through(self, now: int) -> int:
        """The instant up to which silence counts, `now` at the latest."""
        return now if self._through is None else min(now, self._through)

    @contextmanager
    def word(self, pk: int) -> Generator[None]:
        """A request of this invocation's process is under way: it comes, is looked at, or waits to be stored."""
        with self._lock:
            self._under_way[pk] += 1
        try:
            yield
        finally:
            with self._lock:
                self._under_way[pk] -= 1
                if not self._under_way[pk]:
                    del self._under_way[pk]

    def has_word(self, pk: int) -> bool:
        return pk in self._under_way

    def under_way(self, *, most: int) -> list[int]:
        """Invocations of which a word is under way."""
        with self._lock:
            return list(self._under_way)[:most]

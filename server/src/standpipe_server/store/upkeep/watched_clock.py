"""Two clocks side by side: instants come from the wall clock, and the monotonic one tells when that was set.

No deadline may pass because the clock was set: the sweeper asks here first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_TOLERATED = 1_000_000
"""Microseconds. Less is slewing, or a thread that had to wait between its looks at the two clocks."""


@dataclass(frozen=True, slots=True)
class ClockReading:
    now: int
    """Microseconds since the epoch."""
    jump: int
    """How far the wall clock was set since the last look, in microseconds, backward negative; 0 when it was not."""


class WatchedClock:
    """A wall clock and a monotonic one, both in microseconds. One thread looks."""

    def __init__(self, wall: Callable[[], int], monotonic: Callable[[], int]) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._offset = wall() - monotonic()

    def look(self) -> ClockReading:
        now, steady = self._wall(), self._monotonic()
        jump, self._offset = (now - steady) - self._offset, now - steady
        return ClockReading(now, jump if abs(jump) > _TOLERATED else 0)

"""Puts the threads that take turns at the interpreter on one core while they are busy (decision 0034).

The event loop and the writers hold the GIL in turn. On two cores each turn drags what a message consists of from one
core's cache to the other's, and that costs more than the second core gives. The invariant: a core that others need is
left to them, and whoever is not busy has no place of his own.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

LOOK_SECONDS = 0.25
BUSY = 0.5
"""Share of a core from which on turns are taken often enough to matter."""
QUIET = 0.1
CROWDED = 1 / 3
"""Share of the threads' core, used by others, at which the kernel is the better judge of who goes where."""
CROWDED_LOOKS = 4
"""The kernel needs a moment to move others away, if they can be moved."""
REST_SECONDS = 60.0


async def keep_on_one_core(threads: Sequence[threading.Thread]) -> None:
    """Looks four times a second, until cancelled; returns at once where there is nothing to do."""
    if not can_choose():
        return
    place = OneCore(threads)
    try:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            place.look()
    finally:
        place.leave()


def can_choose() -> bool:
    """Whether this system lets a thread choose its core, there are several, and threads take turns at all."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return False
    return getattr(sys, "_is_gil_enabled", lambda: True)()


class OneCore:
    """The place of running threads. They must live until `leave`.

    Args:
        used: seconds of a core that the threads have used so far.
        busy: seconds that each core has been busy so far, of all that the threads may run on.
    """

    def __init__(
        self,
        threads: Sequence[threading.Thread],
        *,
        clock: Callable[[], float] = time.monotonic,
        used: Callable[[], float] | None = None,
        busy: Callable[[], Mapping[int, float]] | None = None,
    ) -> None:
        self._threads = {thread.native_id for thread in threads if thread.native_id is not None}
        self._allowed = os.sched_getaffinity(0)
        self._clock = clock
        self._used = used or _time_used(threads)
        self._busy = busy or read_busy
        self._core: int | None = None
        self._crowded = 0
        self._rested_at = clock()
        self._last = (clock(), self._used())
        self._last_busy: Mapping[int, float] = {}

    @property
    def core(self) -> int | None:
        """Where the threads are; None when the kernel decides."""
        return self._core

    def look(self) -> None:
        """Brings the threads together, leaves them there, or lets them go, by what happened since the last look."""
        now, used = self._clock(), self._used()
        seconds, own = now - self._last[0], used - self._last[1]
        if seconds <= 0:
            return
        self._last = (now, used)
        before, self._last_busy = self._last_busy, {}
        if own > QUIET * seconds:
            busy = self._last_busy = self._busy()
            spent = {core: busy[core] - before[core] for core in busy.keys() & before.keys() & self._allowed}
            if self._core is not None:
                self._stay(spent.get(self._core, own) - own, seconds)
            elif own > BUSY * seconds and spent and now >= self._rested_at:
                self._gather(min(spent, key=lambda core: (spent[core], core)))
        elif self._core is not None:
            self.leave()

    def leave(self) -> None:
        """Lets all of the process run anywhere it may."""
        if self._core is not None:
            self._core = None
            self._put(self._allowed, _all_threads())

    def _gather(self, core: int) -> None:
        self._core, self._crowded = core, 0
        self._put({core}, self._threads)

    def _stay(self, others: float, seconds: float) -> None:
        self._crowded = self._crowded + 1 if others > CROWDED * seconds else 0
        if self._crowded >= CROWDED_LOOKS:
            self._rested_at = self._clock() + REST_SECONDS
            self.leave()
        else:
            # A thread starts where the one is that started it.
            self._put(self._allowed, _all_threads() - self._threads)

    @staticmethod
    def _put(cores: set[int], threads: set[int]) -> None:
        for thread in threads:
            try:
                os.sched_setaffinity(thread, cores)
            except OSError:  # it has ended, or what the process may use has changed meanwhile
                continue


def _time_used(threads: Sequence[threading.Thread]) -> Callable[[], float]:
    clocks = [time.pthread_getcpuclockid(thread.ident) for thread in threads if thread.ident is not None]

    def read() -> float:
        return sum(time.clock_gettime(clock) for clock in clocks)

    return read


def _all_threads() -> set[int]:
    return {int(folder.name) for folder in Path("/proc/self/task").iterdir()}


def read_busy() -> Mapping[int, float]:
    """Seconds that each core has been at work (user, nice, system, irq, softirq) since the machine started.

    From /proc/stat; empty where that says nothing of single cores.
    """
    tick = os.sysconf("SC_CLK_TCK")
    found: dict[int, float] = {}
    try:
        with Path("/proc/stat").open(encoding="ascii") as lines:
            for line in lines:
                name, *ticks = line.split()
                if not name.startswith("cpu"):
                    break
                if name != "cpu":
                    user, nice, system, _, _, irq, softirq = map(int, ticks[:7])
                    found[int(name[3:])] = (user + nice + system + irq + softirq) / tick
    except (OSError, ValueError):
        return {}
    return found

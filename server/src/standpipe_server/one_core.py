"""Puts the threads that take turns at the interpreter on one core while they are busy (decision 0034).

The event loop and the writers hold the GIL in turn. On two cores each turn drags what a message consists of from one
core's cache to the other's, and that costs more than the second core gives. The invariant: a core that others need is
left to them, and whoever is not busy has no place of his own.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

_log = logging.getLogger(__name__)

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
            try:
                place.look()
            except OSError as error:  # out of descriptors, for one; it is an optimisation and may not end for it
                _log.debug("The busy threads were left where they are: %s", error)
    finally:
        place.leave()


def can_choose() -> bool:
    """Whether this system lets a thread choose its core, there are several, and threads take turns at all."""
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2:
        return False
    return getattr(sys, "_is_gil_enabled", lambda: True)() and _is_allowed_to()


def _is_allowed_to() -> bool:
    """Tries it on a thread that is gone then: a sandbox may refuse the call, or end whoever makes it; better now."""
    allowed: list[bool] = []

    def choose() -> None:
        allowed.append(_put(os.sched_getaffinity(0), 0))

    thread = threading.Thread(target=choose, name="standpipe-one-core")
    thread.start()
    thread.join()
    return allowed == [True]


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
        self._allowed: set[int] = set()
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
            spent = {core: busy[core] - before[core] for core in busy.keys() & before.keys()}
            if self._core is not None:
                self._stay(spent.get(self._core, own) - own, seconds)
            elif own > BUSY * seconds and now >= self._rested_at:
                self._gather(spent)
        elif self._core is not None:
            self.leave()

    def leave(self) -> None:
        """Lets those run anywhere they might before who are on the core that was chosen for them."""
        if self._core is not None:
            core, self._core = self._core, None
            for thread in self._threads:  # first: this needs no descriptor
                self._let_go(thread, core)
            self._let_others_go(core)

    def _gather(self, spent: Mapping[int, float]) -> None:
        allowed = os.sched_getaffinity(0)
        # Inside some containers /proc/stat numbers the cores in its own way, and then says nothing of them.
        if len(allowed) < 2 or not spent.keys() >= allowed:
            return
        core = min(allowed, key=lambda one: (spent[one], one))
        self._allowed, self._core, self._crowded = allowed, core, 0
        for thread in self._threads:
            _put({core}, thread)

    def _stay(self, others: float, seconds: float) -> None:
        assert self._core is not None  # noqa: S101  the caller's condition
        self._crowded = self._crowded + 1 if others > CROWDED * seconds else 0
        if self._crowded >= CROWDED_LOOKS:
            self._rested_at = self._clock() + REST_SECONDS
            self.leave()
        elif any(os.sched_getaffinity(thread) != {self._core} for thread in self._threads):
            # Somebody else has said where this process is to run.
            self.leave()
        else:
            # A thread starts where the one is that started it.
            self._let_others_go(self._core)

    def _let_others_go(self, core: int) -> None:
        for folder in Path("/proc/self/task").iterdir():
            if (thread := int(folder.name)) not in self._threads:
                self._let_go(thread, core)

    def _let_go(self, thread: int, core: int) -> None:
        """Unless it was put elsewhere meanwhile."""
        try:
            if os.sched_getaffinity(thread) == {core}:
                _put(self._allowed, thread)
        except ProcessLookupError:
            return


def _put(cores: set[int], thread: int) -> bool:
    try:
        os.sched_setaffinity(thread, cores)
    except OSError:  # it has ended; what the process may use has changed; or a sandbox refuses it
        return False
    return True


def _time_used(threads: Sequence[threading.Thread]) -> Callable[[], float]:
    clocks = [time.pthread_getcpuclockid(thread.ident) for thread in threads if thread.ident is not None]

    def read() -> float:
        return sum(time.clock_gettime(clock) for clock in clocks)

    return read


def read_busy() -> Mapping[int, float]:
    """Seconds that each core has been at work for programs (user, nice, system) since the machine started.

    From /proc/stat; empty where that says nothing of single cores. Interrupts are left out: a server's own network
    traffic comes by them, and is not in what its threads have used.
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
                    found[int(name[3:])] = sum(map(int, ticks[:3])) / tick
    except (OSError, ValueError):
        return {}
    return found

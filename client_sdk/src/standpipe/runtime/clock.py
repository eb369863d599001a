"""This machine's clock, also where a test of user code has frozen the one of `time`; and instants as the wire has them.

Libraries that freeze time replace attributes of modules, those of this one too; what a tuple holds they leave alone.
The invariant: `monotonic` goes on, and no wait is longer than the platform can wait.
"""

from __future__ import annotations

import math
import threading
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

LONGEST_WAIT = min(threading.TIMEOUT_MAX / 2, 10 * 365 * 86_400.0)
"""In seconds; "as long as it takes"."""
_DIFFERENT_SECONDS = 60.0


def _unreplaced() -> tuple[Callable[[], float], Callable[[], float]]:
    """The functions themselves, also where this is imported while they are replaced."""
    module: ModuleType = time
    if type(time.perf_counter) is not type(len) or type(time.time) is not type(len):
        import importlib.util

        spec = importlib.util.find_spec("time")
        if spec is not None and spec.loader is not None:
            # A second copy of the module, to which no other code has a reference.
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    # The same clock as `time.monotonic`, which more libraries replace.
    return module.perf_counter, module.time


_clocks = _unreplaced()
_last_second = (0, "1970-01-01T00:00:00")


def monotonic() -> float:
    """Seconds from some moment on, for deadlines."""
    return _clocks[0]()


def wall() -> float:
    """Seconds since the epoch, to compare with the times of files."""
    return _clocks[1]()


def utc_now() -> str:
    """Now, as RFC 3339 in UTC with microseconds."""
    try:
        return rfc3339(time.time())
    except (TypeError, ValueError, OverflowError, OSError):
        # A clock that was replaced by one that tells no time.
        return rfc3339(wall())


def rfc3339(instant: float) -> str:
    """A time in seconds since the epoch as RFC 3339 in UTC, several times cheaper than by `datetime`."""
    global _last_second  # noqa: PLW0603  a cache of one: formatting the date is most of the work
    second = int(instant)
    cached = _last_second
    if cached[0] != second:
        _last_second = cached = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
    return f"{cached[1]}.{int((instant - second) * 1e6):06}Z"


def is_replaced() -> bool:
    """Whether `time.time` is no longer this machine's clock."""
    try:
        return not abs(time.time() - wall()) < _DIFFERENT_SECONDS
    except Exception:
        return True


def sleep(seconds: float) -> None:
    """Waits; not by `time.sleep`, which tests replace to be faster."""
    threading.Event().wait(bounded(seconds))


def bounded(seconds: float) -> float:
    """A number of seconds that can be waited for: the platform's longest wait where it is longer, 0 for NaN. Raises
    TypeError or ValueError for anything else."""
    number = float(seconds)
    return 0.0 if math.isnan(number) else min(max(number, 0.0), LONGEST_WAIT)

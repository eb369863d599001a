"""This machine's clock for deadlines and pauses, also where a test of user code has frozen the one of `time`.

Such libraries replace attributes of modules, those of this one too; what a tuple holds they leave alone. The invariant:
`monotonic` goes on, and no wait is longer than the platform can wait.
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
            # A second one of the same, that no one else holds.
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
    # The same clock as `time.monotonic`, which more libraries replace.
    return module.perf_counter, module.time


_clocks = _unreplaced()


def monotonic() -> float:
    """Seconds from some moment on, for deadlines."""
    return _clocks[0]()


def wall() -> float:
    """Seconds since the epoch, to compare with the times of files."""
    return _clocks[1]()


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
    """A number of seconds that can be waited for: what is longer than the platform waits is as long as it does.

    Raises:
        TypeError, ValueError: it is no number.
    """
    number = float(seconds)
    # Of no number at all, NaN, comes no wait at all.
    return 0.0 if math.isnan(number) else min(max(number, 0.0), LONGEST_WAIT)

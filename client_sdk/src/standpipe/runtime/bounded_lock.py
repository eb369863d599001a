"""A lock that is waited for so long and no longer: the end of a process goes on without it.

The invariant: it is released if and only if it was taken.
"""

from __future__ import annotations

import contextlib
import threading

from standpipe.runtime.clock import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator


@contextlib.contextmanager
def held_if_free(lock: threading.RLock, *, seconds: float) -> Generator[None]:
    """Holds the lock in the block, or goes into it without when another thread does not give it up in time."""
    is_held = lock.acquire(timeout=bounded(seconds))
    try:
        yield
    finally:
        if is_held:
            lock.release()

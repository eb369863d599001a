"""Bounded waits on conditions: a test never sleeps and hopes, it waits for what it needs and names what is late."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Found = TypeVar("Found")

PATIENCE = 30.0
"""Seconds a wait lasts unless told otherwise. Generous, since only a failing test ever waits that long."""


def wait_until(
    probe: Callable[[], Found],
    *,
    what: str | Callable[[], str],
    timeout: float = PATIENCE,
    interval: float = 0.02,
    ignoring: tuple[type[Exception], ...] = (),
) -> Found:
    """Calls `probe` until it returns something true, and returns that.

    Args:
        what: the thing that is waited for, as a phrase (or a function that tells it, for output read at the end).
        ignoring: exceptions of `probe` that mean "not yet".

    Raises:
        AssertionError: it did not come within `timeout` seconds.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            found = probe()
        except ignoring as error:
            last = error
        else:
            if found:
                return found
            last = found
        if time.monotonic() >= deadline:
            told = what if isinstance(what, str) else what()
            raise AssertionError(f"Waited {timeout:g} s for {told}; it never came (last seen: {last!r}).")
        time.sleep(interval)

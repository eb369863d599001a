"""Delivers what a launcher itself has reported, for as long as anything comes."""

from __future__ import annotations

from collections.abc import Callable

from standpipe.orchestration import Outbox, monotonic

_LOOK_SECONDS = 0.5


def flush_while(outbox: Outbox, *, progress: Callable[[], int], seconds: float) -> None:
    """Waits until all is delivered, until there was no progress for a while, or until waiting makes no sense.

    Args:
        progress: a number that grows.
        seconds: how long it may stay the same.
    """
    before, since = progress(), monotonic()
    while (left := since + seconds - monotonic()) > 0:
        began, patience = monotonic(), min(left, _LOOK_SECONDS)
        # It comes back early where everything is refused for good, or no thread delivers.
        if outbox.flush(patience) or monotonic() - began < patience / 2:
            return
        if progress() > before:
            before, since = progress(), monotonic()

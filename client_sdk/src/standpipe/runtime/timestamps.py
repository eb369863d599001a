"""Instants as the wire wants them, several times cheaper than by `datetime`."""

from __future__ import annotations

import time

from standpipe.runtime import clock


def utc_now() -> str:
    """Now, as RFC 3339 in UTC with microseconds."""
    try:
        return rfc3339(time.time())
    except (TypeError, ValueError, OverflowError, OSError):
        # A clock that was replaced by one that tells no time.
        return rfc3339(clock.wall())


def rfc3339(instant: float) -> str:
    """A time in seconds since the epoch as RFC 3339 in UTC."""
    global _last_second  # noqa: PLW0603  a memory of one: formatting the date is most of the work
    second = int(instant)
    known = _last_second
    if known[0] != second:
        _last_second = known = (second, time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)))
    return f"{known[1]}.{int((instant - second) * 1e6):06}Z"


_last_second = (0, "1970-01-01T00:00:00")

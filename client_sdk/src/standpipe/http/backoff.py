"""How long to pause before the next attempt, so that many processes do not make it at the same time."""

from __future__ import annotations

import os

BACKOFF_BASE_SECONDS = 0.2
BACKOFF_CAP_SECONDS = 30.0


def backoff_delay(
    *, attempt: int, jitter: float, base: float = BACKOFF_BASE_SECONDS, cap: float = BACKOFF_CAP_SECONDS
) -> float:
    """Full-jitter exponential backoff: `jitter` (0 to 1) of a ceiling that doubles with every attempt (from 0)."""
    return min(cap, base * 2.0 ** min(attempt, 16)) * jitter


def random_part() -> float:
    """A random number from 0 to 1."""
    # The random module costs two milliseconds to import and seeds itself from the same source.
    return int.from_bytes(os.urandom(4), "big") / 2**32

"""Chance, for pauses that many processes do not make at the same time."""

from __future__ import annotations

import os


def random_part() -> float:
    """A random number from 0 to 1."""
    # The random module costs two milliseconds to import and seeds itself from the same source.
    return int.from_bytes(os.urandom(4), "big") / 2**32

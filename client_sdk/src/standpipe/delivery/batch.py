"""What goes into one request."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """Consecutive messages, ready to be sent."""

    first_seq: int
    bodies: tuple[bytes, ...]

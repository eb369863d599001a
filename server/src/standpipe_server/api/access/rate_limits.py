"""How many requests one invocation's tokens may make, so that one job cannot keep the others waiting.

A token bucket, kept as the one instant at which it would be full again. Asked on every request of a process, so it does
next to nothing. Invariant: a refused request takes no token, so a client that keeps asking still gets the full rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

BURST_SECONDS: Final = 10.0
"""Requests of so many seconds may come at once."""
_REMEMBERED: Final = 10_000


class Rates:
    """`per_second` requests of each invocation on average; 0 does not limit them."""

    def __init__(self, *, per_second: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._interval = 1 / per_second if per_second else 0.0
        self._monotonic = monotonic
        self._full_at: dict[int, float] = {}

    def wait(self, invocation_pk: int) -> float:
        """Takes one request; answers 0, or how many seconds it comes too early."""
        now = self._monotonic()
        full_at = max(self._full_at.get(invocation_pk, 0.0), now) + self._interval
        early = full_at - now - BURST_SECONDS
        if early > 0:
            return early
        self._full_at[invocation_pk] = full_at
        if len(self._full_at) > _REMEMBERED:
            self._forget_full(now)
        return 0.0

    def __len__(self) -> int:
        """Invocations that are remembered, because their bucket is not full."""
        return len(self._full_at)

    def _forget_full(self, now: float) -> None:
        waiting = {pk: full_at for pk, full_at in self._full_at.items() if full_at > now}
        # More than that many at once under way: each of them begins anew, which lets through too much rather than
        # too little.
        self._full_at = waiting if len(waiting) <= _REMEMBERED // 2 else {}

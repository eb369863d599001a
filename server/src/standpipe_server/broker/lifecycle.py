"""The invocation's clockwork: leases, deadlines and the moments at which it ends by itself."""

from __future__ import annotations

from operator import itemgetter
from typing import Literal, TypeAlias

from standpipe_server.broker.state import InvocationState, replace
from standpipe_server.broker.times import seconds

DueTo: TypeAlias = Literal["lease", "settled", "not-opened"]


def renew_lease(invocation: InvocationState, *, now: int, start: bool = False) -> InvocationState:
    """A word of the process renews a running lease; `start` (a heartbeat) begins one where none runs."""
    if invocation.ended or (invocation.lease_expires_at is None and not start):
        return invocation
    return replace(invocation, lease_expires_at=now + seconds(invocation.lease_seconds))


def next_due(invocation: InvocationState) -> int | None:
    """The earliest instant at which the invocation may end by itself; None when it waits for a word."""
    if invocation.ended:
        return None
    return min((instant for instant, _ in _deadlines(invocation)), default=None)


def due(invocation: InvocationState, *, now: int) -> DueTo | None:
    """Why the invocation ends now, if it does; the earliest deadline that has passed."""
    if invocation.ended:
        return None
    passed = [deadline for deadline in _deadlines(invocation) if deadline[0] <= now]
    return min(passed, key=itemgetter(0))[1] if passed else None


def _deadlines(invocation: InvocationState) -> list[tuple[int, DueTo]]:
    deadlines: list[tuple[int, DueTo]] = []
    if invocation.producers_opened and not invocation.producers_open and invocation.last_event_at is not None:
        deadlines.append((invocation.last_event_at + seconds(invocation.settle), "settled"))
    elif invocation.opened_at is None:
        deadlines.append((invocation.created_at + seconds(invocation.open_within), "not-opened"))
    # Whoever has closed need not beat any more.
    if invocation.lease_expires_at is not None and not all_closed(invocation):
        deadlines.append((invocation.lease_expires_at, "lease"))
    return deadlines


def all_closed(invocation: InvocationState) -> bool:
    """Every producer that opened has closed."""
    return invocation.producers_opened > 0 and invocation.producers_open == 0

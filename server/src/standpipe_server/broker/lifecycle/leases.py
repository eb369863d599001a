"""The invocation's clockwork: leases, deadlines and the moments at which it ends by itself."""

from __future__ import annotations

from operator import itemgetter
from typing import Literal, TypeAlias

from standpipe_protocol.invocation import VerdictName
from standpipe_server.broker.values.state import InvocationState, replace
from standpipe_server.broker.values.times import seconds

DueTo: TypeAlias = Literal["lease", "settled", "not-opened"]
FINAL: frozenset[VerdictName] = frozenset({"succeeded", "cancelled"})
"""After these nothing new is taken, and an invocation's token is good for retries and heartbeats only."""
_MORE_TIME_TO_OPEN = 3600.0


def renew_lease(invocation: InvocationState, *, now: int, start: bool = False) -> InvocationState:
    """A word of the process renews a running lease; `start` (a heartbeat) begins one where none runs."""
    if invocation.ended or (invocation.lease_expires_at is None and not start):
        return invocation
    return replace(invocation, lease_expires_at=now + seconds(invocation.lease_seconds))


def is_lease_worn(invocation: InvocationState, *, now: int) -> bool:
    """A lease runs, and a third of it is over."""
    end = invocation.lease_expires_at
    return not invocation.ended and end is not None and end - now <= seconds(invocation.lease_seconds) * 2 // 3


def renew_on_activity(invocation: InvocationState, *, now: int, start: bool = False) -> InvocationState:
    """Renews the lease on activity of the process; a lost invocation with an open producer runs again.

    After `finish` no lease starts again: late messages then only change the verdict.
    """
    if invocation.verdict != "lost" or invocation.finish is not None or all_closed(invocation):
        return renew_lease(invocation, now=now, start=start)
    return replace(
        invocation,
        status="running",
        verdict=None,
        reasons=(),
        receipt=None,
        judged_by=None,
        notes=(),
        ended_at=None,
        lease_lost=False,
        lease_expires_at=now + seconds(invocation.lease_seconds),
        revision=invocation.revision + 1,
    )


def restart_lease(invocation: InvocationState, *, now: int) -> InvocationState:
    """Restarts a running lease, since activity could not be recorded; one with most of its time left stays."""
    if invocation.ended or invocation.lease_expires_at is None:
        return invocation
    whole = seconds(invocation.lease_seconds)
    if whole // 2 <= invocation.lease_expires_at - now <= whole:
        return invocation
    return replace(invocation, lease_expires_at=now + whole)


def restart_waits(invocation: InvocationState, *, now: int) -> InvocationState:
    """Restarts everything that is waited for. After the clock was set, the time waited so far is unknown.

    What has not opened gets at most an hour more, so that a clock that is set often does not keep it for ever.
    """
    if invocation.ended:
        return invocation
    state = restart_lease(invocation, now=now)
    if all_closed(state):
        return replace(state, last_event_at=now)
    if state.opened_at is not None and not state.producers_opened and state.attempts is not None:
        return replace(state, attempts=replace(state.attempts, began_at=now))
    if state.opened_at is None:
        waited = (now - state.created_at) / 1_000_000
        more = min(state.open_within, _MORE_TIME_TO_OPEN)
        return replace(state, open_within=max(state.open_within, waited + more))
    return state


def next_due(invocation: InvocationState) -> int | None:
    """The earliest instant at which the invocation may end by itself; None when only activity can change it."""
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
    elif not invocation.producers_opened:
        # Where older attempts have opened, the newest one has as long as the first had.
        attempts = invocation.attempts
        began = attempts.began_at if attempts is not None and invocation.opened_at is not None else None
        began = invocation.created_at if began is None else began
        deadlines.append((began + seconds(invocation.open_within), "not-opened"))
    # A closed producer sends no heartbeats.
    # While only older attempts have opened, no process can be lost.
    only_older = invocation.opened_at is not None and not invocation.producers_opened
    if invocation.lease_expires_at is not None and not all_closed(invocation) and not only_older:
        deadlines.append((invocation.lease_expires_at, "lease"))
    return deadlines


def all_closed(invocation: InvocationState) -> bool:
    """Every producer that opened has closed."""
    return invocation.producers_opened > 0 and invocation.producers_open == 0

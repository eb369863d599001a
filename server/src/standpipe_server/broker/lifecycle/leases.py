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


def hear(invocation: InvocationState, *, now: int, start: bool = False) -> InvocationState:
    """What a word of the process does to its lease; a lost invocation that somebody is still to close runs again.

    Whoever finished it has the last word: then late messages only change the verdict.
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


def forgive_lease(invocation: InvocationState, *, now: int) -> InvocationState:
    """A running lease starts anew, since words could not be heard; one of which most is left stays as it is."""
    if invocation.ended or invocation.lease_expires_at is None:
        return invocation
    whole = seconds(invocation.lease_seconds)
    if whole // 2 <= invocation.lease_expires_at - now <= whole:
        return invocation
    return replace(invocation, lease_expires_at=now + whole)


def restart_waiting(invocation: InvocationState, *, now: int) -> InvocationState:
    """After the clock was set nobody knows how long anything has been waited for: what is waited for starts anew.

    What has not opened gets at most an hour more, so that a clock that is set often does not keep it for ever.
    """
    if invocation.ended:
        return invocation
    state = forgive_lease(invocation, now=now)
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
    elif not invocation.producers_opened:
        # Where older attempts have opened, the newest one has as long as the first had.
        attempts = invocation.attempts
        began = attempts.began_at if attempts is not None and invocation.opened_at is not None else None
        began = invocation.created_at if began is None else began
        deadlines.append((began + seconds(invocation.open_within), "not-opened"))
    # Whoever has closed need not beat any more.
    # While only older attempts have opened there is nobody to be lost.
    only_older = invocation.opened_at is not None and not invocation.producers_opened
    if invocation.lease_expires_at is not None and not all_closed(invocation) and not only_older:
        deadlines.append((invocation.lease_expires_at, "lease"))
    return deadlines


def all_closed(invocation: InvocationState) -> bool:
    """Every producer that opened has closed."""
    return invocation.producers_opened > 0 and invocation.producers_open == 0

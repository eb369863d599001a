"""When an invocation ends by itself."""

from __future__ import annotations

from standpipe_server.broker.lifecycle.leases import (
    due,
    next_due,
    renew_lease,
    renew_on_activity,
    restart_lease,
    restart_waits,
)
from standpipe_server.broker.values.state import Finish, InvocationState, replace

SECOND = 1_000_000
NEW = InvocationState(pk=1, id="inv", created_at=0, open_within=60.0, settle=10.0, lease_seconds=30.0)
OPEN = replace(NEW, status="running", opened_at=SECOND, last_event_at=SECOND, producers_opened=1, producers_open=1)


def test_what_never_opens_ends_after_its_time_to_open() -> None:
    assert next_due(NEW) == 60 * SECOND
    assert due(NEW, now=60 * SECOND - 1) is None
    assert due(NEW, now=60 * SECOND) == "not-opened"


def test_what_has_opened_waits_for_a_word_without_end() -> None:
    assert next_due(OPEN) is None
    assert due(OPEN, now=10**15) is None


def test_what_has_closed_settles_after_the_last_event() -> None:
    settled = replace(OPEN, producers_open=0, last_event_at=5 * SECOND)
    assert next_due(settled) == 15 * SECOND
    assert due(settled, now=15 * SECOND) == "settled"


def test_a_lease_runs_from_the_first_heartbeat_on() -> None:
    assert renew_lease(OPEN, now=SECOND) is OPEN
    beaten = renew_lease(OPEN, now=SECOND, start=True)
    assert next_due(beaten) == 31 * SECOND
    assert due(beaten, now=31 * SECOND) == "lease"
    assert renew_lease(beaten, now=10 * SECOND).lease_expires_at == 40 * SECOND


def test_a_closed_process_need_not_beat_any_more() -> None:
    closed = replace(OPEN, producers_open=0, lease_expires_at=2 * SECOND, last_event_at=SECOND)
    assert due(closed, now=3 * SECOND) is None


def test_what_has_ended_ends_no_more() -> None:
    ended = replace(OPEN, status="ended", lease_expires_at=2)
    assert next_due(ended) is None
    assert due(ended, now=10**15) is None
    assert renew_lease(ended, now=5, start=True) is ended


def test_what_was_lost_and_speaks_runs_again_unless_somebody_finished_it() -> None:
    lost = replace(OPEN, status="ended", verdict="lost", ended_at=2, lease_lost=True, revision=3, receipt={"events": 1})
    again = renew_on_activity(lost, now=SECOND)
    assert (again.status, again.verdict, again.ended_at, again.receipt) == ("running", None, None, None)
    assert (again.revision, again.lease_lost, again.lease_expires_at) == (4, False, 31 * SECOND)
    assert renew_on_activity(replace(lost, producers_opened=0, producers_open=0), now=SECOND).status == "running"
    for final in (
        replace(lost, finish=Finish(exit_code=None)),
        replace(lost, producers_open=0),
        replace(lost, verdict="incomplete"),
        replace(lost, verdict="cancelled"),
    ):
        assert renew_on_activity(final, now=SECOND, start=True) is final


def test_a_lease_of_which_most_is_gone_starts_anew_when_it_is_forgiven() -> None:
    beaten = renew_lease(OPEN, now=0, start=True)
    assert restart_lease(OPEN, now=SECOND) is OPEN
    assert restart_lease(beaten, now=10 * SECOND) is beaten
    assert restart_lease(beaten, now=16 * SECOND).lease_expires_at == 46 * SECOND
    assert restart_lease(beaten, now=10**15).lease_expires_at == 10**15 + 30 * SECOND
    # The clock was set back: it would run for ever.
    assert restart_lease(beaten, now=-SECOND).lease_expires_at == 29 * SECOND


def test_a_clock_that_was_set_settles_nobody_and_closes_the_door_to_nobody() -> None:
    hour = 3600 * SECOND
    settling = replace(OPEN, producers_open=0)
    assert next_due(restart_waits(settling, now=hour)) == hour + 10 * SECOND
    assert next_due(restart_waits(NEW, now=hour)) == hour + 60 * SECOND
    patient = replace(NEW, open_within=86_400.0)
    assert next_due(restart_waits(patient, now=hour)) == 24 * hour
    assert next_due(restart_waits(patient, now=48 * hour)) == 49 * hour
    assert restart_waits(replace(OPEN, status="ended"), now=hour).last_event_at == SECOND

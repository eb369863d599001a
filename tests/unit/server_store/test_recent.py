"""The memory of what was committed last: bounded in all, for each invocation and for each segment, without a gap."""

from __future__ import annotations

import json

import pytest

from standpipe_server.broker.values.state import InvocationState
from standpipe_server.store import EventPage
from standpipe_server.store.events.recent_events import RecentEvents
from standpipe_server.store.events.segments import PLAIN, Run, StoredSegment
from tests.support.wire import custom

ROOM = 1024 * 1024


def segment(position: int, *, count: int = 1, size: int = 1_000) -> StoredSegment:
    body = json.dumps([custom("x" * size)] * count).encode()
    return StoredSegment(position, PLAIN, body, (Run("p", position, count, 0),), None, None)


def state(pk: int, *, last_position: int, **changes: object) -> InvocationState:
    fixed = {"id": "inv", "created_at": 0, "open_within": 60.0, "settle": 10.0, "lease_seconds": 60.0}
    return InvocationState(pk=pk, last_position=last_position, **fixed, **changes)  # type: ignore[arg-type]


@pytest.fixture
def recent() -> RecentEvents:
    return RecentEvents(alone=True, most_bytes=ROOM)


def read(recent: RecentEvents, pk: int = 1, *, after: int, limit: int = 1_000) -> EventPage | None:
    return recent.read(pk, after=after, limit=limit, methods=None, max_bytes=ROOM)


def commit(recent: RecentEvents, one: StoredSegment, *, pk: int = 1) -> None:
    last = one.first_position + one.runs[0].count - 1
    recent.committed([(pk, one)], [state(pk, last_position=last)], [])


def test_of_very_many_invocations_those_written_to_last_are_kept(recent: RecentEvents) -> None:
    for pk in range(1, 3_001):
        commit(recent, segment(1), pk=pk)
    kept = [pk for pk in range(1, 3_001) if read(recent, pk, after=0) is not None]
    # Each weighs its text twice, and what holds it.
    assert 0 < len(kept) * 3_000 <= ROOM
    assert kept == list(range(3_001 - len(kept), 3_001))


def test_of_a_long_invocation_the_end_is_kept(recent: RecentEvents) -> None:
    # Less than there is room for in all.
    for position in range(1, 301):
        commit(recent, segment(position))
    first = next(after for after in range(300) if read(recent, after=after) is not None)
    assert 0 < (300 - first) * 3_000 <= ROOM // 2
    page = read(recent, after=first)
    assert page is not None
    assert page.positions == list(range(first + 1, 301))


def test_a_large_segment_is_left_to_the_database(recent: RecentEvents) -> None:
    commit(recent, segment(1))
    commit(recent, segment(2, size=70_000))
    assert read(recent, after=0) is None
    assert read(recent, after=1) is None


def test_what_comes_after_a_gap_is_all_that_is_kept(recent: RecentEvents) -> None:
    commit(recent, segment(1))
    commit(recent, segment(3))
    assert read(recent, after=0) is None
    assert read(recent, after=1) is None
    page = read(recent, after=2)
    assert page is not None
    assert page.positions == [3]


def test_a_page_ends_where_its_limit_is_and_the_next_goes_on_from_there(recent: RecentEvents) -> None:
    commit(recent, segment(1, count=5))
    page = read(recent, after=1, limit=2)
    assert page is not None
    assert (page.positions, page.next_after) == ([2, 3], 3)


def test_end_and_cancel_are_told_as_they_were_committed_last(recent: RecentEvents) -> None:
    commit(recent, segment(1))
    recent.committed([], [state(1, last_position=1, cancel_requested_at=5, status="ended", verdict="lost")], [])
    page = read(recent, after=0)
    assert page is not None
    assert (page.cancel_requested, page.ended) == (True, True)


def test_what_was_deleted_is_forgotten(recent: RecentEvents) -> None:
    commit(recent, segment(1))
    recent.committed([], [], [1])
    assert read(recent, after=0) is None

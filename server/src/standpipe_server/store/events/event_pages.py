"""Reading events: pages by position, and one event by its place."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Integer, bindparam, func, or_, select, true

from standpipe_server.store.database import tables
from standpipe_server.store.database.raw_sql import query
from standpipe_server.store.database.recently_used import RecentlyUsed
from standpipe_server.store.errors import NotFound
from standpipe_server.store.events.event_match import EventMatch
from standpipe_server.store.events.segments import (
    REJECTED,
    Run,
    StoredEvent,
    StoredSegment,
    decoded_size,
    method_mask,
    read_events,
    segment_runs,
    stored_segment,
)

_SEGMENTS_AT_A_TIME = 64
# Segments may be large: the first few tell how many of their like are fetched together.
_SEGMENTS_AT_FIRST = 2
_BYTES_AT_A_TIME = 2 * 1024 * 1024
_MOST_EVENTS_LOOKED_AT = 60_000
_MOST_BYTES_LOOKED_AT = 24 * 1024 * 1024

# Made once: these are what a live reader waits for, and building a statement costs as much as running it.
_state_of = select(
    tables.invocation.c.status,
    tables.invocation.c.last_position,
    tables.invocation.c.cancel_requested_at.is_not(None).label("cancel_requested"),
).where(tables.invocation.c.pk == bindparam("pk"))
# The segment that holds position after+1 may begin before it.
_segment_at = select(func.max(tables.segment.c.first_position)).where(
    tables.segment.c.invocation_pk == bindparam("pk"), tables.segment.c.first_position <= bindparam("position")
)
_of_invocation = select(tables.segment).where(tables.segment.c.invocation_pk == bindparam("pk"))
_first = tables.segment.c.first_position
_segments_from = _of_invocation.where(_first >= bindparam("bound")).order_by(_first)
_segments_until = _of_invocation.where(_first < bindparam("bound")).order_by(_first.desc())
_has_method = tables.segment.c.methods.bitwise_and(bindparam("mask", type_=Integer)) != 0
_CONDITIONS = {
    "any": true(),
    "method": _has_method,
    "rejected": or_(_has_method, tables.segment.c.problems.is_not(None)),
}
_SEGMENTS = {
    (kind, backwards): statement.where(condition).limit(bindparam("most", type_=Integer))
    for kind, condition in _CONDITIONS.items()
    for backwards, statement in ((False, _segments_from), (True, _segments_until))
}

_COLUMNS = tuple(column.name for column in tables.segment.c)
_SEGMENTS_AT = (
    f"WITH place (pk, position) AS ({{places}}) SELECT {', '.join(_COLUMNS)} FROM segment WHERE pk IN"  # noqa: S608
    " (SELECT (SELECT held.pk FROM segment AS held WHERE held.invocation_pk = place.pk"
    " AND held.first_position <= place.position ORDER BY held.first_position DESC LIMIT 1) FROM place)"
)

_NAMES = "standpipe_producer_names"
"""Where a connection keeps the names of producers, by invocation row and producer row."""


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events as JSON objects. `next_after` is where to read on, `ended` whether nothing will follow `last_position`
    unless the verdict is revised. Not `latest`: there may be more by now, of which no wake-up will tell."""

    events: list[bytes]
    positions: list[int]
    next_after: int
    last_position: int
    ended: bool
    latest: bool = True
    next_before: int | None = None
    """Of a page that was read backwards: where to read on; None at the beginning."""
    cancel_requested: bool = False


def read_event_page(
    connection: Connection,
    pk: int,
    *,
    after: int,
    limit: int,
    methods: frozenset[str] | None,
    max_bytes: int,
    match: EventMatch | None = None,
) -> EventPage:
    """The events beyond position `after`: at most `limit`, and no more once they weigh `max_bytes`.

    With a `match` no more is looked at than a request's share, and the page may end before there is anything on it.

    Raises:
        NotFound: there is no such invocation (any more).
    """
    state = _state(connection, pk)
    seen, share, cut_short = after, _Share(), False

    def matching() -> Iterator[StoredEvent]:
        nonlocal seen, cut_short
        start = connection.scalar(_segment_at, {"pk": pk, "position": after + 1}) or 0
        for segment in _segments(connection, pk, bound=start, methods=methods):
            if match is not None and share.used_up:
                cut_short = True
                return
            yield from read_events(segment, after=after, methods=methods, match=match)
            seen = segment.first_position + _count(segment) - 1
            share.take(segment)

    events, positions, complete = take_events(matching(), methods=methods, limit=limit, max_bytes=max_bytes)
    # Everything was looked at; what a filter passed over need not be looked at again.
    filtered = methods is not None or match is not None
    looked_at = seen if cut_short else max(seen, after, state.last_position if filtered else 0)
    next_after = looked_at if complete else positions[-1]
    return EventPage(
        events,
        positions,
        next_after,
        state.last_position,
        state.status == "ended",
        cancel_requested=bool(state.cancel_requested),
    )


def read_event_page_before(
    connection: Connection,
    pk: int,
    *,
    before: int | None,
    limit: int,
    methods: frozenset[str] | None,
    max_bytes: int,
    match: EventMatch | None = None,
) -> EventPage:
    """The last events before position `before` (None: before the end), in their order; bounded as above.

    Raises:
        NotFound: there is no such invocation (any more).
    """
    state = _state(connection, pk)
    end = state.last_position + 1 if before is None else min(before, state.last_position + 1)
    latest: list[StoredEvent] = []
    size, share = 0, _Share()
    next_before: int | None = None
    for segment in _segments(connection, pk, bound=end, methods=methods, backwards=True):
        # The first of the next ones would lie before this.
        if share.used_up:
            next_before = segment.first_position + _count(segment)
            break
        for event in read_events(segment, before=end, methods=methods, match=match, backwards=True):
            if len(latest) >= limit or (latest and size + len(event.text) > max_bytes):
                next_before = latest[-1].position
                break
            latest.append(event)
            size += len(event.text)
        if next_before is not None:
            break
        share.take(segment)
    latest.reverse()
    return EventPage(
        [event.text for event in latest],
        [event.position for event in latest],
        next_after=latest[-1].position if latest else end - 1,
        last_position=state.last_position,
        ended=state.status == "ended",
        next_before=next_before,
        cancel_requested=bool(state.cancel_requested),
    )


class _Share:
    """How much one request has looked at: what it may, before it answers with what it has."""

    def __init__(self) -> None:
        self._events = self._bytes = 0

    def take(self, segment: StoredSegment) -> None:
        self._events += _count(segment)
        self._bytes += decoded_size(segment)

    @property
    def used_up(self) -> bool:
        return self._events >= _MOST_EVENTS_LOOKED_AT or self._bytes >= _MOST_BYTES_LOOKED_AT


def take_events(
    source: Iterable[StoredEvent], *, methods: frozenset[str] | None, limit: int, max_bytes: int
) -> tuple[list[bytes], list[int], bool]:
    """Texts and positions of the first of these events, as many as fit on a page, and whether that was all of them."""
    events: list[bytes] = []
    positions: list[int] = []
    size = 0
    for event in source:
        if not event.is_one_of(methods):
            continue
        if len(events) >= limit or (events and size + len(event.text) > max_bytes):
            return events, positions, False
        events.append(event.text)
        positions.append(event.position)
        size += len(event.text)
    return events, positions, True


def read_events_at(connection: Connection, places: list[tuple[int, int]]) -> Mapping[tuple[int, int], StoredEvent]:
    """The events at these places (invocation row, position); each segment is read once."""
    events: dict[tuple[int, int], StoredEvent] = {}
    left, most = sorted(set(places)), _SEGMENTS_AT_FIRST
    while left:
        some, left = left[:most], left[most:]
        rows = _rows_at(connection, some)
        for row in rows:
            segment, pk = _stored(connection, row), row["invocation_pk"]
            end = segment.first_position + _count(segment)
            # What else of this segment is wanted need not wait for its turn.
            inside = [place for place in (*some, *left) if place[0] == pk and segment.first_position <= place[1] < end]
            events.update(
                ((pk, event.position), event) for event in _events_at(segment, {place[1] for place in inside})
            )
        left = [place for place in left if place not in events]
        mean = sum(len(row["body"]) for row in rows) // (len(rows) or 1)
        most = min(max(_BYTES_AT_A_TIME // (mean + 1), 1), _SEGMENTS_AT_A_TIME)
    return events


def _rows_at(connection: Connection, places: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
    """The rows of segments that hold these places, each once."""
    if connection.dialect.name == "postgresql":
        places_sql, values = (
            "SELECT * FROM unnest(%s::bigint[], %s::bigint[])",
            [list(part) for part in zip(*places, strict=True)],
        )
    else:
        places_sql = f"VALUES {', '.join(['(?, ?)'] * len(places))}"
        values = [value for place in places for value in place]
    rows = query(connection, _SEGMENTS_AT.format(places=places_sql), values)
    return [dict(zip(_COLUMNS, row, strict=True)) for row in rows]


def _events_at(segment: StoredSegment, positions: set[int]) -> Iterator[StoredEvent]:
    if not positions:
        return
    last = max(positions)
    for event in read_events(segment, after=min(positions) - 1):
        if event.position in positions:
            yield event
        if event.position >= last:
            return


def _count(segment: StoredSegment) -> int:
    return sum(run.count for run in segment.runs)


def _segments(
    connection: Connection, pk: int, *, bound: int, methods: frozenset[str] | None, backwards: bool = False
) -> Iterator[StoredSegment]:
    """The segments from the first position `bound` on, or backwards those that begin before `bound`."""
    kind = "any" if methods is None else "rejected" if REJECTED in methods else "method"
    mask = {} if methods is None else {"mask": method_mask(methods - {REJECTED})}
    most = _SEGMENTS_AT_FIRST
    while True:
        values = {"pk": pk, "bound": bound, "most": most, **mask}
        rows = connection.execute(_SEGMENTS[kind, backwards], values).mappings().all()
        for row in rows:
            yield _stored(connection, row)
        if len(rows) < most:
            return
        bound = rows[-1]["first_position"] + (not backwards)
        mean = sum(len(row["body"]) for row in rows) // len(rows)
        most = min(max(_BYTES_AT_A_TIME // (mean + 1), 1), _SEGMENTS_AT_A_TIME)


def _state(connection: Connection, pk: int) -> Any:
    state = connection.execute(_state_of, {"pk": pk}).first()
    if state is None:
        raise NotFound("There is no such invocation; it may have been deleted.")
    return state


def _stored(connection: Connection, row: Mapping[Any, Any]) -> StoredSegment:
    pk = row["invocation_pk"]
    runs = [
        Run(_producer_name(connection, pk, producer_pk), first_seq, count, received_at)
        for producer_pk, first_seq, count, received_at in segment_runs(row)
    ]
    return stored_segment(row, runs)


def _producer_name(connection: Connection, pk: int, producer_pk: int) -> str:
    names = cast("RecentlyUsed[tuple[int, int], str] | None", connection.info.get(_NAMES))
    if names is None:
        connection.info[_NAMES] = names = RecentlyUsed[tuple[int, int], str](10_000)
    known = names.get((pk, producer_pk))
    if known is None:
        table = tables.producer
        known = connection.scalar(select(table.c.name).where(table.c.pk == producer_pk)) or ""
        names.put((pk, producer_pk), known)
    return known

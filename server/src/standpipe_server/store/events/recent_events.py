"""What was committed last, in memory: a reader that keeps up gets it without a thread, a connection or a query.

A small, bounded copy that may be dropped at any time; the database is the truth. Only committed segments come in, each
invocation's in the order of its commits. Invariant: the segments kept of an invocation follow each other without a
gap, and an answer begins at the very next position; the database answers everything else.
"""

from __future__ import annotations

import itertools
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from standpipe_server.broker.values.state import InvocationState
from standpipe_server.store.events.event_pages import EventPage, take_events
from standpipe_server.store.events.segments import StoredEvent, StoredSegment, decoded_size, read_events

MOST_BYTES = 32 * 1024 * 1024
_MOST_BYTES_OF_ONE = 512 * 1024
# Events are made of it on the event loop, so a large batch is left to the threads that read from the database.
_MOST_BYTES_OF_A_SEGMENT = 64 * 1024
# What a small segment weighs beside its text: the objects that hold it and the events made of it.
_OVERHEAD = 1_024


class _RecentSegment:
    """A segment, and its events once a reader has read them."""

    __slots__ = ("_events", "_segment", "first_position", "last_position", "weight")

    def __init__(self, segment: StoredSegment, *, size: int) -> None:
        self.first_position = segment.first_position
        self.last_position = segment.first_position + sum(run.count for run in segment.runs) - 1
        self.weight = 2 * size + _OVERHEAD
        self._segment = segment
        self._events: Sequence[StoredEvent] | None = None

    def events(self) -> Sequence[StoredEvent]:
        # Made once for all readers; two threads that make them at once make the same.
        if self._events is None:
            self._events = list(read_events(self._segment))
        return self._events


@dataclass(slots=True)
class _Invocation:
    segments: deque[_RecentSegment] = field(default_factory=deque[_RecentSegment])
    weight: int = 0
    last_position: int = 0
    ended: bool = False
    cancel_requested: bool = False


class RecentEvents:
    """The last events of the invocations that were written to last. Safe to use from several threads.

    `alone`: no other process writes to this database, so that what was committed here last is the latest there is.
    """

    def __init__(self, *, alone: bool, most_bytes: int = MOST_BYTES) -> None:
        self._alone = alone
        self._most_bytes = most_bytes
        self._weight = 0
        self._invocations: OrderedDict[int, _Invocation] = OrderedDict()
        self._lock = threading.Lock()

    def committed(
        self, segments: Sequence[tuple[int, StoredSegment]], states: Sequence[InvocationState], deleted: Sequence[int]
    ) -> None:
        """Takes what one transaction has committed; called in the order of an invocation's commits."""
        sized = [(pk, segment, decoded_size(segment)) for pk, segment in segments]
        with self._lock:
            for pk, segment, size in sized:
                if size > _MOST_BYTES_OF_A_SEGMENT:
                    self._forget(pk)
                else:
                    self._add(pk, _RecentSegment(segment, size=size))
            for state in states if self._invocations else ():
                if (known := self._invocations.get(state.pk)) is not None:
                    known.last_position, known.ended = state.last_position, state.ended
                    known.cancel_requested = state.cancel_requested_at is not None
            # Last: a row's number may be given to another invocation later.
            for pk in deleted:
                self._forget(pk)
            while self._weight > self._most_bytes:
                self._forget(next(iter(self._invocations)))

    def read(
        self, pk: int, *, after: int, limit: int, methods: frozenset[str] | None, max_bytes: int
    ) -> EventPage | None:
        """The events beyond position `after`, as the database would give them; None when it has to be asked."""
        with self._lock:
            known = self._invocations.get(pk)
            if known is None or not known.segments:
                return None
            if not known.segments[0].first_position <= after + 1 <= known.segments[-1].last_position:
                return None
            # A reader that keeps up wants the last of many.
            newer = list(itertools.takewhile(lambda one: one.last_position > after, reversed(known.segments)))
            last_position, ended, cancel_requested = known.last_position, known.ended, known.cancel_requested
        newer.reverse()
        source = (event for one in newer for event in one.events() if event.position > after)
        events, positions, complete = take_events(source, methods=methods, limit=limit, max_bytes=max_bytes)
        next_after = newer[-1].last_position if complete else positions[-1]
        return EventPage(
            events,
            positions,
            next_after,
            last_position,
            ended,
            latest=self._alone,
            cancel_requested=cancel_requested,
        )

    def _add(self, pk: int, segment: _RecentSegment) -> None:
        known = self._invocations.setdefault(pk, _Invocation())
        self._invocations.move_to_end(pk)
        if known.segments and known.segments[-1].last_position + 1 != segment.first_position:
            # Another server's commit, or one that was not confirmed, lies in between.
            self._weight -= known.weight
            known.segments.clear()
            known.weight = 0
        known.segments.append(segment)
        known.weight += segment.weight
        self._weight += segment.weight
        while known.weight > _MOST_BYTES_OF_ONE:
            weight = known.segments.popleft().weight
            known.weight -= weight
            self._weight -= weight

    def _forget(self, pk: int) -> None:
        known = self._invocations.pop(pk, None)
        if known is not None:
            self._weight -= known.weight

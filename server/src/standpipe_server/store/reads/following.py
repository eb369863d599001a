"""Pages of events for readers: from memory for those that keep up, else from the database."""

from __future__ import annotations

from functools import partial

from standpipe_server.store.events.event_match import EventMatch
from standpipe_server.store.events.event_pages import EventPage, read_event_page
from standpipe_server.store.events.recent_events import RecentEvents
from standpipe_server.store.reads.runner import Reads


class EventReads:
    def __init__(self, reads: Reads, recent: RecentEvents) -> None:
        self._reads = reads
        self._recent = recent

    async def page(
        self,
        pk: int,
        *,
        after: int,
        limit: int,
        methods: frozenset[str] | None = None,
        match: EventMatch | None = None,
        max_bytes: int = 4 * 1024 * 1024,
        following: bool = False,
    ) -> EventPage:
        """The events beyond `after`. `following`: the caller reads on until a page is the latest, then waits."""
        if following and match is None:
            recent = self._recent.read(pk, after=after, limit=limit, methods=methods, max_bytes=max_bytes)
            if recent is not None:
                return recent
        read = partial(read_event_page, after=after, limit=limit, methods=methods, match=match, max_bytes=max_bytes)
        return await (self._reads.follow if following else self._reads.run)(read, pk)

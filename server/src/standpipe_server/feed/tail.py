"""Reading along: catch up from the store, wait for a wake-up, and again, until the invocation or the server ends."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from time import monotonic
from typing import TypeAlias

from standpipe_server.feed.wakeups import Subscription
from standpipe_server.store import EventMatch, EventPage, EventReads


@dataclass(frozen=True, slots=True)
class Idle:
    """Nothing came for a while: time for a sign of life."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The invocation has ended and everything through `last_position` was read. Who learns of more asks on."""

    last_position: int


@dataclass(frozen=True, slots=True)
class Stopping:
    """The server stops; there may be more to read elsewhere."""


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """The work is to stop; told once."""


Step: TypeAlias = EventPage | CancelRequested | Idle | Ended | Stopping


async def tail(
    events: EventReads,
    subscription: Subscription,
    *,
    after: int,
    methods: frozenset[str] | None,
    limit: int,
    max_bytes: int,
    idle_seconds: float,
    match: EventMatch | None = None,
) -> AsyncGenerator[Step]:
    """Yields pages of events as they come; ends after `Stopping`, or when the subscription was closed.

    No database session is held between two reads, however slowly the consumer takes a page.
    """
    deadline = monotonic() + idle_seconds
    told_cancel = False
    while not subscription.closed:
        if subscription.stopping:
            yield Stopping()
            return
        page = await events.page(
            subscription.pk,
            after=after,
            limit=limit,
            methods=methods,
            match=match,
            max_bytes=max_bytes,
            following=True,
        )
        after = page.next_after
        if page.events:
            yield page
            deadline = monotonic() + idle_seconds
        # What has ended cannot be stopped.
        if page.cancel_requested and not page.ended and not told_cancel:
            told_cancel = True
            yield CancelRequested()
        if page.next_after < page.last_position or not page.latest:
            continue
        if page.ended:
            yield Ended(page.last_position)
            continue
        if monotonic() >= deadline:
            yield Idle()
            deadline = monotonic() + idle_seconds
        await subscription.wait(min(deadline - monotonic(), subscription.poll_seconds))

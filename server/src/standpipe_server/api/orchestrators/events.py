"""Reading events: a page, a long poll, server-sent events, or lines.

An event goes out as the bytes the store gives, never decoded here. Nothing here holds a database session while it waits
for an event or for a slow client.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from time import monotonic
from typing import Final

from standpipe_protocol.invocation import Control
from standpipe_protocol.json_text import encode_json
from standpipe_server.api.http.exchange import Exchange
from standpipe_server.api.http.parameters import ReadQuery, read_query
from standpipe_server.api.parts import ApiParts
from standpipe_server.broker.messages.normal_metadata import with_all_metadata
from standpipe_server.feed.tail import CancelRequested, Ended, Idle, Stopping, tail
from standpipe_server.feed.wakeups import Subscription
from standpipe_server.store import EventPage, StoreError, Target
from standpipe_server.store.events import read_event_page_before
from standpipe_server.store.reads.invocations import read_invocation

SSE_MEDIA: Final = b"text/event-stream; charset=utf-8"
NDJSON_MEDIA: Final = b"application/x-ndjson"
_KEEPALIVE_SECONDS: Final = 15.0
_RECONNECT_MILLISECONDS: Final = 1000
# What one answer or one write of a stream may weigh; a single larger event goes all the same.
_PAGE_BYTES: Final = 8 * 1024 * 1024
_WRITE_BYTES: Final = 256 * 1024
_PART_BYTES: Final = 256 * 1024


async def read_events(parts: ApiParts, exchange: Exchange, target: Target) -> None:
    """Answers `GET /invocations/{id}/events`."""
    query = read_query(exchange)
    match query.read_as:
        case "json" if query.before is not None:
            await _answer_before(parts, exchange, target.pk, query)
        case "json" if query.wait:
            async with parts.streams.following(exchange, target.pk) as subscription:
                page = await _waited_page(parts, subscription, query)
            await _answer_page(parts, exchange, page, query)
        case "json":
            await _answer_page(parts, exchange, await _page(parts, target.pk, query, after=query.after), query)
        case "sse":
            await _stream(parts, exchange, target, query, sse=True)
        case "ndjson":
            await _stream(parts, exchange, target, query, sse=False)


async def _page(parts: ApiParts, pk: int, query: ReadQuery, *, after: int, following: bool = False) -> EventPage:
    return await parts.store.events.page(
        pk,
        after=after,
        limit=query.limit,
        methods=query.methods,
        match=query.match,
        max_bytes=_PAGE_BYTES,
        following=following,
    )


async def _answer_before(parts: ApiParts, exchange: Exchange, pk: int, query: ReadQuery) -> None:
    page = await parts.store.reads.run(
        read_event_page_before,
        pk,
        before=None if query.before == "end" else query.before,
        limit=query.limit,
        methods=query.methods,
        match=query.match,
        max_bytes=_PAGE_BYTES,
    )
    await _answer(parts, exchange, page, query, b'"next_before":%b' % encode_json(page.next_before), ended=page.ended)


async def _waited_page(parts: ApiParts, subscription: Subscription, query: ReadQuery) -> EventPage:
    """The next page that has something to tell, or what there is when the time is up or the server stops."""
    deadline = monotonic() + query.wait
    after = query.after
    while True:
        page = await _page(parts, subscription.pk, query, after=after, following=True)
        after = page.next_after
        behind = after < page.last_position or not page.latest
        if page.events or subscription.closed or subscription.stopping or (page.ended and not behind):
            return page
        if query.control and page.cancel_requested:
            return page
        if behind:
            continue
        if monotonic() >= deadline:
            return page
        await subscription.wait(min(deadline - monotonic(), subscription.poll_seconds))


async def _shown(parts: ApiParts, page: EventPage, query: ReadQuery) -> list[bytes]:
    """The page's events as the query asks for them: with `metadata`, a part of the page at a time."""
    if not query.metadata:
        return page.events
    shown: list[bytes] = []
    for some in _in_parts(page.events):
        shown += await parts.store.reads.compute(partial(with_all_metadata, some, mask=query.mask))
    return shown


def _in_parts(events: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Events that weigh no more than `_PART_BYTES` together; a heavier one by itself."""
    part: list[bytes] = []
    size = 0
    for event in events:
        if part and size + len(event) > _PART_BYTES:
            yield part
            part, size = [], 0
        part.append(event)
        size += len(event)
    if part:
        yield part


async def _answer_page(parts: ApiParts, exchange: Exchange, page: EventPage, query: ReadQuery) -> None:
    # `ended` says that nothing more will come, so it is true only with the last of the events.
    ended = page.ended and page.latest and page.next_after >= page.last_position
    await _answer(parts, exchange, page, query, b'"next_after":%d' % page.next_after, ended=ended)


async def _answer(
    parts: ApiParts, exchange: Exchange, page: EventPage, query: ReadQuery, place: bytes, *, ended: bool
) -> None:
    """Answers a page of events; `place` is the member that says where to read on."""
    control = b',"control":%b' % _control(page.cancel_requested) if query.control else b""
    events = b",".join(await _shown(parts, page, query))
    members = (events, place, encode_json(ended), page.last_position, control)
    await exchange.answer(200, b'{"items":[%b],%b,"ended":%b,"last_position":%d%b}' % members)


async def _stream(parts: ApiParts, exchange: Exchange, target: Target, query: ReadQuery, *, sse: bool) -> None:
    """Events as server-sent events or as lines, from one tail of the store, until the invocation or the server ends.

    The orderly end of lines is the invocation's end; a last line without a position says that it is not.
    """
    bye = b"event: bye\ndata: {}\n\n" if sse else b'{"event":"bye"}\n'
    async with parts.streams.following(exchange, target.pk) as subscription:
        await exchange.begin_stream(media=SSE_MEDIA if sse else NDJSON_MEDIA)
        if sse:
            await exchange.write(b"retry: %d\n\n" % _RECONNECT_MILLISECONDS)
        steps = tail(
            parts.store.events,
            subscription,
            after=query.after,
            methods=query.methods,
            match=query.match,
            limit=query.limit,
            max_bytes=_WRITE_BYTES,
            idle_seconds=_KEEPALIVE_SECONDS,
        )
        async with contextlib.aclosing(steps):
            try:
                async for step in steps:
                    match step:
                        case EventPage():
                            text = _stream_text(step.positions, await _shown(parts, step, query), sse=sse)
                            # A client that does not read holds the page once, and not as events as well.
                            step.events.clear()
                            await exchange.write(text)
                            del text
                        case CancelRequested() if sse:
                            await exchange.write(b"event: control\ndata: %b\n\n" % _control(True))
                        case CancelRequested() if query.control:
                            await exchange.write(b'{"event":"control","control":%b}\n' % _control(True))
                        case Idle() if sse:
                            await exchange.write(b": still here\n\n")
                        case CancelRequested() | Idle():
                            pass
                        case Ended() if not sse:
                            await exchange.write(b"", more=False)
                            return
                        case Ended(last_position):
                            invocation = await parts.store.reads.run(read_invocation, target.id, mask=query.mask)
                            if invocation.last_position > last_position:
                                continue  # A late message came in between: `end` must not overtake it.
                            await exchange.write(b"event: end\ndata: %b\n\n" % _one_line(invocation.json), more=False)
                            return
                        case Stopping():
                            await exchange.write(bye, more=False)
                            return
            except StoreError:
                # The invocation was deleted, or the store is closing: the reader learns which by asking again.
                await exchange.write(bye, more=False)


def _control(cancel_requested: bool) -> bytes:
    return encode_json(Control(cancel_requested=cancel_requested).to_wire())


def _stream_text(positions: Sequence[int], events: Sequence[bytes], *, sse: bool) -> bytes:
    lines = map(_one_line, events)
    if not sse:
        return b"\n".join([*lines, b""])
    return b"".join(b"id: %d\ndata: %b\n\n" % pair for pair in zip(positions, lines, strict=True))


def _one_line(event: bytes) -> bytes:
    """The event without line breaks: JSON has them between tokens only, where a space says the same."""
    if b"\n" in event or b"\r" in event:
        return event.replace(b"\n", b" ").replace(b"\r", b" ")
    return event

"""Reading what was reported: `client.events`, by page, all that is there, or as it comes.

The broker filters (methods, levels, text), so only events that match are sent.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypedDict, Unpack, cast
from urllib.parse import quote

from standpipe_orchestrator.client.event_tail import EventPage, Tail
from standpipe_orchestrator.client.transport import Transport
from standpipe_protocol.invocation import Control, Event, Invocation
from standpipe_protocol.json_text import JsonObject


class EventFilters(TypedDict, total=False):
    """Which events; see `EventOperations.read`."""

    methods: Sequence[str] | None
    levels: Sequence[str] | None
    text: str | None
    stream: str | None
    producers: Sequence[str] | None


class EventOperations:
    """Reads the events of invocations."""

    def __init__(self, transport: Transport, *, get: Callable[..., Invocation]) -> None:
        self._transport = transport
        self._get = get

    def read(
        self,
        invocation_id: str,
        *,
        after: int = 0,
        limit: int | None = None,
        methods: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        text: str | None = None,
        stream: str | None = None,
        producers: Sequence[str] | None = None,
        wait: float = 0.0,
        control: bool = False,
        retry: bool = True,
    ) -> EventPage:
        """The events after a position; waits up to `wait` seconds for one (an ended invocation answers at once).

        Args:
            methods: only these messages; "rejected" stands for all rejected ones.
            levels: only logs of these levels.
            text: only with this in a string or a name of the message, in any case.
            stream: only output of "stdout" or "stderr".
            producers: only of these.
            control: asks whether the work is to stop, too, and waits no longer once it is.
        """
        path = f"{invocation_path(invocation_id)}/events"
        body = self._transport.call_object(
            "GET",
            path,
            query={
                "after": after,
                "limit": limit,
                "method": _joined(methods),
                "level": _joined(levels),
                "text": text,
                "stream": stream,
                "producer": _joined(producers),
                "wait": f"{wait:g}" if wait else None,
                "control": "true" if control else None,
            },
            headers={"Accept": "application/json"},
            retry=retry,
            answer_seconds=wait + 30.0 if wait else None,
        )
        items, next_after = body.get("items"), body.get("next_after")
        if not isinstance(items, list) or not isinstance(next_after, int):
            raise self._transport.unexpected("GET", path, "without a page of events")
        events = tuple(Event.from_wire(cast("JsonObject", item)) for item in items)
        last_position = body.get("last_position")
        if not isinstance(last_position, int):
            # A server of another make does not say it: there an empty page is the end.
            last_position = next_after if not events else None
        control_answer = Control.from_wire(body.get("control"))
        return EventPage(events, next_after, body.get("ended") is True, last_position, control_answer)

    def iterate(self, invocation_id: str, *, after: int = 0, **filters: Unpack[EventFilters]) -> Iterator[Event]:
        """All events that are stored now and match the filters of `read`, page by page; does not wait for more."""
        while True:
            page = self.read(invocation_id, after=after, **filters)
            yield from page.items
            # A page of a search may be empty before the end.
            if page.next_after <= after or (page.last_position is not None and page.next_after >= page.last_position):
                return
            after = page.next_after

    def stream(
        self,
        invocation_id: str,
        *,
        after: int = 0,
        methods: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        patience_seconds: float | None = 300.0,
        mask: bool = False,
    ) -> Tail:
        """The events after a position as they come, each once, until the invocation has ended.

        Args:
            patience_seconds: how long the broker may be away; None for as long as it takes.
            mask: the tail's `invocation` has `***` in the place of what looks like a credential.
        """
        return Tail(
            invocation_id,
            transport=self._transport,
            read=partial(self.read, levels=levels),
            get=partial(self._get, mask=mask),
            mask=mask,
            after=after,
            methods=methods,
            levels=levels,
            patience_seconds=patience_seconds,
        )


def invocation_path(invocation_id: str) -> str:
    """Where an invocation lies below `/api/v1`."""
    if not invocation_id:
        raise ValueError("An invocation's id was expected, got an empty string.")
    return f"/invocations/{quote(invocation_id, safe='')}"


def _joined(names: Sequence[str] | None) -> str | None:
    return ",".join(names) if names else None

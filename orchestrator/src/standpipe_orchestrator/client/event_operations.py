"""Reading what was reported: `client.events`, by page, all that is there, or as it comes.

What is asked of the events (methods, levels, text) is looked for by the broker, so only what fits travels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import cast
from urllib.parse import quote

from standpipe_orchestrator.client.event_tail import EventPage, Tail
from standpipe_orchestrator.client.transport import Transport
from standpipe_orchestrator.errors import UnexpectedAnswer
from standpipe_protocol.invocation import Control, Event, Invocation
from standpipe_protocol.json_text import JsonObject


class EventOperations:
    """Read what was reported."""

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
            methods: only these messages; "rejected" stands for whatever was rejected.
            levels: only logs of these levels.
            text: only with this in a string or a name of the message, in any case.
            stream: only output of "stdout" or "stderr".
            producers: only of these.
            control: asks whether the work is to stop, too, and waits no longer once it is.
        """
        path = f"{invocation_path(invocation_id)}/events"
        answer = self._transport.call(
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
        body = answer.body
        items = body.get("items") if isinstance(body, dict) else None
        next_after = body.get("next_after") if isinstance(body, dict) else None
        if not isinstance(items, list) or not isinstance(next_after, int) or not isinstance(body, dict):
            call = f"GET /api/v1{path}"
            raise UnexpectedAnswer(
                f"`{call}` on {self._transport.url} was answered without a page of events.",
                call=call,
                url=self._transport.url,
            )
        events = tuple(Event.from_wire(cast("JsonObject", item)) for item in items)
        last_position = body.get("last_position")
        if not isinstance(last_position, int):
            # From a server of another make: an empty page is the end.
            last_position = next_after if not events else None
        told = Control.from_wire(body.get("control"))
        return EventPage(events, next_after, body.get("ended") is True, last_position, told)

    def iterate(
        self,
        invocation_id: str,
        *,
        after: int = 0,
        methods: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        text: str | None = None,
        stream: str | None = None,
        producers: Sequence[str] | None = None,
    ) -> Iterator[Event]:
        """All events that are there now and fit as `read` says, page by page; does not wait for more."""
        while True:
            page = self.read(
                invocation_id,
                after=after,
                methods=methods,
                levels=levels,
                text=text,
                stream=stream,
                producers=producers,
            )
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

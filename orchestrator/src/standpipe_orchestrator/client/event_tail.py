"""Reading an invocation's events as they come, each once and in order, also when connections break.

A `Tail` prefers server-sent events and falls back to long-poll where a stream does not get through. It resumes by
position: a position that was delivered is never delivered again, and none is skipped. It ends with the invocation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar, cast

from standpipe.orchestration import backoff_delay, monotonic, random_part
from standpipe_orchestrator import errors
from standpipe_protocol.invocation import Control, Event, Invocation
from standpipe_protocol.json_text import JsonObject, decode_json
from standpipe_protocol.limits import LONGEST_INTEGER

if TYPE_CHECKING:
    from standpipe_orchestrator.client.transport import EventStream, Transport

T = TypeVar("T")

_STREAM_FAILURES = 2
"""Streams in a row that were opened and brought nothing: then the way is not one for streams: pages are asked for."""
_STREAM_LIVED_SECONDS = 20.0
"""A stream that lived for so long got through; that it broke is the network's or the server's doing."""
_POLL_WAIT_SECONDS = 5.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
_MAY_PASS = (errors.BrokerUnreachable, errors.Overloaded, errors.ServerFailed, errors.UnexpectedAnswer)


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events after a position. With `ended` and no items there will be no more."""

    items: tuple[Event, ...]
    next_after: int
    ended: bool
    last_position: int | None = None
    """Of the invocation; a page of a search may be empty before it. None where the server did not say."""
    control: Control = Control()  # noqa: RUF009  it is immutable
    """Whether the work is to stop, where that was asked."""


class Tail:
    """An iterator over one invocation's events. Used by one thread; `stop()` may be called from another.

    Attributes:
        position: of the last event delivered.
        on_cancel: called once, on the thread that reads, when the work is to stop.
        invocation: the invocation as it ended; None until then.
    """

    def __init__(
        self,
        invocation_id: str,
        *,
        transport: Transport,
        read: Callable[..., EventPage],
        get: Callable[[str], Invocation],
        after: int = 0,
        methods: Sequence[str] | None = None,
        levels: Sequence[str] | None = None,
        patience_seconds: float | None = None,
        mask: bool = False,
        clock: Callable[[], float] = monotonic,
        jitter: Callable[[], float] = random_part,
    ) -> None:
        self.position = after
        self.invocation: Invocation | None = None
        self.on_cancel: Callable[[], None] | None = None
        self._cancel_is_known = False
        self._id = invocation_id
        self._transport, self._read, self._get = transport, read, get
        self._methods = tuple(methods) if methods else None
        self._levels = tuple(levels) if levels else None
        self._mask = mask
        self._patience, self._clock, self._jitter = patience_seconds, clock, jitter
        self._stopped = threading.Event()
        self._stream: EventStream | None = None
        self._stream_lock = threading.Lock()
        self._last_activity = clock()
        self._first_pause = _FIRST_PAUSE

    def __iter__(self) -> Iterator[Event]:
        """Raises:
        BrokerError: the broker was away for longer than `patience_seconds`, or refuses for good.
        """
        failures = bad_streams = 0
        while not self._stopped.is_set() and self.invocation is None:
            before, began = self.position, self._clock()
            streaming = bad_streams < _STREAM_FAILURES
            try:
                yield from self._from_stream() if streaming else self._from_pages()
            except errors.NotFound:
                raise
            except _MAY_PASS as error:
                if self._stopped.is_set():
                    return
                # The server's first frame comes at once; where a proxy holds everything back, not even that one does.
                got_through = self._last_activity > began and self._clock() - began > _STREAM_LIVED_SECONDS
                if self.position > before or got_through:
                    failures = bad_streams = 0
                elif not isinstance(error, errors.BrokerUnreachable) or error.connected:
                    bad_streams += 1
                failures += 1
                self._give_up_when_late(error)
            else:
                failures = bad_streams = 0
            if self.invocation is None:
                # Full jitter, so that many readers do not come back to a restarted server in one wave.
                self._stopped.wait(
                    backoff_delay(attempt=failures, jitter=self._jitter(), base=self._first_pause, cap=_LONGEST_PAUSE)
                )

    def stop(self) -> None:
        """Ends the iteration soon, also one that waits for the network."""
        self._stopped.set()
        with self._stream_lock:
            if self._stream is not None:
                self._stream.abort()

    def _from_stream(self) -> Iterator[Event]:
        """One connection's events. Returns at its end: `end` has set `invocation`, after `bye` another one follows."""
        query = {
            "after": self.position,
            "method": ",".join(self._methods) if self._methods else None,
            "level": ",".join(self._levels) if self._levels else None,
            "mask": "true" if self._mask else None,
        }
        with self._transport.stream(f"/invocations/{self._id}/events", query=query) as stream:
            with self._stream_lock:
                self._stream = stream
            if self._stopped.is_set():
                return
            try:
                for frame in stream.frames():
                    self._last_activity = self._clock()
                    if frame.retry is not None:
                        self._first_pause = min(max(frame.retry / 1000, 0.01), _LONGEST_PAUSE)
                    if frame.event == "end":
                        self.invocation = self._decoded(
                            frame.data, Invocation.from_wire, "an `end` without an invocation"
                        )
                        return
                    if frame.event == "bye":
                        return
                    if frame.event == "control":
                        self._on_control(self._decoded(frame.data, Control.from_wire, "a `control` that is no JSON"))
                    # The decoder also gives frames without data: a keep-alive, or a lone `retry:`.
                    if frame.event == "message" and frame.data:
                        event = self._decoded(frame.data, Event.from_wire, "something that is no event")
                        if self._is_next(event):
                            yield event
            finally:
                with self._stream_lock:
                    self._stream = None
        if not self._stopped.is_set():
            raise self._unexpected("a stream that broke off without `end` or `bye`")

    def _from_pages(self) -> Iterator[Event]:
        while not self._stopped.is_set():
            page = self._read(
                self._id,
                after=self.position,
                methods=self._methods,
                wait=_POLL_WAIT_SECONDS,
                # Asked with it, a server does not wait when the work is to stop.
                control=self.on_cancel is not None and not self._cancel_is_known,
                retry=False,
            )
            self._last_activity = self._clock()
            self._on_control(page.control)
            yield from filter(self._is_next, page.items)
            # With a filter the page may have looked past events that it does not hold.
            self.position = max(self.position, page.next_after)
            if page.ended and not page.items:
                self.invocation = self._get(self._id)
                return

    def _is_next(self, event: Event) -> bool:
        """Takes the position of an event; False for one that was delivered before."""
        if event.position <= self.position:
            return False
        if self._methods is None and self._levels is None and event.position != self.position + 1:
            raise self._unexpected(f"position {event.position} right after {self.position}")
        self.position = event.position
        return True

    def _on_control(self, control: Control) -> None:
        if control.cancel_requested and not self._cancel_is_known:
            self._cancel_is_known = True
            if self.on_cancel is not None:
                self.on_cancel()

    def _decoded(self, data: str, read: Callable[[JsonObject], T], what: str) -> T:
        try:
            return read(cast("JsonObject", decode_json(data, longest_integer=LONGEST_INTEGER)))
        except (ValueError, AttributeError, TypeError) as error:
            raise self._unexpected(f"{what} ({error})") from None

    def _give_up_when_late(self, error: errors.BrokerError) -> None:
        if self._patience is not None and self._clock() - self._last_activity > self._patience:
            raise error

    def _unexpected(self, what: str) -> errors.UnexpectedAnswer:
        return self._transport.unexpected("GET", f"/invocations/{self._id}/events", f"with {what}")

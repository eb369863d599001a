"""Reads one invocation's events to their end on a thread of its own, and knows whether all of them were taken.

When handling an event raises, the other events are still handled, the event is recorded here, and the end of the
session raises for it. The invariant: every event up to `position` was handled exactly once, or stands in `unhandled`;
and without `trouble()` a green invocation's events are all here, as the broker's receipt has them.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass

from standpipe.orchestration import monotonic
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.reading.receipt_check import Tally, disagreements
from standpipe_protocol.invocation import Event, Invocation

DRAIN_SECONDS = 30.0
"""How long the end waits for the next event that the broker has and this process has not."""
_LOOK_SECONDS = 0.5

_STOP_SECONDS = 10.0
_log = logging.getLogger("standpipe_orchestrator.reading.event_reader")

_LISTED = 20
"""Events that could not be handled and are named one by one; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Unhandled:
    """An event that could not be handled."""

    position: int
    method: str | None
    cause: Exception

    def __str__(self) -> str:
        return f"position {self.position} ({self.method}): {type(self.cause).__name__}: {self.cause}"


class EventReader:
    """The events of one invocation, from the first.

    Args:
        handle: what is done with each.
        log: gets a record when reading stops before the end.
        on_over: called once, when nothing more is read.
        on_cancel: called once, when the broker says that the work is to stop.

    Attributes:
        unhandled: the first events that could not be handled.
    """

    def __init__(
        self,
        invocation_id: str,
        *,
        client: BrokerClient,
        handle: Callable[[Event], None],
        log: logging.Logger,
        on_over: Callable[[], None] = lambda: None,
        on_cancel: Callable[[], None] | None = None,
    ) -> None:
        self.unhandled: list[Unhandled] = []
        self._failed = 0
        self._missing: tuple[str, ...] = ()
        self._tally = Tally()
        self._id = invocation_id
        self._client = client
        self._handle = handle
        self._log = log
        self._on_over = on_over
        self._tail = client.events.stream(invocation_id, patience_seconds=None)
        self._tail.on_cancel = on_cancel
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"standpipe-reader-{invocation_id}", daemon=True)

    @property
    def position(self) -> int:
        """Of the last event that was taken; all before it were taken too."""
        return self._tally.events

    @property
    def ended(self) -> Invocation | None:
        """The invocation as it ended, once all its events were read."""
        return self._tail.invocation if self._over.is_set() else None

    def start(self) -> None:
        self._thread.start()

    def wait(self, timeout: float | None) -> bool:
        """Waits until nothing more is read, since the invocation ended or its events cannot be had."""
        return self._over.wait(timeout)

    def stop(self) -> None:
        """Ends the reading soon; idempotent."""
        self._tail.stop()
        self._join(_STOP_SECONDS)

    def drain(self, latest: Invocation) -> Invocation:
        """Waits until everything the broker has is here; what the thread did not get is asked for.

        However much that is: the wait is over when no further event came for `DRAIN_SECONDS`.

        Args:
            latest: the newest known state of the invocation.

        Returns:
            What is the latest now.

        Raises:
            BrokerError: the broker could not be reached, or refused.
            TimeoutError: an event could not be read, or handled, within the time.
        """
        self._join_while_events_come(latest.last_position)
        ended = self._tail.invocation
        if ended is not None and ended.revision >= latest.revision:
            latest = ended
        else:
            # Not at its end, or that was the end of a lost invocation which has come back to life since.
            self.stop()
            if self._thread.is_alive():
                raise TimeoutError(
                    f"Handling event {self.position} of invocation {self._id} has not ended within "
                    f"{DRAIN_SECONDS + _STOP_SECONDS:g} s."
                )
            self._read_on(after=self.position, through=latest.last_position)
        return self._settle(latest)

    def trouble(self) -> str | None:
        """Why what was reported is not all here, as a text; None when it is."""
        problems: list[str] = []
        if self._failed:
            noun = "1 event" if self._failed == 1 else f"{self._failed} events"
            which = "; ".join(str(failed) for failed in self.unhandled)
            rest = f"; and {self._failed - len(self.unhandled)} more" if self._failed > len(self.unhandled) else ""
            problems.append(f"{noun} of the invocation could not be handled here, at {which}{rest}")
        if self._missing:
            problems.append(f"what was read is not what the broker has: {'; '.join(self._missing)}")
        return "; ".join(problems) or None

    def _settle(self, latest: Invocation) -> Invocation:
        """Compares with the receipt; where they differ everything is read once more, and the invocation too."""
        if latest.verdict != "succeeded" or not disagreements(latest, self._tally):
            return latest
        self._read_on(after=0, through=latest.last_position)
        latest = _newer(latest, self._client.invocations.get(self._id))
        # Stored while that was read: a report after the end changes the receipt too.
        self._read_on(after=self.position, through=latest.last_position)
        if latest.verdict == "succeeded":
            self._missing = disagreements(latest, self._tally)
        return latest

    def _join(self, seconds: float) -> None:
        if self._thread.is_alive():  # Ctrl-C may have come before the start, or in the middle of it
            self._thread.join(seconds)

    def _join_while_events_come(self, last_position: int) -> None:
        """Waits for the thread's end, until no event up to a position has come for a while."""
        before, since = self.position, monotonic()
        while self._thread.is_alive() and (left := since + DRAIN_SECONDS - monotonic()) > 0:
            self._join(min(left, _LOOK_SECONDS))
            # Beyond that position there may be no end: what is not over may be written to for ever.
            if before < self.position and before < last_position:
                before, since = self.position, monotonic()

    def _read_on(self, *, after: int, through: int) -> None:
        """Reads by pages, each of which comes within the client's time or raises."""
        for event in self._client.events.iterate(self._id, after=after):
            self._take(event)
            if event.position >= through:
                return

    def _run(self) -> None:
        try:
            for event in self._tail:
                self._take(event)
        except Exception as error:
            # The end of the block reads the rest by itself, and there the same trouble is raised.
            self._log.warning("[pipes] reading the invocation's events stopped: %s", error)
        finally:
            self._over.set()
            self._on_over()

    def _take(self, event: Event) -> None:
        """Handles an event, unless it was taken already, or one before it was not: that one has to come first."""
        if event.position != self.position + 1:
            return
        self._tally.count(event)
        try:
            self._handle(event)
        except Exception as error:
            failed = Unhandled(event.position, event.method, error)
            self._failed += 1
            if len(self.unhandled) < _LISTED:
                self.unhandled.append(failed)
            # Not to the context's log: it may be the one that raised, and would again.
            _log.error("[pipes] an event could not be handled: %s", failed, exc_info=error)


def _newer(one: Invocation, other: Invocation) -> Invocation:
    return other if other.revision >= one.revision else one

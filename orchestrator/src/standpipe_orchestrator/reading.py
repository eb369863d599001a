"""What was read of one invocation's events and handled: each once and in order, and what could not be handled.

An event whose handling raises costs neither its siblings nor goes unnoticed: it is kept here, and the end of the
session raises for it. The invariant: every event up to `position` was handled exactly once, or stands in `unhandled`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from standpipe_protocol.invocation import Event

_log = logging.getLogger("standpipe_orchestrator.reading")

_LISTED = 20
"""Events that could not be handled and are named one by one; the rest is counted."""


@dataclass(frozen=True, slots=True)
class Unhandled:
    """An event whose handling raised."""

    position: int
    method: str | None
    cause: Exception

    def __str__(self) -> str:
        return f"position {self.position} ({self.method}): {type(self.cause).__name__}: {self.cause}"


class Reading:
    """Takes the events of one invocation, on one thread at a time.

    Args:
        handle: what is done with each.

    Attributes:
        position: of the last event that was taken; all before it were taken too.
        unhandled: the first events whose handling raised.
    """

    def __init__(self, *, handle: Callable[[Event], None]) -> None:
        self.position = 0
        self.unhandled: list[Unhandled] = []
        self._failed = 0
        self._handle = handle

    def take(self, event: Event) -> None:
        """Handles an event, unless it was taken already, or one before it was not: that one has to come first."""
        if event.position != self.position + 1:
            return
        self.position = event.position
        try:
            self._handle(event)
        except Exception as error:
            failed = Unhandled(event.position, event.method, error)
            self._failed += 1
            if len(self.unhandled) < _LISTED:
                self.unhandled.append(failed)
            # Not to the context's log: it may be the one that raised, and would again.
            _log.error("[pipes] an event could not be handled: %s", failed, exc_info=error)

    def trouble(self) -> str | None:
        """What could not be handled, as sentences; None when everything was."""
        if not self._failed:
            return None
        told = "; ".join(str(failed) for failed in self.unhandled)
        rest = f"; and {self._failed - len(self.unhandled)} more" if self._failed > len(self.unhandled) else ""
        noun = "1 event" if self._failed == 1 else f"{self._failed} events"
        return f"{noun} of the invocation could not be handled here, at {told}{rest}"

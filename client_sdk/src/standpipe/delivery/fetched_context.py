"""The context that the background thread fetches, for every thread that waits for it."""

from __future__ import annotations

import threading

from standpipe.errors import PipesServerUnreachable, StandpipeError
from standpipe.runtime.clock import bounded
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.context import ContextData


class FetchedContext:
    """The context once it has arrived, or the error because of which it never will."""

    def __init__(self) -> None:
        self._settled = threading.Event()
        self._data: ContextData | None = None
        self._error: StandpipeError | None = None

    @property
    def settled(self) -> bool:
        return self._settled.is_set()

    def set(self, data: ContextData) -> None:
        self._data = data
        self._settled.set()

    def fail(self, error: StandpipeError) -> None:
        if not self._settled.is_set():
            self._error = error
            self._settled.set()

    def copy(self) -> FetchedContext:
        """The same with locks of its own, for a forked child."""
        other = FetchedContext()
        other._data, other._error = self._data, self._error
        if self.settled:
            other._settled.set()
        return other

    def wait(self, *, timeout: float) -> ContextData | None:
        """The context, or None after the time-out.

        Raises:
            StandpipeError: it will never arrive.
        """
        self._settled.wait(bounded(timeout))
        if self._error is not None:
            raise self._error
        return self._data


def unreachable(bootstrap: Bootstrap, *, waited: float, trouble: str | None) -> PipesServerUnreachable:
    return PipesServerUnreachable(
        f"The Standpipe server at {bootstrap.url} did not give the context of invocation {bootstrap.invocation} "
        f"within {waited:.0f} s ({trouble or 'it has not answered yet'}). Check that STANDPIPE_URL is an address this "
        "machine can reach (a proxy, a firewall, a container's own localhost?) and that the server runs; "
        "STANDPIPE_OPEN_TIMEOUT sets how long to wait."
    )

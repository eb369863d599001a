"""Hears that an invocation is to be cancelled, for launchers whose work does not listen itself.

The broker tells it in every answer to the external process; a launcher that captures a silent program gets none, so it
asks now and then. A broker that is away for a while changes nothing: the next look will tell.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.session import PipesSession

FIRST_LOOK_SECONDS = 1.0
LOOK_SECONDS = 2.0


class CancelWatch:
    """Looks from time to time, on a thread of its own, and notes a request in the session.

    Args:
        first: called once before the first look, on that thread.
    """

    def __init__(self, session: PipesSession, *, first: Callable[[], None] = lambda: None) -> None:
        self._session = session
        self._first = first
        self._over = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name=f"standpipe-cancel-watch-{session.invocation_id}", daemon=True
        )

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Returns at once, started or not; a look that is under way ends by itself and does nothing."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(0.1)

    def _run(self) -> None:
        self._first()
        pause = FIRST_LOOK_SECONDS
        while not self._over.wait(pause):
            pause = LOOK_SECONDS
            try:
                invocation = self._session.client.invocations.get(self._session.invocation_id)
            except BrokerError:
                continue
            if invocation.cancel_requested and not self._over.is_set():
                self._session.note_cancel_request()
                return

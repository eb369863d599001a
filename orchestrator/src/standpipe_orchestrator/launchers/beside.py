"""What goes on beside a command that runs: the launcher's word that it does, and listening for a cancel.

The stream of events says that a cancel was requested. It ends with the invocation, and the command may outlive that: a
process that was silent beyond its lease is lost, speaks again, and can be cancelled then. So once nothing more is read
the broker is asked now and then.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from datetime import datetime
from types import TracebackType
from typing import Self

from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.sessions.pipes_session import PipesSession

LOOK_SECONDS = 3.0
_JOIN_SECONDS = 0.1


class Beside:
    """A thread from `start()` to the end of the block: a broker that is slow to answer must not hold up the command."""

    def __init__(self, session: PipesSession) -> None:
        self._session = session
        self._over = threading.Event()
        self._pid, self._started_at = 0, None
        self._thread = threading.Thread(target=self._run, name=f"standpipe-beside-{session.invocation_id}", daemon=True)

    def start(self, *, pid: int, started_at: datetime | None) -> None:
        self._pid, self._started_at = pid, started_at
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        if self._thread.is_alive():
            # A call that is under way ends by itself and does nothing.
            self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        self._report_running()
        while not self._over.wait(LOOK_SECONDS):
            if self._session.over and self._is_to_stop() and not self._over.is_set():
                self._session.note_cancel_request()
                return

    def _report_running(self) -> None:
        # Tried once: it is shown to people, and nothing hangs on it.
        with contextlib.suppress(BrokerError):
            self._session.client.invocations.launch(
                self._session.invocation_id,
                state="running",
                platform="subprocess",
                job_id=str(self._pid),
                node=socket.gethostname(),
                at=self._started_at,
                retry=False,
            )

    def _is_to_stop(self) -> bool:
        try:
            # Of the events none is wanted; a page is the smallest answer that tells of a cancel.
            page = self._session.client.events.read(self._session.invocation_id, limit=1, control=True, retry=False)
        except BrokerError:
            return False
        return page.control.cancel_requested

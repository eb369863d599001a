"""What passes between a running job and the broker: the job's state goes there, a request to cancel comes from there.

The stream of events says that a cancel was requested. It ends with the invocation, and the job may outlive that: a
process that was silent beyond its lease is lost, speaks again, and can be cancelled then. So once nothing more is read
the broker is asked now and then.
"""

from __future__ import annotations

import threading
from dataclasses import asdict
from types import TracebackType
from typing import Self

from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.launchers.job_thread import JobThread
from standpipe_orchestrator.launchers.protocol import JobDescription
from standpipe_orchestrator.sessions.pipes_session import PipesSession

LOOK_SECONDS = 3.0
_JOIN_SECONDS = 0.1


class JobControl:
    """A thread from the beginning to the end of the block: a broker that is slow to answer must not hold up the job."""

    def __init__(self, session: PipesSession, job: JobThread) -> None:
        self._session = session
        self._job = job
        self._over = False
        self._changed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"standpipe-job-{session.invocation_id}", daemon=True)

    def note_change(self) -> None:
        """The job has another state, or has ended."""
        self._changed.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over = True
        self._changed.set()
        # A call that is under way ends by itself and does nothing.
        self._thread.join(_JOIN_SECONDS)

    def _run(self) -> None:
        reported: JobDescription | None = None
        while not self._over:
            self._changed.clear()
            description = self._job.description
            if description is not None and description != reported and self._report(description):
                reported = description
            if (
                not self._session.reading.cancel_requested.is_set()
                and self._session.reading.over
                and self._is_to_stop()
            ):
                self._session.reading.note_cancel_request()
            self._changed.wait(LOOK_SECONDS)

    def _report(self, description: JobDescription) -> bool:
        try:
            self._session.client.invocations.launch(self._session.invocation_id, **asdict(description), retry=False)
        except BrokerError:
            return False  # tried again at the next look
        return True

    def _is_to_stop(self) -> bool:
        try:
            # Of the events none is wanted; a page is the smallest answer that says whether a cancel was requested.
            page = self._session.client.events.read(self._session.invocation_id, limit=1, control=True, retry=False)
        except BrokerError:
            return False
        return page.control.cancel_requested and not self._over

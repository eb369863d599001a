"""The heartbeat: a thread of its own with a connection of its own, so that nothing the sender does makes it late.

It sends one when the server got nothing else from this process for a third of the lease. While a call into C holds the
interpreter no thread runs, and a call that holds it for longer than the lease makes the invocation `lost`; the next
request brings it back. The invariant: the thread ends on `stop` or a final refusal only, and after a refusal it starts
again with the next request that the server accepts.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from standpipe.http.decisions import Answer, NoAnswer, Stop, decide_after_refusal
from standpipe.runtime import clock
from standpipe.runtime.threads import BackgroundThread, sending

if TYPE_CHECKING:
    from standpipe.http.transport import Transport

LEAST_PAUSE_SECONDS = 0.02
"""However short a lease the server names."""

_log = logging.getLogger("standpipe.outbox")


class Heartbeat:
    """Sends heartbeats between `start` and `stop`, over a transport that `connect` makes on its thread. `last_activity`
    is when the server last answered this process, on the monotonic clock."""

    def __init__(
        self,
        *,
        connect: Callable[[], Transport],
        send: Callable[[Transport], Answer | NoAnswer],
        last_activity: Callable[[], float],
        on_answer: Callable[[Answer], None],
    ) -> None:
        self._connect = connect
        self._send = send
        self._last_activity = last_activity
        self._on_answer = on_answer
        self._stopped = False
        self._wake = threading.Event()
        self._thread = BackgroundThread(self._run, name="standpipe-heart")
        self._lease_seconds = 0.0

    def start(self, *, lease_seconds: float) -> None:
        """Starts the thread, also after a final refusal; while it runs a call changes the lease."""
        if lease_seconds != self._lease_seconds:
            self._lease_seconds = lease_seconds
            self._wake.set()
        if not self._stopped:
            # Without a further thread (at a limit, or at the process's end) the next answer tries again.
            self._thread.start()

    def stop(self, *, timeout: float = 0.0) -> None:
        """Ends the thread and joins it; one that waits for an answer is left behind after the time-out."""
        self._stopped = True
        self._wake.set()
        self._thread.join(timeout)

    def _run(self) -> None:
        transport: Transport | None = None
        last_attempt = 0.0
        has_failed = False
        with sending():
            try:
                while not self._stopped:
                    pause = max(self._lease_seconds / 3, LEAST_PAUSE_SECONDS)
                    left = max(self._last_activity(), last_attempt) + pause - clock.monotonic()
                    if left > 0:
                        self._wake.wait(clock.bounded(left))
                        self._wake.clear()
                        continue
                    last_attempt = clock.monotonic()
                    try:
                        transport = transport or self._connect()
                        if self._is_final(self._send(transport)):
                            return
                    except Exception:
                        if not has_failed:
                            has_failed = True
                            _log.exception("A heartbeat failed; the next one is tried at its time.")
            finally:
                if transport is not None:
                    transport.close()

    def _is_final(self, answer: Answer | NoAnswer) -> bool:
        """Whether the server takes no more heartbeats. It may still take reports."""
        if isinstance(answer, Answer):
            self._on_answer(answer)
            if answer.status == 200:
                return False
        return isinstance(decide_after_refusal(answer, attempt=0, jitter=0.0), Stop)

"""Heartbeats for work that cannot send its own yet: it queues, it starts, its image is pulled.

A third of the lease apart, on a thread of its own, until the process has opened: from then on only its own heartbeats
count, so that a process which dies is lost however long the orchestrator lives.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from standpipe_orchestrator.errors import BrokerError
from standpipe_protocol.invocation import Control

_STOP_SECONDS = 1.0

_log = logging.getLogger("standpipe_orchestrator.sessions.launcher_heartbeat")


class LauncherHeartbeat:
    """Keeps one invocation's lease from `start()` to `stop()`.

    Args:
        beat: one heartbeat; returns what the broker answers.
        on_control: takes that.
    """

    def __init__(
        self,
        invocation_id: str,
        *,
        lease_seconds: float,
        beat: Callable[[], Control],
        on_control: Callable[[Control], None],
    ) -> None:
        self._pause = lease_seconds / 3
        self._beat = beat
        self._on_control = on_control
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"standpipe-lease-{invocation_id}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """No further beat; does not wait. May be called from any thread, and again."""
        self._over.set()

    def join(self) -> None:
        """Waits a moment for a beat that is under way; later it ends by itself and does nothing."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(_STOP_SECONDS)

    def _run(self) -> None:
        while not self._over.wait(self._pause):
            try:
                control = self._beat()
            except BrokerError as error:
                # A broker that comes back starts running leases anew; until then a heartbeat changes nothing.
                _log.debug("A heartbeat failed and is tried again in %g s: %s", self._pause, error)
            else:
                self._on_control(control)

"""The heartbeat: a thread of its own with a connection of its own, so that nothing the sender does makes it late.

It beats when nothing else was heard of this process for a third of the lease. What user code does with the interpreter
it cannot help: while a call into C holds it, no thread runs, and a call that holds it for longer than the lease makes
the invocation `lost`; the first word after it brings it back. Invariant: it ends on `stop` or a final refusal only, and
after a refusal it begins again with the next word that the server takes.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from standpipe.http.decisions import Answer, NoAnswer, Stop, decide_after_refusal
from standpipe.runtime import clock
from standpipe.runtime.sender_threads import mark_sender_thread, unmark_sender_thread
from standpipe.runtime.threads import background_thread

if TYPE_CHECKING:
    from standpipe.http.transport import Transport

LEAST_PAUSE_SECONDS = 0.02
"""However short a lease is said to be."""

_log = logging.getLogger("standpipe.outbox")


class Heart:
    """Beats between `start` and `stop`.

    Args:
        connect: makes the transport, on the heart's thread.
        beat: sends one heartbeat over it.
        last_word: when this process was last heard of, on the monotonic clock.
        hear: takes an answer of the server.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], Transport],
        beat: Callable[[Transport], Answer | NoAnswer],
        last_word: Callable[[], float],
        hear: Callable[[Answer], None],
    ) -> None:
        self._connect = connect
        self._beat = beat
        self._last_word = last_word
        self._hear = hear
        self._stopped = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._lease_seconds = 0.0

    def start(self, *, lease_seconds: float) -> None:
        """Begins to beat, also after a refusal that was final to it; a call while it beats changes the lease."""
        if lease_seconds != self._lease_seconds:
            self._lease_seconds = lease_seconds
            self._wake.set()
        if not self._stopped and (self._thread is None or not self._thread.is_alive()):
            # Where the process gets no further thread (at a limit, or at its end) the next word tries again.
            with contextlib.suppress(RuntimeError):
                thread = background_thread(self._run, name="standpipe-heart")
                thread.start()
                self._thread = thread

    def stop(self) -> None:
        """Ends the thread; one that sits in a request is left behind, it can do no harm."""
        self._stopped = True
        self._wake.set()

    def _run(self) -> None:
        mark_sender_thread()
        transport: Transport | None = None
        tried = 0.0
        has_failed = False
        try:
            while not self._stopped:
                pause = max(self._lease_seconds / 3, LEAST_PAUSE_SECONDS)
                left = max(self._last_word(), tried) + pause - clock.monotonic()
                if left > 0:
                    self._wake.wait(clock.bounded(left))
                    self._wake.clear()
                    continue
                tried = clock.monotonic()
                try:
                    transport = transport or self._connect()
                    if not self._take(self._beat(transport)):
                        return
                except Exception:
                    if not has_failed:
                        has_failed = True
                        _log.exception("A heartbeat failed; the next one is tried at its time.")
        finally:
            if transport is not None:
                transport.close()
            unmark_sender_thread()

    def _take(self, answer: Answer | NoAnswer) -> bool:
        """Whether to beat again."""
        if isinstance(answer, Answer):
            self._hear(answer)
            if answer.status == 200:
                return True
        # The end of heartbeats is not the end of reports: what comes late is still taken.
        return not isinstance(decide_after_refusal(answer, attempt=0, jitter=0.0), Stop)

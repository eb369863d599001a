"""The request to stop: callbacks, and `PipesCancelled` in the main thread.

The request comes with the server's answers, on a background thread. The invariant: a callback is called once, and one
report raises, after its message was queued, so that neither finished work nor the reports of the clean-up are lost.
"""

from __future__ import annotations

import threading

from standpipe.runtime import clock
from standpipe.runtime.threads import BackgroundThread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from standpipe_protocol.invocation import Control


class PipesCancelled(BaseException):
    """This work was asked to stop.

    Raised in the main thread by the next `report_*` call (once), and by `checkpoint()` in any thread. Not an
    `Exception`, as `KeyboardInterrupt` is none: code that tries again after any failure must not try this again.
    """

    def __init__(self) -> None:
        super().__init__("The invocation was cancelled: this work was asked to stop.")


class Cancellation:
    """The request as one context knows it. Without a lock, which a forked child could find held for ever."""

    def __init__(self) -> None:
        self.requested = False
        self._raises = True
        self._due = False
        self._callbacks: list[Callable[[], object]] = []
        self._threads: list[BackgroundThread] = []

    def set_raises(self, raises: bool) -> None:
        """Whether reports raise."""
        self._raises = raises
        self._due = self._due and raises

    def on_control(self, control: Control) -> None:
        """Takes a change of control; called on background threads."""
        if control.cancel_requested and not self.requested:
            self._due = self._raises
            self.requested = True
            self._start_callbacks()

    def add_callback(self, callback: Callable[[], object]) -> None:
        """Calls back once, on a thread of its own; at once when the request has come already."""
        self._callbacks.append(callback)
        if self.requested:
            self._start_callbacks(inline=True)

    def raise_if_due(self) -> None:
        """Raises PipesCancelled, once, in the main thread. Called by each report."""
        if self.requested and self._callbacks:
            self._start_callbacks(inline=True)
        if self._due and threading.current_thread() is threading.main_thread():
            self._due = False
            raise PipesCancelled

    def join(self, timeout: float) -> None:
        """Waits for callbacks that run, at most this long; not for the one that calls this."""
        until = clock.monotonic() + timeout
        for thread in list(self._threads):
            thread.join(max(until - clock.monotonic(), 0.0))

    def _start_callbacks(self, *, inline: bool = False) -> None:
        """`inline`: where the process gets no further thread a callback runs on this one, which is the program's."""
        while self._callbacks:
            try:
                # One step of the interpreter, so that no other thread gets the same one.
                callback = self._callbacks.pop(0)
            except IndexError:
                return
            # Not on the thread that delivers: it may take as long as it likes.
            thread = BackgroundThread(lambda callback=callback: _call(callback), name="standpipe-on-cancel")
            self._threads.append(thread)
            if not thread.start():
                if not inline:
                    # The thread that delivers must not wait for it: the next report tries again.
                    self._callbacks.insert(0, callback)
                    return
                _call(callback)


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except PipesCancelled:
        # It asked by `checkpoint()`: that the work is to stop is why it runs.
        return
    except Exception:
        import logging

        logging.getLogger("standpipe.cancel").exception("A callback for the cancel of this work failed.")

"""What a program hears when somebody asks its work to stop: callbacks, and `PipesCancelled` where it can bear it.

The request comes with the server's answers, on a background thread. The invariant: callbacks are called once, and a
report raises once, after its message was queued, so that neither what was done nor the clean-up's own reports are lost.
"""

from __future__ import annotations

import contextlib
import threading

from standpipe.runtime.threads import background_thread

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from standpipe_protocol.invocation import Control


class PipesCancelled(BaseException):
    """Somebody asked this work to stop.

    Raised in the main thread by the next `report_*` call (once), and by `checkpoint()` in any thread. Not an
    `Exception`, as `KeyboardInterrupt` is none: code that tries again after any failure must not try this again.
    """

    def __init__(self) -> None:
        super().__init__("The invocation was cancelled: somebody asked this work to stop.")


class Cancellation:
    """One context's knowledge of it. Without a lock, which a forked child could find held for ever."""

    def __init__(self) -> None:
        self._raises = True
        self._due = False
        self.requested = False
        self._callbacks: list[Callable[[], object]] = []

    def set_raises(self, raises: bool) -> None:
        """Whether reports raise."""
        self._raises = raises
        self._due = self._due and raises

    def hear(self, control: Control) -> None:
        """What the server said; called on background threads."""
        if control.cancel_requested and not self.requested:
            self._due = self._raises
            self.requested = True
            self._tell()

    def call_back(self, callback: Callable[[], object]) -> None:
        """Calls back once, on a thread of its own; at once when it was asked for already."""
        self._callbacks.append(callback)
        if self.requested:
            self._tell()

    def raise_if_due(self) -> None:
        """Raises PipesCancelled, once, in the main thread."""
        if self._due and threading.current_thread() is threading.main_thread():
            self._due = False
            raise PipesCancelled

    def _tell(self) -> None:
        while self._callbacks:
            # One step of the interpreter: whoever else tells does not get the same one.
            with contextlib.suppress(IndexError):
                callback = self._callbacks.pop(0)
                # Not on the thread that delivers: it may take as long as it likes.
                background_thread(_call, args=(callback,), name="standpipe-on-cancel").start()


def _call(callback: Callable[[], object]) -> None:
    try:
        callback()
    except Exception:
        import logging

        logging.getLogger("standpipe.cancel").exception("A callback for the cancel of this work failed.")

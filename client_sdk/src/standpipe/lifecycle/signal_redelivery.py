"""Signals that the handler cannot handle when they arrive: they are sent to the main thread again.

One case: the signal arrives during a step of an import that holds a lock of the import system. A handler that imports,
or that waits for a thread that does, would deadlock.

The other: the signal arrives after the main thread last checked for signals and before a call that blocks. CPython
notes it, and the call goes on. A worker that its pool terminates then waits for a lock that is never released, and the
pool waits for the worker. CPython writes the number of each signal that it notes to a socket; a thread reads it, and
sends the signal again until the handler runs. Only in workers, and where no other library uses that socket, as asyncio
and trio do.

Also calls a function in the main thread, since Python lets no other thread set a handler: by a documented function of
its C interface, when the main thread next runs Python code.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading

from standpipe.runtime import clock
from standpipe.runtime.threads import background_thread, is_main_interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

AGAIN_SECONDS = 0.2
"""How long the handler has until the signal is sent again."""
SOON_SECONDS = 0.01
"""How long the main thread has to leave a lock of the import system."""

_IMPORT = "<frozen importlib._bootstrap>"
_LOCKED = frozenset({"_get_module_lock", "_lock_unlock_module", "acquire", "release", "has_deadlock", "cb"})
"""Its functions that hold such a lock, or wait for one. None of them runs a module."""

_watch: _Watch | None = None
_sending = threading.RLock()
"""Held to send, and to note that the handler runs. Reentrant, because a second signal may interrupt the handler."""
_handled = False
"""Whether the handler runs, which restores the default action: a signal sent from then on would end the process."""
_on_its_way = False


def watch_for(number: int, handler: Callable[..., object]) -> None:
    """Makes this handler of the signal run also while the main thread blocks. Called in the main thread."""
    global _watch  # noqa: PLW0603  a process has one such socket
    if _watch is not None:
        return
    # Out of descriptors, out of threads, or not the main thread of a process: then there is no redelivery.
    with contextlib.suppress(OSError, RuntimeError, ValueError):
        watch = _Watch(number, handler)
        former = signal.set_wakeup_fd(watch.writing.fileno(), warn_on_full_buffer=False)
        if former != -1:
            signal.set_wakeup_fd(former)
            return
        _watch = watch
        background_thread(watch.run, name="standpipe-signals").start()


def note_handler_runs() -> None:
    """Called first by the handler."""
    global _handled  # noqa: PLW0603  a signal concerns the process
    with _sending:
        _handled = True


def reset_in_child() -> None:
    """In a forked child: its signals do not concern the process that forked it."""
    global _watch, _sending, _handled, _on_its_way
    watch, _watch = _watch, None
    # A thread that does not exist here may hold it.
    _sending, _handled, _on_its_way = threading.RLock(), False, False
    if watch is not None:
        former = signal.set_wakeup_fd(-1)
        if former not in (-1, watch.writing.fileno()):
            signal.set_wakeup_fd(former)
        watch.reading.close()
        watch.writing.close()


def holds_import_lock(frame: FrameType | None) -> bool:
    """Whether a thread that stands there may hold a lock that every import takes."""
    while frame is not None:
        if frame.f_code.co_name in _LOCKED and frame.f_code.co_filename == _IMPORT:
            return True
        frame = frame.f_back
    return False


def send_soon(number: int) -> None:
    """Sends the signal to the main thread again, in a moment; raises RuntimeError where the process gets no further
    thread."""
    global _on_its_way  # noqa: PLW0603  as above
    if not _on_its_way:
        # Before it starts: the thread resets it, and may end before this one continues.
        _on_its_way = True
        try:
            threading.Thread(target=_send, args=(number,), name="standpipe-signal", daemon=True).start()
        except RuntimeError:
            _on_its_way = False
            raise


def _send(number: int) -> None:
    global _on_its_way  # noqa: PLW0603  as above
    clock.sleep(SOON_SECONDS)
    with _sending:
        _on_its_way = False
        # Also to the default action, where what was open has been closed since.
        _send_to_main_thread(number)


def _send_to_main_thread(number: int) -> None:
    if not _handled:
        signal.pthread_kill(threading.main_thread().ident or 0, number)


_waiting: dict[Callable[[], object], object] = {}
"""Functions that wait for their call. Without a lock, which a forked child could find held for ever."""
_made: dict[Callable[[], object], object] = {}
"""C code has the addresses of these objects: they have to live as long as the process."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_waiting.clear)


def call_in_main_thread(function: Callable[[], object]) -> None:
    """Calls it when the main thread next runs Python code, once for all calls until then. What it raises is dropped."""
    if not is_main_interpreter():
        # The main interpreter would call it, with objects of this one.
        return
    request = object()
    if _waiting.setdefault(function, request) is not request:
        return

    def call(argument: object) -> int:
        _waiting.pop(function, None)
        with contextlib.suppress(Exception):
            function()
        return 0

    # No ctypes in a lean build, no C interface in PyPy.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import ctypes

        pending = _made.setdefault(function, ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(call))
        ctypes.pythonapi.Py_AddPendingCall(pending, None)


class _Watch:
    def __init__(self, number: int, handler: Callable[..., object]) -> None:
        self._number = number
        self._handler = handler
        # Imported here: only workers need it, and gevent may have replaced it.
        import socket

        self.reading, self.writing = socket.socketpair()
        self.writing.setblocking(False)

    def run(self) -> None:
        # A program that closes descriptors which it did not open ends this.
        with contextlib.suppress(OSError):
            while numbers := self.reading.recv(64):
                while self._number in numbers and self._sent_again():
                    pass

    def _sent_again(self) -> bool:
        clock.sleep(AGAIN_SECONDS)
        with _sending:
            # The program has set a handler of its own since.
            if _handled or signal.getsignal(self._number) is not self._handler:
                return False
            _send_to_main_thread(self._number)
            return True

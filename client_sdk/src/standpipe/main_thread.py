"""Calls a function in the main thread, from another: Python lets no other thread take a signal.

Through two documented calls of Python's C interface. Where that cannot be had nothing is called, and the process is as
it was. The invariant: the main thread is interrupted at most as by a signal that it ignores.
"""

from __future__ import annotations

import contextlib
import signal
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_pending: list[Callable[[], object]] = []
_made: list[object] = []
"""What C code holds an address of: it has to live as long as the process."""


def call_in_main_thread(function: Callable[[], object]) -> None:
    """Calls it when the main thread next runs Python code, and ends a wait for a lock in which that thread may be.

    What the function raises is dropped. It is not called where the main thread sleeps, or runs code in C, until that
    is over.
    """
    # No ctypes in a lean build, no C interface in PyPy.
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import ctypes

        if not _made:
            _made.append(ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p)(_run_pending))
        _pending.append(function)
        if ctypes.pythonapi.Py_AddPendingCall(_made[0], None) == 0:
            _end_wait_for_lock()


def _run_pending(argument: object) -> int:
    while _pending:
        with contextlib.suppress(Exception):
            _pending.pop(0)()
    return 0


def _end_wait_for_lock() -> None:
    """A wait for a lock (a join, a queue, a future) runs pending calls when a signal with a handler interrupts it.

    SIGURG means nothing to a process that has not asked for it; it gets a handler that does nothing. That of Python
    itself would do more, and can only be set in the main thread.
    """
    import ctypes

    python, main = ctypes.pythonapi, threading.main_thread().ident
    if main is None or not hasattr(signal, "pthread_kill") or not hasattr(signal, "SIGURG"):
        return
    python.PyOS_getsig.restype = python.PyOS_setsig.restype = ctypes.c_void_p
    python.PyOS_setsig.argtypes = [ctypes.c_int, ctypes.c_void_p]
    if python.PyOS_getsig(signal.SIGURG):
        return  # it has a meaning in this process
    # Any function that changes nothing will do: it is called with the signal's number and its answer is dropped.
    nothing = ctypes.cast(python.Py_IsInitialized, ctypes.c_void_p).value
    python.PyOS_setsig(signal.SIGURG, nothing)
    _pending.append(lambda: python.PyOS_setsig(signal.SIGURG, None))
    signal.pthread_kill(main, signal.SIGURG)

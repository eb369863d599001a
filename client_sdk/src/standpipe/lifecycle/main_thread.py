"""Calls a function in the main thread, from another: Python lets no other thread set a signal handler.

Through a documented function of Python's C interface; without it nothing is called. The invariant: the main thread is
not interrupted; one that blocks, sleeps or runs C calls the function afterwards.
"""

from __future__ import annotations

import contextlib
import os

from standpipe.runtime.threads import is_main_interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_waiting: dict[Callable[[], object], object] = {}
"""Functions that wait for their call. Without a lock, which a forked child could find held for ever."""
_made: dict[Callable[[], object], object] = {}
"""Objects whose address C code holds: they have to live as long as the process."""

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

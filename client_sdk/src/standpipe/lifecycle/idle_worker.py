"""Whether a worker has done all that it was given when SIGTERM comes: pools end their idle workers so.

Read from where the main thread stood when the signal came. The invariant: a worker in the middle of a piece of work is
never taken for idle; one that is idle may be taken for busy.
"""

from __future__ import annotations

import sys
import threading

from standpipe.lifecycle.orderly_exit import has_raised, is_worker, multiprocessing_started_this

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

_LOOPS = {
    ("pool", "worker"): "task",
    ("process", "_process_worker"): "call_item",
    ("process_executor", "_process_worker"): "call_item",
}
"""Of multiprocessing, concurrent.futures and loky: they take a piece of work, do it, and begin again. With the variable
that holds the piece."""
_WAITING = ("queues", "connection", "synchronize")
"""Modules in which such a loop waits for work, or hands over what came of it."""
_PACKAGES = ("multiprocessing", "concurrent", "joblib", "loky")


def has_done_its_work(frame: FrameType | None) -> bool:
    """Whether this is a worker that was interrupted between two pieces of work, or behind the last.

    Args:
        frame: the innermost of the main thread.
    """
    if not is_worker() or has_raised() or _other_threads_work():
        return False
    called: FrameType | None = None
    while frame is not None:
        module, function = _module(frame), frame.f_code.co_name
        if (module, function) in _LOOPS:
            return _loop_has_nothing_to_do(frame, called, _LOOPS[(module, function)])
        if (module, function) == ("process", "_bootstrap"):
            # It calls the work as a whole, and then what ends the process. Work that was compiled has no frame.
            return called is not None and called.f_code.co_name != "run"
        called, frame = frame, frame.f_back
    # That function is left: from Python 3.13 on a worker runs its exit handlers then. Work of another library's, or in
    # a greenlet, has none of these frames above it.
    return multiprocessing_started_this() and not _in_greenlet()


def _loop_has_nothing_to_do(loop: FrameType, called: FrameType | None, piece: str) -> bool:
    if called is not None:
        if _module(called) in _WAITING or called.f_code.co_name == "_sendback_result":
            return True
        if not _module(called):
            return False
    # The loop stands between two of its own calls. What `result` holds is there once the work is done.
    return loop.f_locals.get(piece) is None or loop.f_locals.get("result") is not None


def _in_greenlet() -> bool:
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None


def _other_threads_work() -> bool:
    return any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate())


def _module(frame: FrameType) -> str:
    """The last part of the name of a frame's module, where it is one of the libraries'."""
    name = str(frame.f_globals.get("__name__", "")).split(".")
    return name[-1] if name[0] in _PACKAGES else ""

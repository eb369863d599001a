"""Whether a worker is idle when SIGTERM comes: pools end their idle workers so.

Read from the stack of the main thread when the signal came. The invariant: a worker with an unfinished task never
counts as idle; an idle one may count as busy.
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
"""The worker loops of multiprocessing, concurrent.futures and loky, with the variable that holds the task."""
_WAITING = ("queues", "connection", "synchronize")
"""Modules in which such a loop waits for a task, or returns a result."""
_PACKAGES = ("multiprocessing", "concurrent", "joblib", "loky")


def is_idle_worker(frame: FrameType | None) -> bool:
    """Whether this is a worker whose main thread, in `frame`, was interrupted between two tasks, or after the last."""
    if not is_worker() or has_raised() or _other_threads_work():
        return False
    called: FrameType | None = None
    while frame is not None:
        module, function = _module(frame), frame.f_code.co_name
        if (module, function) in _LOOPS:
            return _is_loop_idle(frame, called, _LOOPS[(module, function)])
        if (module, function) == ("process", "_bootstrap"):
            # It calls the task as a whole, and then what ends the process. Compiled code has no frame.
            return called is not None and called.f_code.co_name != "run"
        called, frame = frame, frame.f_back
    # That function has returned: from Python 3.13 on a worker then runs its exit handlers. A task of another library,
    # or in a greenlet, has none of these frames above it.
    return multiprocessing_started_this() and not _in_greenlet()


def _is_loop_idle(loop: FrameType, called: FrameType | None, variable: str) -> bool:
    if called is not None:
        if _module(called) in _WAITING or called.f_code.co_name == "_sendback_result":
            return True
        if not _module(called):
            return False
    # The loop is between two of its own calls. `result` is set once the task is done.
    return loop.f_locals.get(variable) is None or loop.f_locals.get("result") is not None


def _in_greenlet() -> bool:
    greenlet = sys.modules.get("greenlet")
    return greenlet is not None and greenlet.getcurrent().parent is not None


def _other_threads_work() -> bool:
    return any(not thread.daemon and thread is not threading.main_thread() for thread in threading.enumerate())


def _module(frame: FrameType) -> str:
    """The last part of the name of a frame's module, where it belongs to one of the libraries."""
    name = str(frame.f_globals.get("__name__", "")).split(".")
    return name[-1] if name[0] in _PACKAGES else ""

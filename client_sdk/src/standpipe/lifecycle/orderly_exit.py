"""How a process ends that does not close its context: in order, by an exception, or unknown.

A worker of multiprocessing catches what its task raises and may leave past the interpreter's exit handlers; no handler
gets the status with which the main program of a child calls `sys.exit`. The invariant: a process counts as ended in
order only where that is known, and a worker with an unfinished task never counts as idle.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Mapping
from opcode import opname

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType

_COMMAND_LINES = frozenset({"click", "typer", "asyncclick"})
_LOOPS = {
    ("pool", "worker"): "task",
    ("process", "_process_worker"): "call_item",
    ("process_executor", "_process_worker"): "call_item",
}
"""The worker loops of multiprocessing, concurrent.futures and loky, with the variable that holds the task."""
_WAITING = ("queues", "connection", "synchronize")
"""Modules in which such a loop waits for a task, or returns a result."""
_PACKAGES = ("multiprocessing", "concurrent", "joblib", "loky")


def is_worker() -> bool:
    """Whether multiprocessing started this process, or a library that uses its finalizers: concurrent.futures, loky,
    and Celery's billiard."""
    billiard = sys.modules.get("billiard.process")
    if billiard is not None and getattr(billiard.current_process(), "_parent_pid", None) is not None:
        return True
    return multiprocessing_started_this()


def multiprocessing_started_this() -> bool:
    """Whether multiprocessing itself started this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def has_raised() -> bool:
    """Whether the task of this worker is known to have raised."""
    return not all(is_clean_exit(one) for one in (*_unwinding(), *_worker.raised))


def _unwinding() -> list[BaseException]:
    """The exceptions of the task while they unwind in multiprocessing's own function. An exception that is caught
    further in, such as a missing module, does not concern the task."""
    chain: list[BaseException] = []
    handled = sys.exc_info()[1]
    while handled is not None and handled not in chain:
        chain.append(handled)
        handled = handled.__context__
    places = ((one, one.__traceback__) for one in chain)
    return [one for one, place in places if place is not None and place.tb_frame.f_code.co_name == "_bootstrap"]


class OrderlyEnd:
    """Watches the end of a process, from the opening of a producer on: one that was forked with a context (`forked`),
    or has a process above it that has the invocation open (`child`). `ignored` was being handled at the fork."""

    def __init__(self, *, forked: bool, child: bool, ignored: BaseException | None = None) -> None:
        self._forked = forked
        self._child = child
        # Nor is the exception that an interactive session printed before it forked.
        self._ignored = (ignored, getattr(sys, "last_value", None))
        self._worker = is_worker()
        self._main: FrameType | None = None
        if self._worker:
            _worker.watch()
        elif child and not forked:
            self._main = _main_frame()

    @property
    def is_known(self) -> bool:
        """Whether the process may be closed at its end: with `raised`, or as clean where that is None. Never the first
        process of an invocation: it may have forgotten to, or have died on the way."""
        if self._worker:
            return _worker.can_see or self._seen() is not None
        if not self._child:
            return self._forked
        return self._forked or self._seen() is not None or (self._main is not None and _has_returned(self._main))

    @property
    def raised(self) -> BaseException | None:
        """The exception that ends the process, where it is visible: unwinding a worker, or uncaught and printed."""
        raised = self._seen()
        return None if is_clean_exit(raised) else raised

    def _seen(self) -> BaseException | None:
        seen = (sys.exc_info()[1], *_worker.raised, getattr(sys, "last_value", None))
        return next((one for one in seen if not any(one is other for other in (None, *self._ignored))), None)


class _Worker:
    """Watches multiprocessing's own function for the exception of a task."""

    def __init__(self) -> None:
        self._pid = 0
        self.raised: list[BaseException] = []
        self.can_see = True

    def watch(self) -> None:
        """Watches, once a process. Until Python 3.12 the finalizers run while the task's exception unwinds; from 3.13
        on it is gone then."""
        if self._pid != os.getpid():
            self._pid, self.raised = os.getpid(), []
            if sys.version_info >= (3, 13):
                self.can_see = self._watch_lines()

    if sys.version_info >= (3, 13):

        def _watch_lines(self) -> bool:
            from multiprocessing.process import BaseProcess

            monitoring = sys.monitoring
            # A worker that a worker forked watches already.
            mine = [number for number in range(6) if monitoring.get_tool(number) == __name__]
            free = [number for number in (4, 3, 5, 0, 1, 2) if monitoring.get_tool(number) is None]
            if not mine and not free:
                return False
            tool = (mine or free)[0]
            if not mine:
                monitoring.use_tool_id(tool, __name__)
            monitoring.register_callback(tool, monitoring.events.LINE, self._note)
            # Of this one function, so that the task itself pays nothing.
            monitoring.set_local_events(tool, BaseProcess._bootstrap.__code__, monitoring.events.LINE)  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]  not in the stubs
            return True

        def _note(self, code: CodeType, line: int) -> None:
            raised = sys.exc_info()[1]
            if raised is not None and not any(raised is one for one in self.raised):
                self.raised.append(raised)


_worker = _Worker()


def _main_frame() -> FrameType | None:
    """The outermost frame of the main thread: the program as a whole."""
    frame = sys._current_frames().get(threading.main_thread().ident or 0)  # pyright: ignore[reportPrivateUsage]  documented
    while frame is not None and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _has_returned(frame: FrameType) -> bool:
    """Whether a frame was left by its end, and not by an exception, of which `sys.exit` is one."""
    code = frame.f_code.co_code
    return 0 <= frame.f_lasti < len(code) and opname[code[frame.f_lasti]].startswith("RETURN_")


def is_no_failure(exc: object) -> bool:
    """Whether the argument of `close` stands for no failure."""
    if isinstance(exc, BaseException):
        # `sys.exit()` and `sys.exit(0)` are a normal end.
        return is_clean_exit(exc)
    # Dagster takes an empty dictionary for no exception.
    return exc is None or (isinstance(exc, Mapping) and not exc)


def is_clean_exit(error: BaseException | None) -> bool:
    """Whether this is a normal end: no exception, or an exit with status 0."""
    match error:
        case None:
            return True
        case SystemExit():
            return _is_status_zero(error.code)
        case _:
            return _is_exit_of_a_command_line(type(error)) and _is_status_zero(getattr(error, "exit_code", 1))


def _is_exit_of_a_command_line(kind: type[BaseException]) -> bool:
    """Whether it is the exception by which click and typer end a command; recognised by its name, since neither is
    imported here. `Abort` and usage errors are other exceptions."""
    return any(base.__name__ == "Exit" and base.__module__.partition(".")[0] in _COMMAND_LINES for base in kind.__mro__)


def _is_status_zero(code: object) -> bool:
    # 0.0 and numpy's 0 equal 0, and the interpreter prints them and ends with status 1.
    return code is None or (isinstance(code, int) and code == 0)


def is_idle_worker(frame: FrameType | None) -> bool:
    """Whether this is a worker that was interrupted, in this frame of its main thread, between two tasks or after the
    last."""
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

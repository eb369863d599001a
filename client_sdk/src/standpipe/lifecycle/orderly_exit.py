"""How a process ends that nobody asks to close: in order, by an exception, or in a way that tells nothing.

A worker of multiprocessing swallows what its work raises and may leave past the handlers of the interpreter's end; the
main program of a child says with `sys.exit` what no handler is told. The invariant: what is not known to have ended in
order does not look like it.
"""

from __future__ import annotations

import os
import sys
import threading
from opcode import opname

from standpipe.context.rules import is_clean_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType, FrameType


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
    """Whether the work of this worker is known to have raised."""
    return not all(is_clean_exit(one) for one in (*_unwinding(), *_worker.raised))


def _unwinding() -> list[BaseException]:
    """What the work raised, as long as that unwinds: from multiprocessing's own function, where it is handled.

    What is handled further in, such as a module that is not installed, does not concern the work.
    """
    found: list[BaseException] = []
    handled = sys.exc_info()[1]
    while handled is not None and handled not in found:
        found.append(handled)
        handled = handled.__context__
    places = ((one, one.__traceback__) for one in found)
    return [one for one, place in places if place is not None and place.tb_frame.f_code.co_name == "_bootstrap"]


class OrderlyEnd:
    """Watches the end of a process, from the opening of a producer on.

    Args:
        forked: whether this process shares the context of the one that forked it.
        child: whether a process above this one has the invocation open.
        ignored: what was being handled when this process was forked; it is no exception of this process.
    """

    def __init__(self, *, forked: bool, child: bool, ignored: BaseException | None = None) -> None:
        self._forked = forked
        self._child = child
        # What was printed before, in an interactive session that forks, is none either.
        self._ignored = (ignored, getattr(sys, "last_value", None))
        self._worker = is_worker()
        self._main: FrameType | None = None
        if self._worker:
            _worker.watch()
        elif child and not forked:
            self._main = _main_frame()

    @property
    def is_known(self) -> bool:
        """Whether the process may be closed at its end: with `raised`, or as clean where that is None.

        Never the first process of an invocation: it may have forgotten to, or have died on the way.
        """
        if self._worker:
            return _worker.can_see or self._seen() is not None
        if not self._child:
            return self._forked
        return self._forked or self._seen() is not None or (self._main is not None and _has_returned(self._main))

    @property
    def raised(self) -> BaseException | None:
        """What ends the process, as far as it can be seen: unwinding a worker, or uncaught and printed."""
        raised = self._seen()
        return None if is_clean_exit(raised) else raised

    def _seen(self) -> BaseException | None:
        seen = (sys.exc_info()[1], *_worker.raised, getattr(sys, "last_value", None))
        return next((one for one in seen if not any(one is other for other in (None, *self._ignored))), None)


class _Worker:
    """What is left of multiprocessing's own function to run when the work of this process is over."""

    def __init__(self) -> None:
        self._pid = 0
        self.raised: list[BaseException] = []
        self.can_see = True

    def watch(self) -> None:
        """Until Python 3.12 the finalizers run while what the work raised unwinds; from 3.13 on it is forgotten then.

        Once a process.
        """
        if self._pid != os.getpid():
            self._pid, self.raised = os.getpid(), []
            if sys.version_info >= (3, 13):
                self.can_see = self._watch_lines()

    if sys.version_info >= (3, 13):

        def _watch_lines(self) -> bool:
            from multiprocessing.process import BaseProcess

            monitoring = sys.monitoring
            # A worker that was forked by a worker has the watch already.
            mine = [number for number in range(6) if monitoring.get_tool(number) == __name__]
            free = [number for number in (4, 3, 5, 0, 1, 2) if monitoring.get_tool(number) is None]
            if not mine and not free:
                return False
            tool = (mine or free)[0]
            if not mine:
                monitoring.use_tool_id(tool, __name__)
            monitoring.register_callback(tool, monitoring.events.LINE, self._note)
            # Of this one function, so that the work itself pays nothing.
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

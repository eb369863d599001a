"""What concerns all outboxes of a process at once: a fork, and the end of the process.

The invariant: a fork never happens while a background thread is in the middle of an import, and no process ends in an
orderly way with messages that are neither delivered nor spooled.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import weakref

from standpipe.lifecycle.orderly_exit import is_worker
from standpipe.runtime import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from standpipe.delivery.outbox import Outbox

LAST = -100
"""After the finalizers of other modules, and after a worker's own children were waited for."""
_open_outboxes: weakref.WeakValueDictionary[int, Outbox] = weakref.WeakValueDictionary()
_hooks_installed = False
_threads_are_awaited = False
_at_exit: set[Callable[[], object]] = set()
_at_worker_end: set[tuple[int, Callable[[], object]]] = set()


def watch(outbox: Outbox) -> None:
    """From now on the outbox is told of forks and of the end of the process."""
    _open_outboxes[id(outbox)] = outbox
    install()


def install() -> None:
    """Hooks into forks and the end of the process. Exit handlers run in reverse, so this is done where a program opens:
    what its own handlers, registered after that, still report is then delivered."""
    global _hooks_installed  # noqa: PLW0603  hooks of the interpreter are process-wide by nature
    if not _hooks_installed:
        _hooks_installed = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
    call_at_end(close_all)


def call_at_end(function: Callable[[], object]) -> None:
    """Calls back at the end of this process, once, however often it was asked for."""
    if function not in _at_exit:
        _at_exit.add(function)
        atexit.register(function)
    # Workers of multiprocessing may leave by os._exit, past atexit, but run their own finalizers first.
    if is_worker() and (os.getpid(), function) not in _at_worker_end:
        _at_worker_end.add((os.getpid(), function))
        from multiprocessing.util import Finalize

        Finalize(None, function, exitpriority=LAST)


def close_before_threads_are_awaited() -> None:
    """For a subinterpreter, which waits for its threads before its exit handlers run: `close_all` ends them first.

    Raises:
        RuntimeError: it is waiting already.
    """
    global _threads_are_awaited  # noqa: PLW0603  as above
    if not _threads_are_awaited:
        # What concurrent.futures uses for its own threads.
        threading._register_atexit(close_all)  # type: ignore[attr-defined]  # pyright: ignore
        _threads_are_awaited = True


def close_all() -> None:
    """What was reported is delivered or spooled, all in the time for one, and children that end in order are closed.

    No `closed` is sent for the first process of an invocation: a program that forgot to close, or died on the way, must
    not look as if it had finished.
    """
    outboxes = [outbox for outbox in _outboxes() if not outbox.closed]
    until = clock.monotonic() + max((outbox.close_seconds for outbox in outboxes), default=0.0)
    for outbox in outboxes:
        with _logging_errors():
            # Hurries it. Their threads deliver at once, so that a server which is away holds up none of the others.
            outbox.flush(0.0)
    for outbox in outboxes:
        with _logging_errors():
            outbox.close_at_end(max(until - clock.monotonic(), 0.0))


@contextlib.contextmanager
def _logging_errors() -> Generator[None]:
    """What goes wrong with one must not cost the others."""
    try:
        yield
    except Exception:
        import logging

        logging.getLogger("standpipe.outbox").exception("What was reported could not be delivered at the end.")


def _outboxes() -> list[Outbox]:
    # The references are copied in one step: other threads may open and close in the middle of any longer walk.
    return [outbox for reference in _open_outboxes.valuerefs() if (outbox := reference()) is not None]


def _before_fork() -> None:
    for outbox in _outboxes():
        outbox.wait_until_imported()


def _after_fork_in_child() -> None:
    for outbox in _outboxes():
        outbox.begin_in_child()

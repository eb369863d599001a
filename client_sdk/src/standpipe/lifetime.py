"""What concerns all outboxes of a process at once: a fork, and the end of the process.

The invariant: a fork never happens while a background thread is in the middle of an import, and no process ends in an
orderly way with messages that are neither delivered nor spooled.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys
import time
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Generator

    from standpipe.outbox import Outbox

_open_outboxes: weakref.WeakValueDictionary[int, Outbox] = weakref.WeakValueDictionary()
_hooks_installed = False


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
        atexit.register(close_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)


def close_at_end_of_multiprocessing_child(outbox: Outbox) -> None:
    """Children of multiprocessing leave by os._exit, past atexit, but run their own finalizers first."""
    util = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, outbox.close_child, exitpriority=100)


def close_all() -> None:
    """At the end of the process: what was reported is delivered or spooled, all of it in the time for one.

    No `closed` is sent but for forked children, which are not asked to close: a program that forgot to, or died on the
    way, must not look as if it had finished.
    """
    outboxes = [outbox for outbox in _outboxes() if not outbox.closed]
    until = time.monotonic() + max((outbox.close_seconds for outbox in outboxes), default=0.0)
    for outbox in outboxes:
        with _logging_errors():
            # Hurries it. Their threads deliver at once, so that a server which is away holds up none of the others.
            outbox.flush(0.0)
    for outbox in outboxes:
        with _logging_errors():
            outbox.close_child(max(until - time.monotonic(), 0.0))


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

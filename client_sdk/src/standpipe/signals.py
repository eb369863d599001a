"""SIGTERM, the way in which schedulers, containers and launchers end a process: told to the server before it works.

Taken only where nobody else takes it (the default action is in place), in the main thread, and while a context is open.
The process then ends by the signal as it would have, so that whoever waits for it sees what he expects.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import weakref

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType

    from standpipe.context import PipesContext

TERMINATION_SECONDS = 5.0
"""How long a process that was told to terminate delivers; what is undelivered then waits on disk."""

_open: weakref.WeakSet[PipesContext] = weakref.WeakSet()
_owner = 0
"""The process that opened them. A forked child inherits the handler, but `Pool.terminate()` ends idle workers so, which
says nothing of the work: there the signal acts as it would without us."""


def tell_of_termination(context: PipesContext) -> None:
    """From now on SIGTERM closes the context with an exception first."""
    global _owner  # noqa: PLW0603  signals are process-wide by nature
    if threading.current_thread() is not threading.main_thread():
        return
    if _owner != os.getpid():
        _open.clear()
        _owner = os.getpid()
    if signal.getsignal(signal.SIGTERM) == signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _on_termination)
    _open.add(context)


def forget(context: PipesContext) -> None:
    """The context was closed; with the last one the signal is left alone again."""
    _open.discard(context)
    alone = not _open and threading.current_thread() is threading.main_thread()
    if alone and signal.getsignal(signal.SIGTERM) is _on_termination:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _on_termination(number: int, frame: FrameType | None) -> None:
    # First, so that a second signal ends the process at once.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    from standpipe_protocol.messages import PipesException

    told = PipesException(message="The process was told to terminate (SIGTERM).", stack=(), name="SIGTERM")
    for context in list(_open) if _owner == os.getpid() else ():
        # Whatever goes wrong with the report, the process has to end.
        with contextlib.suppress(Exception):
            context.close(told, timeout=TERMINATION_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)

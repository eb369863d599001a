"""SIGTERM, the way in which schedulers, containers and launchers end a process: told to the server before it works.

Taken only where nobody else takes it (the default action is in place), in the main thread, and while a context is open.
The process then ends by the signal as it would have, so that whoever waits for it sees what he expects.

A forked child gets the default action back: `Pool.terminate()` ends idle workers so, which says nothing of the work.
The signal is held back over the fork, because a child in which it arrives before the interpreter is set up forgets it,
and whoever waits for the child then waits for ever.
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
_hooks_installed = False


class _Held(threading.local):
    """The signals that the thread that forks had blocked before; None while the signal is not ours."""

    mask: set[int] | None = None


_held = _Held()


def tell_of_termination(context: PipesContext) -> None:
    """From now on SIGTERM closes the context with an exception first."""
    if threading.current_thread() is not threading.main_thread():
        return
    _install_hooks()
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
    for context in list(_open):
        # Whatever goes wrong with the report, the process has to end.
        with contextlib.suppress(Exception):
            context._signal = "SIGTERM"  # pyright: ignore[reportPrivateUsage]  the same distribution
            context.close(told, timeout=TERMINATION_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _install_hooks() -> None:
    global _hooks_installed  # noqa: PLW0603  hooks of the interpreter are process-wide by nature
    if not _hooks_installed and hasattr(os, "register_at_fork"):
        _hooks_installed = True
        os.register_at_fork(before=_hold, after_in_parent=_let_go, after_in_child=_leave_to_child)


def _hold() -> None:
    if signal.getsignal(signal.SIGTERM) is _on_termination:
        _held.mask = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})}


def _let_go() -> None:
    mask, _held.mask = _held.mask, None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _leave_to_child() -> None:
    _open.clear()
    if signal.getsignal(signal.SIGTERM) is _on_termination:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_go()

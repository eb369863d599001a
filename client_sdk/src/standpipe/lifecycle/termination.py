"""SIGTERM, the way in which schedulers, containers and launchers end a process: told to the server before it works.

Taken only where nothing else takes it (the default action is in place), and while a context is open, or after
`take_sigterm`. The process then ends by the signal as it would have, so that its parent sees what it expects.
The invariant: once the signal has come the process ends, within `TERMINATION_SECONDS` and a little.

A forked child gets the default action back until it opens: `Pool.terminate()` ends idle workers so, which says nothing
of the work. A worker that has opened, and has done all that it was given, is closed without an exception.
The signal is held back over the fork, because a child in which it arrives before the interpreter is set up forgets it,
and whoever waits for the child then waits for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import weakref

from standpipe.errors import DagsterPipesError
from standpipe.lifecycle import signal_redelivery as late_signals
from standpipe.lifecycle.idle_worker import has_done_its_work
from standpipe.lifecycle.orderly_exit import is_worker
from standpipe.runtime import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

    from standpipe.context.pipes_context import PipesContext

TERMINATION_SECONDS = 5.0
"""How long a process that was told to terminate delivers; what is undelivered then waits on disk."""
OUTPUT_SECONDS = 1.0
"""How long it writes out what it has printed."""

_open: weakref.WeakValueDictionary[int, PipesContext] = weakref.WeakValueDictionary()
_hooks_installed = False
_stays = False
"""Whether the signal is taken also while nothing is open."""
_give_up_at: float | None = None
"""When a process that stays in a lock of the import system ends without a word."""


class _Held(threading.local):
    """The signals that the thread that forks had blocked before; None while the signal is not ours."""

    mask: set[int] | None = None


_held = _Held()


def tell_of_termination(context: PipesContext) -> None:
    """From now on SIGTERM closes the context with an exception first."""
    _install_hooks()
    _open[id(context)] = context
    if threading.current_thread() is threading.main_thread():
        _take_signal()
    elif _is_free():
        from standpipe.lifecycle.main_thread import call_in_main_thread

        call_in_main_thread(_take_signal)


def take_sigterm() -> None:
    """From now on SIGTERM closes every open context, in whichever thread it was opened, and ends the process.

    For a program whose main thread opens nothing and waits for others: Python lets only the main thread take a signal,
    and one that waits cannot be asked to. Call it there, before the threads start. A program that takes the signal
    itself keeps it.

    Raises:
        DagsterPipesError: this is another thread.
    """
    global _stays  # noqa: PLW0603  what becomes of a signal concerns the process
    if threading.current_thread() is not threading.main_thread():
        raise DagsterPipesError(
            f"Calling `take_sigterm` in thread `{threading.current_thread().name}` is undefined. Only the main thread"
            " can take a signal: call it there."
        )
    _install_hooks()
    _stays = True
    if not _take_signal():
        _stays = False
        raise DagsterPipesError(
            "Calling `take_sigterm` in a subinterpreter is undefined. Only the main interpreter of a process can take"
            " a signal: call it there."
        )


def forget(context: PipesContext) -> None:
    """The context was closed; with the last one the signal is left alone again."""
    _open.pop(id(context), None)
    alone = not _open and not _stays and threading.current_thread() is threading.main_thread()
    if alone and signal.getsignal(signal.SIGTERM) is _on_termination:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_free() -> bool:
    return signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def _take_signal() -> bool:
    """False where Python takes no signal: in a subinterpreter, whose main thread is not that of the process."""
    # What was open may be closed by now, and a forked child has nothing open.
    if (_open or _stays) and _is_free():
        try:
            signal.signal(signal.SIGTERM, _on_termination)
        except ValueError:
            return False
        # What terminates a worker waits for it, with no end, and has no second word for it.
        if is_worker():
            late_signals.watch_for(signal.SIGTERM, _on_termination)
    return True


def _on_termination(number: int, frame: FrameType | None) -> None:
    global _give_up_at  # noqa: PLW0603  as above
    if late_signals.holds_import_lock(frame):
        now = clock.monotonic()
        _give_up_at = _give_up_at or now + TERMINATION_SECONDS
        # Without a thread that sends it again the process has to end here, as it has if this takes too long.
        with contextlib.suppress(RuntimeError):
            if now < _give_up_at:
                late_signals.send_soon(number)
                return
        _end_at_once(number)
    # First, so that a second signal ends the process at once: one from outside, not that of the watch.
    late_signals.handler_runs()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        _close_all(signal.Signals(number).name, is_failure=not has_done_its_work(frame))
    finally:
        _end_by(number)


def _close_all(name: str, *, is_failure: bool) -> None:
    """Closes what is open, all in the time for one: the threads that deliver do so at once."""
    from standpipe_protocol.messages import PipesException

    reason = PipesException(message=f"The process was told to terminate ({name}).", name=name) if is_failure else None
    until = clock.monotonic() + TERMINATION_SECONDS
    contexts = [context for reference in _open.valuerefs() if (context := reference()) is not None]
    waits: list[Callable[[float], object]] = []
    for number, context in enumerate(contexts):
        share = max(until - clock.monotonic(), 0.0) / (len(contexts) - number)
        # Whatever goes wrong with the report, the process has to end.
        with contextlib.suppress(Exception):
            waits.append(context._begin_termination(reason, signal=name, seconds=share))  # pyright: ignore[reportPrivateUsage]  the same distribution
    for wait in waits:
        with contextlib.suppress(Exception):
            wait(max(until - clock.monotonic(), 0.0))


def _end_by(number: int) -> None:
    """Ends the process by the signal; without exit handlers, as signals do."""
    _write_out()
    _end_at_once(number)


def _end_at_once(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    # Only the first process of a container comes here: for that one the system knows no default action.
    os._exit(128 + number)


def _write_out() -> None:
    """Writes what the streams hold back, as far as it goes: a reader that hangs, or a print that the signal has
    interrupted, must not hold up the end."""
    # No thread at a limit.
    with contextlib.suppress(RuntimeError):
        writing = threading.Thread(target=_flush_streams, name="standpipe-output", daemon=True)
        writing.start()
        writing.join(OUTPUT_SECONDS)


def _flush_streams() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


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
    global _stays  # noqa: PLW0603  as above
    _open.clear()
    _stays = False
    if signal.getsignal(signal.SIGTERM) is _on_termination:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    late_signals.leave_to_child()
    _let_go()

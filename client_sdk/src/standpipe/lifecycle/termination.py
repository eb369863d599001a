"""SIGTERM, by which schedulers, containers and launchers end a process: open contexts are closed before it ends.

Handled only where the program has no handler of its own (the default action is in place), and while a context is open,
or after `take_sigterm`. The process then ends by the signal as it would have, so that its parent sees what it expects.
The invariant: once the signal has come the process ends, within `TERMINATION_SECONDS` and a little.

A forked child gets the default action back until it opens: `Pool.terminate()` ends idle workers so, which says nothing
of the work. A worker that has opened and has finished its work is closed without an exception. The signal is blocked
during a fork: a child that gets it before its interpreter is set up loses it, and its parent would wait for ever.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import weakref

from standpipe.errors import DagsterPipesError
from standpipe.lifecycle import signal_redelivery
from standpipe.lifecycle.orderly_exit import is_idle_worker, is_worker
from standpipe.runtime import clock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType
    from typing import Protocol

    from standpipe_protocol.members import PipesException

    class Terminable(Protocol):
        """What SIGTERM closes."""

        def _begin_termination(
            self, reason: PipesException | None, *, signal: str, seconds: float
        ) -> Callable[[float], object]:
            """Reports the end; returns what waits for the delivery, so many seconds."""
            ...


TERMINATION_SECONDS = 5.0
"""How long a terminated process delivers; what is undelivered then waits on disk."""
OUTPUT_SECONDS = 1.0
"""How long it flushes its output."""

_open: weakref.WeakValueDictionary[int, Terminable] = weakref.WeakValueDictionary()
_hooks_installed = False
_is_permanent = False
"""Whether the signal is handled also while no context is open."""
_give_up_at: float | None = None
"""When a process that stays in a lock of the import system ends without a report."""


class _Blocked(threading.local):
    """The signals that the thread that forks had blocked before; None while the signal is not handled here."""

    mask: set[int] | None = None


_blocked = _Blocked()


def close_on_sigterm(context: Terminable) -> None:
    """From now on SIGTERM closes the context with an exception before the process ends."""
    _install_hooks()
    _open[id(context)] = context
    if threading.current_thread() is threading.main_thread():
        _take_signal()
    elif _is_free():
        signal_redelivery.call_in_main_thread(_take_signal)


def take_sigterm() -> None:
    """From now on SIGTERM closes every open context, in whichever thread it was opened, and ends the process.

    For a program whose main thread opens nothing and waits for others: Python lets only the main thread take a signal,
    and one that waits cannot be asked to. Call it there, before the threads start. A program that takes the signal
    itself keeps it.

    Raises:
        DagsterPipesError: this is another thread.
    """
    global _is_permanent  # noqa: PLW0603  what becomes of a signal concerns the process
    if threading.current_thread() is not threading.main_thread():
        raise DagsterPipesError(
            f"Calling `take_sigterm` in thread `{threading.current_thread().name}` is undefined. Only the main thread"
            " can take a signal: call it there."
        )
    _install_hooks()
    _is_permanent = True
    if not _take_signal():
        _is_permanent = False
        raise DagsterPipesError(
            "Calling `take_sigterm` in a subinterpreter is undefined. Only the main interpreter of a process can take"
            " a signal: call it there."
        )


def release(context: Terminable) -> None:
    """The context was closed; after the last one the signal has its default action again."""
    _open.pop(id(context), None)
    is_last = not _open and not _is_permanent and threading.current_thread() is threading.main_thread()
    if is_last and signal.getsignal(signal.SIGTERM) is _on_termination:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _is_free() -> bool:
    return signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def _take_signal() -> bool:
    """False where Python takes no signal: in a subinterpreter, which has not the main thread of the process."""
    # What was open may be closed by now, and a forked child has nothing open.
    if (_open or _is_permanent) and _is_free():
        try:
            signal.signal(signal.SIGTERM, _on_termination)
        except ValueError:
            return False
        # A pool that terminates a worker waits for it without end, and sends no second signal.
        if is_worker():
            signal_redelivery.watch_for(signal.SIGTERM, _on_termination)
    return True


def _on_termination(number: int, frame: FrameType | None) -> None:
    global _give_up_at  # noqa: PLW0603  as above
    if signal_redelivery.holds_import_lock(frame):
        now = clock.monotonic()
        _give_up_at = _give_up_at or now + TERMINATION_SECONDS
        # The process ends here without a thread that sends the signal again, or if this takes too long.
        with contextlib.suppress(RuntimeError):
            if now < _give_up_at:
                signal_redelivery.send_soon(number)
                return
        _end_at_once(number)
    # First, so that a second signal ends the process at once: one from outside, not that of the watch.
    signal_redelivery.note_handler_runs()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        _close_all(signal.Signals(number).name, is_failure=not is_idle_worker(frame))
    finally:
        _flush_and_end(number)


def _close_all(name: str, *, is_failure: bool) -> None:
    """Closes what is open, all in the time for one: the threads that deliver do so at once."""
    from standpipe_protocol.members import PipesException

    reason = PipesException(message=f"The process was told to terminate ({name}).", name=name) if is_failure else None
    until = clock.monotonic() + TERMINATION_SECONDS
    contexts = [context for reference in _open.valuerefs() if (context := reference()) is not None]
    waits: list[Callable[[float], object]] = []
    for number, context in enumerate(contexts):
        share = max(until - clock.monotonic(), 0.0) / (len(contexts) - number)
        # The process has to end, also when the report fails.
        with contextlib.suppress(Exception):
            waits.append(context._begin_termination(reason, signal=name, seconds=share))  # pyright: ignore[reportPrivateUsage]  the same distribution
    for wait in waits:
        with contextlib.suppress(Exception):
            wait(max(until - clock.monotonic(), 0.0))


def _flush_and_end(number: int) -> None:
    """Ends the process by the signal; without exit handlers, as signals do."""
    _flush_output()
    _end_at_once(number)


def _end_at_once(number: int) -> None:
    signal.signal(number, signal.SIG_DFL)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {number})
    os.kill(os.getpid(), number)
    # Only the first process of a container comes here: for that one the system knows no default action.
    os._exit(128 + number)


def _flush_output() -> None:
    """Flushes the streams, boundedly: a reader that hangs, or a print that the signal has interrupted, must not delay
    the end."""
    # At a limit there is no thread.
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
        os.register_at_fork(before=_block, after_in_parent=_unblock, after_in_child=_reset_in_child)


def _block() -> None:
    if signal.getsignal(signal.SIGTERM) is _on_termination:
        _blocked.mask = {int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})}


def _unblock() -> None:
    mask, _blocked.mask = _blocked.mask, None
    if mask is not None:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _reset_in_child() -> None:
    global _is_permanent  # noqa: PLW0603  as above
    _open.clear()
    _is_permanent = False
    if signal.getsignal(signal.SIGTERM) is _on_termination:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal_redelivery.reset_in_child()
    _unblock()

"""Threads in the background, of the kind that an interpreter can have.

The end of a program waits for none of them; they are daemon threads. The end of a subinterpreter has to: Python aborts
the process when one of its threads is still there, and an isolated one has no daemon threads at all. There they are
plain threads, and what is open is closed first. The invariant: none of them keeps an interpreter from ending.
"""

from __future__ import annotations

import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def background_thread(target: Callable[..., object], *, name: str, args: tuple[object, ...] = ()) -> threading.Thread:
    """A thread that is not started yet.

    Raises:
        RuntimeError: this interpreter is at its end.
    """
    is_daemon = is_main_interpreter()
    if not is_daemon:
        from standpipe.lifecycle import process_hooks as lifetime

        lifetime.close_before_threads_are_awaited()
    return threading.Thread(target=target, args=args, name=name, daemon=is_daemon)


def is_main_interpreter() -> bool:
    """Whether this is the interpreter in which the process began, the only one of most."""
    try:
        import _interpreters as interpreters  # pyright: ignore
    except ImportError:
        try:
            import _xxsubinterpreters as interpreters  # pyright: ignore
        except ImportError:
            # Where there is nothing to make another one with, as in PyPy, there is one.
            return True
    return bool(interpreters.get_current() == interpreters.get_main())  # pyright: ignore

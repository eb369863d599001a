"""Background threads, which of them send, and a lock that is waited for boundedly.

Background threads are daemon threads, so the end of a program waits for none of them. The end of a subinterpreter has
to: Python aborts the process when one of its threads is still there, and an isolated one has no daemon threads at all.
There they are plain threads, and what is registered with `call_before_threads_are_joined` ends them first. The
invariant: no background thread keeps an interpreter from ending.
"""

from __future__ import annotations

import contextlib
import os
import threading

from standpipe.runtime.clock import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator

_sending: set[int] = set()
_before_join: list[Callable[[], object]] = []
_is_hooked = False


def background_thread(target: Callable[[], object], *, name: str) -> threading.Thread:
    """A thread that is not started yet; raises RuntimeError when this interpreter is at its end."""
    global _is_hooked  # noqa: PLW0603  hooks of the interpreter are process-wide by nature
    is_daemon = is_main_interpreter()
    if not is_daemon and not _is_hooked:
        # What concurrent.futures uses for its own threads.
        threading._register_atexit(_call_before_join)  # type: ignore[attr-defined]  # pyright: ignore
        _is_hooked = True
    return threading.Thread(target=target, name=name, daemon=is_daemon)


def call_before_threads_are_joined(function: Callable[[], object]) -> None:
    """Registers what ends the background threads of a subinterpreter, which joins them before its exit handlers run."""
    _before_join.append(function)


def is_main_interpreter() -> bool:
    """Whether this is the interpreter in which the process began, the only one of most."""
    try:
        import _interpreters as interpreters  # pyright: ignore
    except ImportError:
        try:
            import _xxsubinterpreters as interpreters  # pyright: ignore
        except ImportError:
            # PyPy can make no other interpreter.
            return True
    return bool(interpreters.get_current() == interpreters.get_main())  # pyright: ignore


class BackgroundThread:
    """At most one running thread of an owner, which starts it and joins it."""

    def __init__(self, target: Callable[[], object], *, name: str) -> None:
        self._target = target
        self._name = name
        self._thread: threading.Thread | None = None

    def start(self) -> bool:
        """Starts the thread unless it runs; False where the process gets no further thread."""
        if self.is_alive:
            return True
        # Made here: in a forked child gevent may have replaced what threads are. Known before it runs: a fork waits for
        # what it imports.
        try:
            self._thread = background_thread(self._target, name=self._name)
            self._thread.start()
        except RuntimeError:
            self._thread = None
            return False
        return True

    def adopt_current(self) -> None:
        """Takes the calling thread in place of one of its own."""
        self._thread = threading.current_thread()

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def join(self, timeout: float) -> None:
        """Waits for the end of the thread, at most this long, and not on that thread itself."""
        thread = self._thread
        if thread is not None and thread.is_alive() and thread is not threading.current_thread():
            thread.join(bounded(timeout))


@contextlib.contextmanager
def sending() -> Generator[None]:
    """Marks the calling thread as one that sends: its log records are not reported, or each would make the next."""
    ident = threading.get_ident()
    is_outermost = ident not in _sending
    _sending.add(ident)
    try:
        yield
    finally:
        if is_outermost:
            _sending.discard(ident)


def _forget_in_child() -> None:
    # The system gives the identities of the parent's threads to the child's own.
    _sending.intersection_update({threading.get_ident()})


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


def in_sending_thread() -> bool:
    """Whether the calling thread is in a `sending` block."""
    return threading.get_ident() in _sending


@contextlib.contextmanager
def held_if_free(lock: threading.RLock, *, seconds: float) -> Generator[None]:
    """Holds the lock in the block, or runs the block without it when another thread does not release it in time."""
    is_held = lock.acquire(timeout=bounded(seconds))
    try:
        yield
    finally:
        if is_held:
            lock.release()


def _call_before_join() -> None:
    for function in _before_join:
        function()

"""What concerns all outboxes of a process at once: forks and the end of the process.

The invariant: no fork happens while a background thread is in the middle of an import, and no process ends in order
with messages that are neither delivered nor spooled.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import weakref

from standpipe.lifecycle.orderly_exit import is_worker
from standpipe.runtime import clock
from standpipe.runtime.threads import call_before_threads_are_joined

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Generator
    from typing import Protocol, TypeVar

    T = TypeVar("T")

    class ProcessBound(Protocol):
        """What has to act at a fork and at the end of the process."""

        @property
        def closed(self) -> bool: ...

        @property
        def close_seconds(self) -> float:
            """How long `close_at_exit` may take."""
            ...

        def flush(self, timeout: float) -> bool: ...

        def close_at_exit(self, timeout: float) -> object: ...

        def wait_until_imported(self) -> None:
            """Waits until no thread of its own imports: a fork would leave the import's lock held in the child."""
            ...

        def begin_in_child(self) -> None: ...

    class Opening(Protocol):
        """What makes an outbox in the background, which registers itself once it is made."""

        def finish(self) -> object:
            """Makes the outbox; at the end of the process, for at most some seconds."""
            ...

        def wait_until_imported(self) -> None: ...


LAST = -100
"""After the finalizers of other modules, and after a worker's own children were waited for."""
_registered: weakref.WeakValueDictionary[int, ProcessBound] = weakref.WeakValueDictionary()
_openings: weakref.WeakValueDictionary[int, Opening] = weakref.WeakValueDictionary()
_hooks_installed = False
_at_exit: set[Callable[[], object]] = set()
_at_worker_end: set[tuple[int, Callable[[], object]]] = set()


def watch(outbox: ProcessBound) -> None:
    """Registers the outbox for forks and for the end of the process."""
    _registered[id(outbox)] = outbox
    install()


def watch_opening(opening: Opening) -> None:
    """Registers what is being opened, until it has an outbox."""
    _openings[id(opening)] = opening
    # Imported before the hooks: logging has hooks for forks of its own, and those that come into being while the ones
    # of a fork already run are called in part, which logging answers with an error on stderr.
    import logging  # noqa: F401  # pyright: ignore[reportUnusedImport]  for its hooks

    install()


def install() -> None:
    """Hooks into forks and the end of the process. Exit handlers run in reverse, so this is done where a program opens:
    what its own handlers, registered after that, still report is then delivered."""
    global _hooks_installed  # noqa: PLW0603  hooks of the interpreter are process-wide by nature
    if not _hooks_installed:
        _hooks_installed = True
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
    call_at_exit(close_all)


def call_at_exit(function: Callable[[], object]) -> None:
    """Calls back at the end of this process, once, however often this is called."""
    if function not in _at_exit:
        _at_exit.add(function)
        atexit.register(function)
    # Workers of multiprocessing may leave by os._exit, past atexit, but run their own finalizers first.
    if is_worker() and (os.getpid(), function) not in _at_worker_end:
        _at_worker_end.add((os.getpid(), function))
        from multiprocessing.util import Finalize

        Finalize(None, function, exitpriority=LAST)


def close_all() -> None:
    """Delivers or spools what was reported, all in the time for one, and closes children that end in order. No `closed`
    is sent for the first process of an invocation: a program that forgot to close, or died, must not look finished."""
    for opening in _alive(_openings):
        # An error here concerns one invocation of many.
        with contextlib.suppress(Exception):
            opening.finish()
    outboxes = [outbox for outbox in _alive(_registered) if not outbox.closed]
    until = clock.monotonic() + max((outbox.close_seconds for outbox in outboxes), default=0.0)
    for outbox in outboxes:
        with _logging_errors():
            # Their threads deliver at once, so that a server which is away holds up none of the others.
            outbox.flush(0.0)
    for outbox in outboxes:
        with _logging_errors():
            outbox.close_at_exit(max(until - clock.monotonic(), 0.0))


call_before_threads_are_joined(close_all)


@contextlib.contextmanager
def _logging_errors() -> Generator[None]:
    """An error of one outbox does not stop the others."""
    try:
        yield
    except Exception:
        import logging

        logging.getLogger("standpipe.outbox").exception("What was reported could not be delivered at the end.")


def _alive(registered: weakref.WeakValueDictionary[int, T]) -> list[T]:
    # The references are copied in one step: other threads may open and close in the middle of any longer walk.
    return [one for reference in registered.valuerefs() if (one := reference()) is not None]


def _before_fork() -> None:
    # A fork in the middle of an import leaves the import's lock held in the child for ever.
    for importing in (*_alive(_openings), *_alive(_registered)):
        with contextlib.suppress(Exception):
            importing.wait_until_imported()


def _after_fork_in_child() -> None:
    for outbox in _alive(_registered):
        outbox.begin_in_child()

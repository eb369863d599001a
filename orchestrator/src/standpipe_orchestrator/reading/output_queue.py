"""Writes to a stream on a thread of its own, so that results do not wait for a terminal or a pipe that is not read.

The queue is bounded. Nothing for a pipe or a file is dropped: what produces output waits for room, and the end of a run
and of the process wait until it is written. A terminal that took nothing for `STALLED_SECONDS` is stalled: output for
it is dropped and counted until it reads again. The invariant: writes happen one at a time, in the order of `put`.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import select
import sys
import threading
import weakref
from collections import deque
from collections.abc import Callable
from typing import TextIO

from standpipe.orchestration import monotonic

MOST_BYTES = 8 * 1024 * 1024
STALLED_SECONDS = 2.0
_CHUNK_BYTES = 4096
"""Of one system call: after each the terminal counts as reading."""
_queues: weakref.WeakSet[OutputQueue] = weakref.WeakSet()
"""Those that the end of the process completes."""


def is_terminal(target: object) -> bool:
    """Whether a stream is a terminal, for which output may be dropped. A notebook's stream is none."""
    try:
        return bool(target.isatty())  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType, reportUnknownArgumentType]
    except (AttributeError, ValueError):
        # A stream of the program's own, or one that is closed.
        return False


def dropped_sentence(size: int) -> str:
    return f"standpipe: {size} bytes of output are not shown here, because the terminal did not read for a while."


class OutputQueue:
    """A queue of writes. The thread that performs them lives while there are any; `flush` joins it.

    Args:
        name: of the thread.
        may_drop: its streams are terminals; otherwise nothing is dropped.
        on_dropped: writes how many bytes were dropped; called on the thread.
    """

    def __init__(self, *, name: str, may_drop: bool, on_dropped: Callable[[int], None]) -> None:
        self._name = name
        self._may_drop = may_drop
        self._on_dropped = on_dropped
        self._changed = threading.Condition()
        self._writes: deque[tuple[Callable[[], None], int]] = deque()
        self._bytes = 0
        self._dropped = 0
        self._queued = 0
        self._written = 0
        """How many writes were queued and performed."""
        self._thread: threading.Thread | None = None
        self._progress_at = 0.0
        self._interrupted = False
        """Whether Ctrl-C ended a wait for a reader: until it has read all, it is waited for as for a terminal."""
        _queues.add(self)

    def put(self, write: Callable[[], None], *, size: int) -> None:
        """Queues a write of about so many bytes; waits where the queue is full, or drops it for a stalled terminal."""
        with self._changed:
            if not self._wait_until(lambda: not self._writes or self._bytes + size <= MOST_BYTES):
                self._dropped += size
                return
            self._report_dropped()
            self._add(write, size)

    def flush(self) -> bool:
        """Waits until what was queued before is written; returns False as soon as the terminal is stalled."""
        with self._changed:
            if self._dropped and not self._writes:
                self._report_dropped()
            last = self._queued
            # Where nothing else is queued, the thread ends now.
            try:
                return self._wait_until(lambda: self._written >= last and (self._thread is None or bool(self._writes)))
            except KeyboardInterrupt:
                self._interrupted = True
                raise

    def complete(self) -> int:
        """Waits for the rest at the end of the process; returns how many bytes are not written."""
        with contextlib.suppress(KeyboardInterrupt):
            self.flush()
        return self._bytes + self._dropped

    @property
    def idle(self) -> bool:
        """Whether nothing is queued or being written."""
        return self._thread is None

    def write(self, target: TextIO, data: bytes) -> None:
        """Writes bytes to a text stream's descriptor, after what is in its buffer. Only for writes of this queue.

        A thread that is blocked in a stream's own `write` holds its lock, and Python would abort at exit.
        """
        target.flush()
        try:
            descriptor = None if sys.platform == "win32" else target.fileno()
        except (AttributeError, io.UnsupportedOperation):
            descriptor = None
        if descriptor is None:
            # A notebook's stream takes text only.
            if (binary := getattr(target, "buffer", None)) is None:
                target.write(data.decode("utf-8", errors="replace"))
            else:
                binary.write(data)
            target.flush()
            return
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(descriptor, view[:_CHUNK_BYTES]) :]
            except BlockingIOError:
                select.select([], [descriptor], [], STALLED_SECONDS)
                continue
            with self._changed:
                self._note_progress()

    def _report_dropped(self) -> None:
        dropped, self._dropped = self._dropped, 0
        if dropped:
            self._add(lambda: self._on_dropped(dropped), 0)

    def _add(self, write: Callable[[], None], size: int) -> None:
        self._writes.append((write, size))
        self._bytes += size
        self._queued += 1
        if self._thread is None:
            self._note_progress()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._writes:
                    self._thread = None
                    self._interrupted = False
                    self._changed.notify_all()
                    return
                write, _ = self._writes[0]
            # A stream that is closed or broken must not end the writing to the other one.
            with contextlib.suppress(Exception):
                write()
            with self._changed:
                self._bytes -= self._writes.popleft()[1]
                self._written += 1
                self._note_progress()

    def _note_progress(self) -> None:
        self._progress_at = monotonic()
        self._changed.notify_all()

    def _wait_until(self, done: Callable[[], bool]) -> bool:
        while not done():
            remaining = self._progress_at + STALLED_SECONDS - monotonic()
            if (self._may_drop or self._interrupted) and remaining <= 0:
                return False
            self._changed.wait(remaining if remaining > 0 else STALLED_SECONDS)
        return True


def _complete_all() -> None:
    """Writes everything at the end of the process, and says on stderr what was not."""
    left = sum(queue.complete() for queue in list(_queues))
    if left and sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  started without one
        text = f"standpipe: {left} bytes of output were not written, because nothing read them.\n".encode()
        with contextlib.suppress(Exception):
            descriptor = sys.stderr.fileno()
            # The stream that is not read may be this one.
            if sys.platform == "win32" or select.select([], [descriptor], [], 0)[1]:
                os.write(descriptor, text)


atexit.register(_complete_all)
if hasattr(os, "register_at_fork"):
    # The threads are not the child's.
    os.register_at_fork(after_in_child=_queues.clear)

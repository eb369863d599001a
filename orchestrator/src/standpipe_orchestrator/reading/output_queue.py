"""Writes to a terminal on a thread of its own, so that results never wait for a terminal that is not read.

The queue is bounded. Who produces output waits for room only while the terminal takes something; a terminal that took
nothing for `STALLED_SECONDS` is stalled, and output for it is dropped and counted until it reads again. The invariant:
writes happen one at a time, in the order of `put`.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
import threading
from collections import deque
from collections.abc import Callable
from typing import TextIO

from standpipe.orchestration import monotonic

MOST_BYTES = 8 * 1024 * 1024
STALLED_SECONDS = 2.0
_CHUNK_BYTES = 4096
"""Of one system call: after each the terminal counts as reading."""


class OutputQueue:
    """A queue of writes. The thread that performs them lives while there are any; `flush` joins it.

    Args:
        name: of the thread.
        on_dropped: writes how many bytes were dropped; called on the thread.
    """

    def __init__(self, *, name: str, on_dropped: Callable[[int], None]) -> None:
        self._name = name
        self._on_dropped = on_dropped
        self._changed = threading.Condition()
        self._writes: deque[tuple[Callable[[], None], int]] = deque()
        self._bytes = 0
        self._dropped = 0
        self._thread: threading.Thread | None = None
        self._progress_at = 0.0

    def put(self, write: Callable[[], None], *, size: int) -> None:
        """Queues a write of about so many bytes; drops it when the terminal is stalled and the queue is full."""
        with self._changed:
            if not self._wait_until(lambda: not self._writes or self._bytes + size <= MOST_BYTES):
                self._dropped += size
                return
            self._report_dropped()
            self._add(write, size)

    def flush(self) -> bool:
        """Waits until everything is written; returns False as soon as the terminal is stalled."""
        with self._changed:
            if self._dropped and not self._writes:
                self._report_dropped()
            return self._wait_until(lambda: self._thread is None)

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
        if self._thread is None:
            self._note_progress()
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._writes:
                    self._thread = None
                    self._changed.notify_all()
                    return
                write, _ = self._writes[0]
            # A stream that is closed or broken must not end the writing to the other one.
            with contextlib.suppress(Exception):
                write()
            with self._changed:
                self._bytes -= self._writes.popleft()[1]
                self._note_progress()

    def _note_progress(self) -> None:
        self._progress_at = monotonic()
        self._changed.notify_all()

    def _wait_until(self, done: Callable[[], bool]) -> bool:
        while not done():
            remaining = self._progress_at + STALLED_SECONDS - monotonic()
            if remaining <= 0:
                return False
            self._changed.wait(remaining)
        return True

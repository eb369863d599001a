"""Output of external processes on its way to this process's own stdout and stderr: unchanged, byte for byte.

A live progress display takes the bytes over with `forwarding_to`. Otherwise a queue writes them on a thread of its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import TextIO, TypeAlias

from standpipe_orchestrator.reading.output_queue import OutputQueue, dropped_sentence, is_terminal

Sink: TypeAlias = Callable[[str, bytes], None]
"""Takes the name of a stream and bytes as they came; called from several threads, one at a time."""

_lock = threading.Lock()
_sinks: list[Sink] = []


@contextlib.contextmanager
def forwarding_to(sink: Sink) -> Generator[None]:
    """While the block runs, `sink` gets what would go to stdout and stderr. The innermost one counts."""
    with _lock:
        _sinks.append(sink)
    try:
        yield
    finally:
        with _lock:
            _sinks.remove(sink)


def forward_bytes(stream: str, data: bytes) -> None:
    """Writes to this process's own stream, soon: a terminal that is not read holds up nothing, a pipe only when
    the queue is full."""
    with _lock:
        if _sinks:
            _sinks[-1](stream, data)
            return
        # Python has no stream where the process was started without one.
        if (target := sys.stderr if stream == "stderr" else sys.stdout) is not None:  # pyright: ignore[reportUnnecessaryComparison]
            write_soon(target, data)


def forward_text(stream: str, text: str) -> None:
    forward_bytes(stream, text.encode("utf-8", errors="replace"))


def print_error_line(text: str) -> None:
    """Writes a line to this process's own stderr, soon, as `forward_bytes` does without a sink."""
    if (target := sys.stderr) is not None:  # pyright: ignore[reportUnnecessaryComparison]  started without one
        write_soon(target, f"{text}\n".encode("utf-8", errors="replace"))


def write_soon(target: TextIO, data: bytes) -> None:
    """Queues bytes for a stream: what goes to terminals does not hold up what goes to pipes and files."""
    queue = _terminals if is_terminal(target) else _others
    queue.put(partial(queue.write, target, data), size=len(data))


def flush_forwarded() -> None:
    """Waits until what was forwarded before is written, unless it is for a terminal that is stalled."""
    _others.flush()
    _terminals.flush()


def _new_queue(*, may_drop: bool) -> OutputQueue:
    def report(size: int) -> None:
        queue.write(sys.stderr, f"{dropped_sentence(size)}\n".encode())

    queue = OutputQueue(name="standpipe-output", may_drop=may_drop, on_dropped=report)
    return queue


def _after_fork() -> None:
    # Neither the thread nor what it was to write is the child's.
    global _lock, _terminals, _others
    _lock, _terminals, _others = threading.Lock(), _new_queue(may_drop=True), _new_queue(may_drop=False)


_terminals, _others = _new_queue(may_drop=True), _new_queue(may_drop=False)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

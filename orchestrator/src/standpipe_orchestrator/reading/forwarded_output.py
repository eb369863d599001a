"""Output of external processes on its way to this process's own stdout and stderr: unchanged, byte for byte.

Whoever draws on the terminal (a live progress display) takes the bytes over for that time with `forwarding_to`.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Generator
from typing import TypeAlias

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
    """Writes to this process's own stream. A closed or broken one is not the external process's fault: ignored."""
    with _lock:
        if _sinks:
            _sinks[-1](stream, data)
            return
        target = sys.stderr if stream == "stderr" else sys.stdout
        with contextlib.suppress(OSError, ValueError):
            binary = getattr(target, "buffer", None)
            if binary is None:
                # A notebook's stream takes text only.
                target.write(data.decode("utf-8", errors="replace"))
            else:
                # What was printed here before must stay before.
                target.flush()
                binary.write(data)
            target.flush()


def forward_text(stream: str, text: str) -> None:
    forward_bytes(stream, text.encode("utf-8", errors="replace"))

"""Where the output of a job is read from: a pipe of a child process, or a file that grows."""

from __future__ import annotations

import os
import selectors
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO

from standpipe.orchestration import sleep

READ_BYTES = 48 * 1024
_LOOK_SECONDS = 0.1


class PipeStream:
    """A pipe; ends when all processes that hold its other end have closed it."""

    def __init__(self, name: str, pipe: IO[bytes]) -> None:
        self.name = name
        self._pipe = pipe

    def read(self, wait: float | None) -> bytes | None:
        descriptor = self._pipe.fileno()
        # Windows cannot wait for a pipe with a time-out: there the beginning of a line waits for what comes next.
        if wait is not None and sys.platform != "win32" and not _readable(descriptor, wait):
            return None
        try:
            return os.read(descriptor, READ_BYTES)
        except OSError:
            return b""  # the other end is gone

    def close(self) -> None:
        self._pipe.close()


class FileStream:
    """A file that a platform writes the output to; it may not be there yet.

    Args:
        ended: whether the job has ended; then the file grows no longer.
    """

    def __init__(self, name: str, path: Path, *, ended: Callable[[], bool]) -> None:
        self.name = name
        self._path = path
        self._ended = ended
        self._file: IO[bytes] | None = None

    def read(self, wait: float | None) -> bytes | None:
        # Asked before the file is read: what was written before the end is read then.
        ended = self._ended()
        if self._file is None and self._path.exists():
            self._file = self._path.open("rb", buffering=0)
        data = b"" if self._file is None else self._file.read(READ_BYTES)
        if data or ended:
            return data
        sleep(_LOOK_SECONDS if wait is None else min(wait, _LOOK_SECONDS))
        return None

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _readable(descriptor: int, timeout: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(timeout))

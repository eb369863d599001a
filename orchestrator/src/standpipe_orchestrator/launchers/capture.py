"""The output of a child process: forwarded unchanged, and captured as events, live.

One thread a stream reads what is there, forwards the bytes and reports the text, in pieces as `CapturedText` cuts them
and never inside a character.
"""

from __future__ import annotations

import codecs
import os
import selectors
import sys
import threading
import time
from collections.abc import Callable
from typing import IO

from standpipe_orchestrator.launchers.captured_text import CapturedText, Pieces
from standpipe_orchestrator.reading.forwarded_output import forward_bytes
from standpipe_orchestrator.reading.redrawn_lines import last_states
from standpipe_protocol.messages import LogExternalStream

READ_BYTES = 64 * 1024
TAIL_BYTES = 4096


class StreamCapture:
    """Reads one pipe of a child to its end, on a thread of its own.

    Args:
        report: takes each piece; called on the capture's thread.
        forward: also write the bytes to this process's own stream.
    """

    def __init__(
        self, pipe: IO[bytes], *, stream: str, report: Callable[[LogExternalStream], None], forward: bool
    ) -> None:
        self._pipe = pipe
        self._stream = stream
        self._report = report
        self._forward = forward
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = CapturedText()
        self._tail = bytearray()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"standpipe-capture-{stream}", daemon=True)
        self._thread.start()

    def join(self, timeout: float) -> bool:
        """Waits for the end of the stream; False when somebody still holds it open."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """No piece is reported any more: what still holds the stream open is not the process that was launched."""
        self._abandoned = True

    def tail(self) -> str:
        """The end of what came, at most 4 KB, of redrawn lines their last state."""
        return last_states(bytes(self._tail[-TAIL_BYTES:]).decode("utf-8", errors="replace").lstrip("\ufffd"))

    def _run(self) -> None:
        with self._pipe:
            descriptor = self._pipe.fileno()
            try:
                while data := self._read(descriptor):
                    self._take(data)
            except OSError:
                pass  # the other end is gone; what came is kept
            self._report_all(self._text.take(self._decoder.decode(b"", final=True), now=time.monotonic()))
            self._report_all(self._text.flush())

    def _read(self, descriptor: int) -> bytes:
        # Windows cannot wait for a pipe with a time-out: there the beginning of a line waits for what comes next.
        while self._text.due is not None and sys.platform != "win32":
            if _readable(descriptor, max(0.0, self._text.due - time.monotonic())):
                break
            self._report_all(self._text.overdue(now=time.monotonic()))
        return os.read(descriptor, READ_BYTES)

    def _take(self, data: bytes) -> None:
        if self._abandoned:
            return
        if self._forward:
            forward_bytes(self._stream, data)
        self._tail += data
        if len(self._tail) > 4 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        self._report_all(self._text.take(self._decoder.decode(data), now=time.monotonic()))

    def _report_all(self, pieces: Pieces) -> None:
        for piece in pieces:
            if not self._abandoned:
                extras = {} if piece.line is None else {"line": piece.line}
                self._report(LogExternalStream(stream=self._stream, text=piece.text, extras=extras))


def _readable(descriptor: int, timeout: float) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        return bool(selector.select(timeout))

"""The output of a job: forwarded unchanged, and captured as events, live.

One thread a stream reads what is there, forwards the bytes and reports the text, in pieces as `CapturedText` cuts them
and never inside a character. Each piece can say how many bytes of the stream are reported with it. The invariant: a
capture that begins after so many bytes reports what is missing, and nothing twice.
"""

from __future__ import annotations

import codecs
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable

from standpipe_orchestrator.launchers.captured_text import CapturedText, Pieces
from standpipe_orchestrator.launchers.output_streams import FileStream
from standpipe_orchestrator.launchers.protocol import OutputStream
from standpipe_orchestrator.reading.forwarded_output import forward_bytes
from standpipe_orchestrator.reading.log_lines import last_states
from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import LogExternalStream

TAIL_BYTES = 4096
THROUGH = "through_bytes"
"""In the extras of a piece: how many bytes of its stream are reported with it and with those before it."""
_log = logging.getLogger("standpipe_orchestrator.pipes")


class StreamCapture:
    """Reads one stream of a job to its end, on a thread of its own.

    Args:
        report: takes each piece; called on the capture's thread.
        forward: also write the bytes to this process's own stream.
        after: how many bytes an earlier capture has reported; None where none can follow this one.
    """

    def __init__(
        self,
        stream: OutputStream,
        *,
        report: Callable[[LogExternalStream], None],
        forward: bool,
        after: int | None = None,
    ) -> None:
        self._stream = stream
        self._report = report
        self._forward = forward
        self._numbered = after is not None
        self._reported_before = after or 0
        self._read_bytes = 0
        self._line_began = 0
        """How many bytes come before the line that has not ended."""
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = CapturedText()
        self._tail = bytearray()
        self._abandoned = False
        self._thread = threading.Thread(target=self._run, name=f"standpipe-capture-{stream.name}", daemon=True)
        self._thread.start()

    @property
    def name(self) -> str:
        return self._stream.name

    def join(self, timeout: float) -> bool:
        """Waits for the end of the stream; False when something still holds it open."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """Reports no further piece, and discards what comes: what still writes is not the job that was launched."""
        self._abandoned = True

    def tail(self) -> str:
        """The end of what came, at most 4 KB, of redrawn lines their last state."""
        return last_states(bytes(self._tail[-TAIL_BYTES:]).decode("utf-8", errors="replace").lstrip("\ufffd"))

    def _run(self) -> None:
        with contextlib.closing(self._stream):
            try:
                while data := self._next():
                    self._take(data)
            except Exception as error:  # of a platform's own kind
                _log.warning("[pipes] the %s of the job can be read no further: %s", self.name, error)
            self._report_all(self._text.take(self._decoder.decode(b"", final=True), now=time.monotonic()))
            self._report_all(self._text.flush())

    def _next(self) -> bytes:
        # Only a pipe is read on: its writers would get SIGPIPE when it is closed, or stop when it is full.
        while not (self._abandoned and isinstance(self._stream, FileStream)):
            due = self._text.due
            data = self._stream.read(None if due is None else max(0.0, due - time.monotonic()))
            if data is not None:
                return data
            self._report_all(self._text.overdue(now=time.monotonic()))
        return b""

    def _take(self, data: bytes) -> None:
        if self._abandoned:
            return
        self._tail += data
        if len(self._tail) > 4 * TAIL_BYTES:
            del self._tail[:-TAIL_BYTES]
        if data := self._beyond_reported(data):
            if self._forward:
                forward_bytes(self.name, data)
            if (newline := data.rfind(b"\n")) >= 0:
                self._line_began = self._read_bytes - len(data) + newline + 1
            self._report_all(self._text.take(self._decoder.decode(data), now=time.monotonic()))

    def _beyond_reported(self, data: bytes) -> bytes:
        """What of the data no earlier capture has reported."""
        before, self._read_bytes = self._read_bytes, self._read_bytes + len(data)
        return data[max(0, self._reported_before - before) :]

    def _report_all(self, pieces: Pieces) -> None:
        for piece in pieces:
            if not self._abandoned:
                extras: dict[str, JsonValue] = {} if piece.line is None else {"line": piece.line}
                if self._numbered:
                    # A piece ends with a line, or it is all that has come but for a character that is not whole.
                    unread = len(self._decoder.getstate()[0])
                    whole = piece.text.endswith("\n")
                    extras[THROUGH] = self._line_began if whole else self._read_bytes - unread
                self._report(LogExternalStream(stream=self.name, text=piece.text, extras=extras))


def reported_bytes(events: Iterable[Event]) -> dict[str, int]:
    """How many bytes of each stream earlier captures have reported."""
    reported: dict[str, int] = {}
    for event in events:
        params = event.params if isinstance(event.params, dict) else {}
        extras, stream = params.get("extras"), params.get("stream")
        through = extras.get(THROUGH) if isinstance(extras, dict) else None
        if isinstance(stream, str) and isinstance(through, int):
            reported[stream] = max(through, reported.get(stream, 0))
    return reported

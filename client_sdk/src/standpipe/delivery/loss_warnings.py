"""Warnings about messages that cannot be stored: on the program's log once for each kind, and to the server as a log.

The invariant: no message is dropped, and no promise broken, without a sentence on the program's own log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from standpipe.runtime.clock import utc_now
from standpipe_protocol.json_text import encode_json
from standpipe_protocol.messages import Log, message_to_wire

if TYPE_CHECKING:
    from standpipe.delivery.message_queue import MessageQueue

_log = logging.getLogger("standpipe.outbox")


class LossWarnings:
    """The warnings of one producer."""

    def __init__(self, queue: MessageQueue, *, invocation: str) -> None:
        self._queue = queue
        self._invocation = invocation
        self._warned: set[str] = set()

    def warn(self, *, trouble: str | None) -> None:
        """Logs a warning for each kind of loss that is new; `trouble` is why nothing reaches the server, where that is
        known."""
        reason = (trouble or "the memory queue and the spool file are full").rstrip(".")
        if self._queue.dropped and self._is_new("report"):
            _log.warning(
                "A report of invocation %s cannot be stored: %s. This and all further losses are counted, and make the "
                "invocation incomplete.",
                self._invocation,
                reason,
            )
        if self._queue.dropped_logs and self._is_new("log"):
            _log.warning(
                "Log lines of invocation %s are dropped: %s. Reports are kept. The number dropped is reported.",
                self._invocation,
                reason,
            )
        if self._queue.spool_error and self._is_new("disk"):
            _log.warning(
                'The reports of invocation %s cannot be written to disk (%s), as `spool="first"` asks. They wait in '
                "memory, and are lost if this process is killed before the server has them.",
                self._invocation,
                self._queue.spool_error,
            )

    def _is_new(self, kind: str) -> bool:
        new = kind not in self._warned
        self._warned.add(kind)
        return new


def dropped_note(number: int) -> tuple[str, bytes]:
    """Method and body of the message that tells the server how many log lines were dropped."""
    text = f"{number} log lines were dropped: memory and the spool file were full."
    note = Log(message=text, level="WARNING", details={"dropped_logs": number})
    return Log.method, encode_json(message_to_wire(note, sent_at=utc_now()))

"""What is said when something cannot be kept: to the user once for each kind of it, and to the server in a log line.

The invariant: nothing is given up, and no promise is missed, without a sentence on the program's own log.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from standpipe.runtime.timestamps import utc_now
from standpipe_protocol.json_text import encode_json
from standpipe_protocol.messages import Log, message_to_wire

if TYPE_CHECKING:
    from standpipe.delivery.message_queue import Pending
    from standpipe_protocol.bootstrap import Bootstrap

DROPPABLE = frozenset({"log", "log_external_stream"})
"""What may be dropped under pressure; the number is reported instead."""
RESERVE = 0.25
"""The part of memory and disk that log lines leave to reports."""

_log = logging.getLogger("standpipe.outbox")


class Losses:
    """What one producer had to give up, as far as it was told."""

    def __init__(self, pending: Pending, *, bootstrap: Bootstrap) -> None:
        self._pending = pending
        self._invocation = bootstrap.invocation
        self._told: set[str] = set()

    def tell(self, *, trouble: str | None) -> None:
        """Says what has come up and was not said yet.

        Args:
            trouble: why nothing gets through to the server, where that is known.
        """
        reason = (trouble or "the memory queue and the spool file are full").rstrip(".")
        if self._pending.dropped and self._is_new("report"):
            _log.warning(
                "A report of invocation %s cannot be kept: %s. This and all further losses are counted, and make the "
                "invocation incomplete.",
                self._invocation,
                reason,
            )
        if self._pending.dropped_logs and self._is_new("log"):
            _log.warning(
                "Log lines of invocation %s are dropped: %s. Reports are kept. The number dropped is reported.",
                self._invocation,
                reason,
            )
        if self._pending.not_on_disk and self._is_new("disk"):
            _log.warning(
                "The reports of invocation %s cannot be written to disk (%s), as spool first has it. They wait in "
                "memory, and what the server has not yet is lost if this process is killed.",
                self._invocation,
                self._pending.not_on_disk,
            )

    def _is_new(self, kind: str) -> bool:
        new = kind not in self._told
        self._told.add(kind)
        return new


def dropped_note(number: int) -> tuple[str, bytes]:
    """Method and body of the message that tells the server how many log lines were dropped."""
    told = f"{number} log lines were dropped: memory and the spool file were full."
    note = Log(message=told, level="WARNING", details={"dropped_logs": number})
    return Log.method, encode_json(message_to_wire(note, sent_at=utc_now()))

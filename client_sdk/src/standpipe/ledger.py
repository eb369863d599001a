"""A producer's own ledger: what its `closed` says of everything before it, so that the server can find what is missing.

The SHA-256 runs along on the thread that delivers, over what is acknowledged; reports pay nothing for it. Invariant: it
covers the numbers 1 to `through`, each message as the server stores it, followed by a line feed.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterable

from standpipe_protocol.json_text import encode_json, replace_lone_surrogates
from standpipe_protocol.messages import Closed, Ledger, message_to_wire

MOST_BYTES_READ_BACK = 64 * 1024 * 1024
"""What waits on disk is read once more for the sum, at the end; when there is more, the ledger does without."""


class RunningSum:
    """The sum over what was delivered. Two threads: one adds, another asks."""

    def __init__(self) -> None:
        # Reentrant: a signal handler that closes may interrupt a close.
        self.lock = threading.RLock()
        """Held from before messages leave the queue until they are added."""
        self._sum = hashlib.sha256()

    def add(self, bodies: Iterable[bytes]) -> None:
        """Adds the next messages; under `lock`."""
        for body in bodies:
            self._sum.update(_as_stored(body))

    def with_rest(self, bodies: Iterable[bytes]) -> str:
        """In hex, of what was added and these after it; under `lock`."""
        whole = self._sum.copy()
        for body in bodies:
            whole.update(_as_stored(body))
        return whole.hexdigest()


def encode_closed(
    message: Closed, *, number: int, by_method: dict[str, int], dropped_logs: int, sha256: str | None, sent_at: str
) -> bytes:
    """`closed` with its ledger, as bytes."""
    ledger = Ledger(messages=number, by_method=by_method, last_seq=number, dropped_logs=dropped_logs, sha256=sha256)
    return encode_json(message_to_wire(Closed(exception=message.exception, ledger=ledger), sent_at=sent_at))


def _as_stored(body: bytes) -> bytes:
    # Half of a surrogate pair makes a text that many readers refuse; the server stores a replacement character.
    return (replace_lone_surrogates(body) if b"\\ud" in body else body) + b"\n"

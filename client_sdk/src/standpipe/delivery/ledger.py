"""A producer's own ledger: what its `closed` says of everything before it, so that the server can find what is missing.

The SHA-256 runs along on the thread that delivers, over what is acknowledged; reports pay nothing for it. Invariant: it
covers the numbers 1 to `through`, each message as the server stores it, followed by a line feed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from standpipe_protocol.json_text import encode_json, replace_lone_surrogates
from standpipe_protocol.messages import Ledger, message_to_wire

if TYPE_CHECKING:
    import threading

    from standpipe_protocol.messages import Closed

    _Sum = hashlib._Hash  # pyright: ignore[reportPrivateUsage]  its only name

MOST_BYTES_READ_BACK = 64 * 1024 * 1024
"""What waits on disk is read once more for the sum, at the end; when there is more, the ledger does without."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """What is told of all messages of a producer in its last one."""

    number: int
    """Of the last one itself; what could not be kept counts as numbered, so that the server finds it missing."""
    by_method: dict[str, int]
    """Itself included."""
    dropped_logs: int
    sha256: str | None
    """Over the messages before it; None where too much waits on disk to be read again for it."""


class RunningSum:
    """The sum over what was delivered. No lock of its own: one that is held while another is waited for would stand
    against a signal handler that closes in the middle of a report."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self._left: list[bytes] = []

    def leave(self, bodies: Iterable[bytes]) -> None:
        """Notes the next messages; under the owner's lock."""
        self._left += bodies

    def catch_up(self, lock: threading.RLock) -> None:
        """Adds what was noted, outside the owner's `lock`; called by one thread."""
        with lock:
            noted = list(self._left)
        whole = _added(self._sum, noted)
        with lock:
            self._sum = whole
            del self._left[: len(noted)]

    def with_rest(self, bodies: Iterable[bytes]) -> str:
        """In hex, of everything noted and these after it; under the owner's lock."""
        return _added(_added(self._sum, self._left), bodies).hexdigest()


def encode_closed(message: Closed, account: Account, *, sent_at: str) -> bytes:
    """`closed` with its ledger, as bytes."""
    ledger = Ledger(
        messages=account.number,
        by_method=account.by_method,
        last_seq=account.number,
        dropped_logs=account.dropped_logs,
        sha256=account.sha256,
    )
    return encode_json(message_to_wire(replace(message, ledger=ledger), sent_at=sent_at))


def _added(sum_so_far: _Sum, bodies: Iterable[bytes]) -> _Sum:
    whole = sum_so_far.copy()
    for body in bodies:
        whole.update(_as_stored(body))
    return whole


def _as_stored(body: bytes) -> bytes:
    # Half of a surrogate pair makes a text that many readers refuse; the server stores a replacement character.
    return (replace_lone_surrogates(body) if b"\\ud" in body else body) + b"\n"

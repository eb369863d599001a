"""The SHA-256 of a producer's messages, which `closed` carries so that the server can find what is missing.

It is computed on the thread that delivers, over what is acknowledged; reports pay nothing for it. The invariant: it
covers the numbers 1 to `acknowledged`, each message as the server stores it, followed by a line feed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import TYPE_CHECKING

from standpipe_protocol.json_scan import replace_lone_surrogates

if TYPE_CHECKING:
    import threading

    _Sum = hashlib._Hash  # pyright: ignore[reportPrivateUsage]  its only name

MOST_BYTES_READ_BACK = 64 * 1024 * 1024
"""What waits on disk is read once more for the sum, at the end; when there is more, the ledger does without."""


class RunningSum:
    """The sum over what was delivered. It has no lock of its own: with two locks a signal handler that closes in the
    middle of a report could deadlock."""

    def __init__(self) -> None:
        self._sum = hashlib.sha256()
        self._noted: list[bytes] = []

    def note(self, bodies: Iterable[bytes]) -> None:
        """Notes the next messages; under the owner's lock."""
        self._noted += bodies

    def add_noted(self, lock: threading.RLock) -> None:
        """Adds what was noted, outside the owner's `lock`; called by one thread."""
        with lock:
            noted = list(self._noted)
        whole = _added(self._sum, noted)
        with lock:
            self._sum = whole
            del self._noted[: len(noted)]

    def with_rest(self, bodies: Iterable[bytes]) -> str:
        """In hex, of everything noted and these after it; under the owner's lock."""
        return _added(_added(self._sum, self._noted), bodies).hexdigest()


def _added(sum_so_far: _Sum, bodies: Iterable[bytes]) -> _Sum:
    whole = sum_so_far.copy()
    for body in bodies:
        # Half of a surrogate pair makes a text that many readers refuse; the server stores a replacement character.
        whole.update((replace_lone_surrogates(body) if b"\\ud" in body else body) + b"\n")
    return whole

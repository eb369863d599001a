"""Sessions that a person ended before their time, kept in a small file so that a restart does not bring them back.

Cookies prove themselves, so only what no longer counts is kept, as digests, and only until it would have ended anyway.
Thread-safe. The invariant: a session once ended never counts again at this home, even when the file is lost. A list
that is full or cannot be read therefore ends every session begun so far, and people sign in again.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import threading
from pathlib import Path
from typing import Final, cast

MOST_ENDED: Final = 10_000
_log = logging.getLogger("standpipe.server")


class EndedSessions:
    """The list, in memory and in `file`. Times in seconds since the epoch."""

    def __init__(self, file: Path, *, now: float) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        # Until when each would have been good, by its digest.
        self._until: dict[str, int] = {}
        self._all_before = 0
        try:
            self._take(json.loads(file.read_text(encoding="utf-8")))
        except FileNotFoundError:
            pass
        except (OSError, ValueError) as error:
            _log.warning(
                "The list of ended sessions in %s cannot be read (%s), so everybody has to sign in again.", file, error
            )
            self._all_before = int(now) + 1

    def __contains__(self, cookie: str) -> bool:
        return _digest(cookie) in self._until

    def covers(self, begun: int) -> bool:
        """Whether all sessions that began at that time were ended together."""
        return begun < self._all_before

    def add(self, cookie: str, *, until: int, now: float) -> None:
        """Ends one. It counts at once, and after `keep` also when the server starts again."""
        with self._lock:
            self._until = {digest: end for digest, end in self._until.items() if end > now}
            if len(self._until) >= MOST_ENDED:
                _log.warning(
                    "More than %d sessions were ended in a week, so everybody has to sign in again.", MOST_ENDED
                )
                self._all_before = int(now) + 1
                self._until.clear()
            self._until[_digest(cookie)] = until

    def keep(self) -> None:
        """Writes the list, whole or not at all. A disk that takes nothing costs a line in the log, not the sign-out."""
        # Not under the lock of the list: who signs out on the event loop must not wait for the disk.
        with self._writing:
            with self._lock:
                text = json.dumps({"all_before": self._all_before, "until": self._until})
            beside = self._file.with_name(self._file.name + ".new")
            try:
                descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                    file.write(text)
                    file.flush()
                    os.fsync(descriptor)
                beside.replace(self._file)
            except OSError as error:
                _log.warning(
                    "The list of ended sessions could not be written to %s (%s): what was signed out now would count "
                    "again after a restart.",
                    self._file,
                    error,
                )

    def _take(self, wire: object) -> None:
        members = cast("dict[str, object]", wire) if isinstance(wire, dict) else {}
        before, until = members.get("all_before"), members.get("until")
        if not isinstance(before, int) or not isinstance(until, dict):
            raise ValueError("it has another form")
        for digest, end in cast("dict[str, object]", until).items():
            if not isinstance(end, int):
                raise ValueError("it has another form")
            self._until[digest] = end
        self._all_before = before


def _digest(cookie: str) -> str:
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()

"""People's sessions: one-time codes that begin them, cookies that carry them, tokens against forged requests.

A session is a signed cookie: it survives a restart, holds on every server with the same operator key, and ends with its
time, with that key, or when its person signs out. Codes are kept in memory, once each. The invariant: neither a code
nor a cookie can be computed without the operator key, a code opens one session at most, and a cookie that was
signed out is invalid, copies of it included.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import logging
import os
import secrets
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, cast

from standpipe_server.api.http.exchange import Session

SESSION_SECONDS: Final = 7 * 24 * 3600
CODE_SECONDS: Final = 15 * 60
FIRST_CODE_SECONDS: Final = 60 * 60
"""A person may read the link that `standpipe serve` prints long after the start."""
CSRF_HEADER: Final = b"standpipe-csrf"
_MOST_CODES: Final = 1000
_LONGEST_COOKIE: Final = 200
MOST_ENDED: Final = 10_000

_log = logging.getLogger("standpipe.server")


class EndedSessions:
    """Sessions that people ended before their time, in memory and in `file`. Times in seconds since the epoch.

    Holds digests, and only until the session would have ended anyway. Safe to use from several threads. A session once
    ended never counts again at this home: a list that is full or cannot be read ends every session begun so far.
    """

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
        return _digest(cookie).hex() in self._until

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
            self._until[_digest(cookie).hex()] = until

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


class Sessions:
    """Makes and checks codes and cookies. `now` in seconds since the epoch, `monotonic` in seconds."""

    def __init__(
        self, *, operator_key: str, ended: EndedSessions, now: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._secret = hmac.digest(operator_key.encode(), b"standpipe browser sessions", "sha256")
        self.ended = ended
        self._now, self._monotonic = now, monotonic
        # Deadlines by the digest of the code, so that comparing tells nothing by the time it takes.
        self._codes: dict[bytes, float] = {}
        # Cookies know no ports: two servers on one machine must not end each other's sessions.
        self.cookie_name = "standpipe_" + hashlib.sha256(b"name" + self._secret).hexdigest()[:8]

    def issue_code(self, seconds: float = CODE_SECONDS) -> str:
        """A code that begins one session within so many seconds."""
        now = self._monotonic()
        self._codes = {digest: deadline for digest, deadline in self._codes.items() if deadline > now}
        while len(self._codes) >= _MOST_CODES:
            del self._codes[next(iter(self._codes))]
        code = secrets.token_urlsafe(24)
        self._codes[_digest(code)] = now + seconds
        return code

    def redeem(self, code: str) -> bool:
        """Whether this code may begin a session; it never may again."""
        deadline = self._codes.pop(_digest(code), None)
        return deadline is not None and deadline > self._monotonic()

    def new_cookie(self) -> str:
        """The value of a new session's cookie."""
        payload = f"{int(self._now()) + SESSION_SECONDS}.{secrets.token_urlsafe(16)}"
        return f"{payload}.{self._sign('session', payload)}"

    def read(self, cookie_header: bytes | None) -> Session | None:
        """The session of a request's Cookie header; None when it carries none that is valid."""
        for value in self._given(cookie_header):
            if self._until(value) is not None:
                return Session(csrf_token=self._sign("csrf", value))
        return None

    def end(self, cookie_header: bytes | None) -> None:
        """Ends the sessions of a request's Cookie header, copies of the cookies included."""
        for value in self._given(cookie_header):
            until = self._until(value)
            if until is not None:
                self.ended.add(value, until=until, now=self._now())

    def _given(self, cookie_header: bytes | None) -> Iterator[str]:
        for part in (cookie_header or b"").decode("latin-1").split(";"):
            name, _, value = part.strip().partition("=")
            if name == self.cookie_name:
                yield value

    def _until(self, value: str) -> int | None:
        """When a cookie's time is over; None when it is not valid, or not any more."""
        payload, _, signature = value.rpartition(".")
        digits = payload.partition(".")[0]
        if len(value) > _LONGEST_COOKIE or not value.isascii() or not digits.isdigit():
            return None
        if not hmac.compare_digest(signature, self._sign("session", payload)):
            return None
        until = int(digits)
        if until <= self._now() or value in self.ended or self.ended.covers(until - SESSION_SECONDS):
            return None
        return until

    def _sign(self, purpose: str, text: str) -> str:
        digest = hmac.digest(self._secret, f"{purpose}:{text}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()

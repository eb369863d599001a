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
import secrets
from collections.abc import Callable, Iterator
from typing import Final

from standpipe_server.api.access.ended_sessions import EndedSessions
from standpipe_server.api.http.exchange import Session

SESSION_SECONDS: Final = 7 * 24 * 3600
CODE_SECONDS: Final = 15 * 60
FIRST_CODE_SECONDS: Final = 60 * 60
"""A person may read the link that `standpipe serve` prints long after the start."""
CSRF_HEADER: Final = b"standpipe-csrf"
_MOST_CODES: Final = 1000
_LONGEST_COOKIE: Final = 200


class Sessions:
    """Makes and checks codes and cookies. `now` in seconds since the epoch, `monotonic` in seconds."""

    def __init__(
        self, *, operator_key: str, ended: EndedSessions, now: Callable[[], float], monotonic: Callable[[], float]
    ) -> None:
        self._secret = hmac.digest(operator_key.encode(), b"standpipe browser sessions", "sha256")
        self._ended = ended
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
                self._ended.add(value, until=until, now=self._now())

    def keep_ended(self) -> None:
        """Writes down what was ended; takes as long as the disk does."""
        self._ended.keep()

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
        if until <= self._now() or value in self._ended or self._ended.covers(until - SESSION_SECONDS):
            return None
        return until

    def _sign(self, purpose: str, text: str) -> str:
        digest = hmac.digest(self._secret, f"{purpose}:{text}".encode(), "sha256")
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _digest(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()

"""A token that is read from a file, and read again when the server refuses it.

What writes the file (a secret's volume, a sidecar) may write a new token while the work runs, and later than the server
expects it. The invariant: the file is read when a request was refused, and at no other time.
"""

from __future__ import annotations

from standpipe.runtime import clock
from standpipe_protocol.bootstrap import BootstrapError, read_token_file

PATIENCE_SECONDS = 120.0
"""How long refusals of a file's token are not final, from the first on, and anew for each new token: a mounted secret
is renewed once in a minute or so."""


class TokenFile:
    """The file of one process's token."""

    def __init__(self, path: str, *, token: str) -> None:
        self._path = path
        self._token = token
        self._refused_at: float | None = None
        self.trouble = ""
        """Why there is no other token."""

    def renewed(self) -> str | None:
        """After a refusal: the new token in the file; None while it is the refused one, or cannot be read."""
        if self._refused_at is None:
            self._refused_at = clock.monotonic()
        self.trouble = f"the token in {self._path} is still the one that the server refuses"
        try:
            token = read_token_file(self._path)
        except BootstrapError as error:
            self.trouble = str(error)
            return None
        if token == self._token:
            return None
        self._token, self._refused_at = token, clock.monotonic()
        return token

    @property
    def may_change(self) -> bool:
        """Whether a new token may still be written."""
        return self._refused_at is None or clock.monotonic() - self._refused_at < PATIENCE_SECONDS

    def accepted(self) -> None:
        """The server took the token."""
        self._refused_at = None

"""Which version of the protocol a server speaks, asked once a client, and the refusal of one that is too old.

A server ignores members that it does not know, so a word that an old one ignores could make something green: what needs
a newer version asks here before it says anything. The invariant: one request a client, however many launches follow.
"""

from __future__ import annotations

import threading

from standpipe_orchestrator.client.transport import API_PATH, Transport
from standpipe_orchestrator.errors import ServerTooOld

ENDS_AND_ATTEMPTS = "1.1"
"""Brought outcomes, causes, attempts, the state of a launch, and optional Pipes."""


class ServerProtocol:
    """What the server at the other end of a transport speaks."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self._version: str | None = None

    @property
    def version(self) -> str:
        """As the server publishes it; the empty text where it publishes none."""
        with self._lock:
            if self._version is None:
                published = self._transport.call_object("GET", "/limits").get("protocol")
                self._version = published if isinstance(published, str) else ""
            return self._version

    def require(self, needed: str, *, what: str) -> None:
        """Raises:
        ServerTooOld: the server's version is older.
        BrokerError: it could not be asked.
        """
        version = self.version
        if _numbers(version) < _numbers(needed):
            speaks = f"speaks protocol {version}" if version else "does not say which protocol it speaks"
            raise ServerTooOld(
                f"The server at {self._transport.url} {speaks}, and {what} needs {needed}, which a server of this "
                "orchestrator's version has: upgrade the server, or use an orchestrator as old as it is.",
                call=f"GET {API_PATH}/limits",
                url=self._transport.url,
            )


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))

"""Says that the server is not reached: where it was looked for, why that failed, and what to do about it.

A program that waits for its context, or for its end, would otherwise be silent for as long as connections take to fail.
The invariant: it is said once an outage, and within `SECONDS` when nothing was heard since the process opened.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import TYPE_CHECKING

from standpipe.runtime.threads import background_thread

if TYPE_CHECKING:
    from collections.abc import Callable

    from standpipe_protocol.bootstrap import Bootstrap

SECONDS = 3.0

_log = logging.getLogger("standpipe.outbox")


class Reach:
    """What was said of one producer's server."""

    def __init__(self, bootstrap: Bootstrap) -> None:
        self._bootstrap = bootstrap
        self._told = False
        self._settled = threading.Event()

    def watch(self, trouble: Callable[[], str | None]) -> None:
        """Begins to wait for the first word of the server.

        Args:
            trouble: why nothing came, as far as that is known.
        """
        if not self._settled.is_set():
            # Where there is no further thread, the third failure tells.
            with contextlib.suppress(RuntimeError):
                background_thread(self._wait, args=(trouble,), name="standpipe-reach").start()

    def heard(self) -> None:
        """The server has answered, or nothing is awaited any more."""
        self._told = False
        self._settled.set()

    def tell(self, reason: str) -> None:
        """Says so, once until the server is heard again."""
        self._settled.set()
        if not self._told:
            self._told = True
            _log.warning(
                "The Standpipe server at %s takes no reports of invocation %s (%s). They are kept and tried again. %s",
                self._bootstrap.url,
                self._bootstrap.invocation,
                reason,
                remedy(reason),
            )

    def _wait(self, trouble: Callable[[], str | None]) -> None:
        if not self._settled.wait(SECONDS):
            self.tell(trouble() or f"it has not answered within {SECONDS:.0f} s")


def remedy(reason: str) -> str:
    """What to do, by why the server is not reached."""
    said = reason.lower()
    return next((todo for signs, todo in _REMEDIES if any(sign in said for sign in signs)), _ANY)


_ANY = (
    "Check that STANDPIPE_URL is an address that this machine can reach (a proxy, a firewall, a container's own "
    "localhost?) and that the server runs."
)
_REMEDIES = (
    (
        ("name or service", "nodename", "name resolution", "getaddrinfo", "no address associated", "idna"),
        "This machine does not know that host: check the name in STANDPIPE_URL, and this machine's DNS.",
    ),
    (
        ("refused",),
        "Nothing listens there: check host and port in STANDPIPE_URL, and that the server runs and listens for other "
        "machines (`standpipe serve --host`). In a container 127.0.0.1 is the container itself.",
    ),
    (
        ("certificate", "ssl", "tls"),
        "Set STANDPIPE_CA_FILE to the certificate that signed the server's, and check that STANDPIPE_URL says http or "
        "https as the server does.",
    ),
    (
        ("proxy",),
        "Check HTTP_PROXY, HTTPS_PROXY and ALL_PROXY, and name the server in NO_PROXY if it is to be reached directly.",
    ),
    (
        ("token",),
        "Check that STANDPIPE_TOKEN or STANDPIPE_TOKEN_FILE is what was handed out for this invocation.",
    ),
    (
        ("http ",),
        "Something else answers there, or the server is in trouble: check STANDPIPE_URL with its base path, and what "
        "stands between this process and the server (a proxy, a login page).",
    ),
    (
        ("timeout", "timed out", "not answered", "unreachable", "no route"),
        "Nothing comes back from there: check that STANDPIPE_URL is an address of a network that this machine is in, "
        "that no firewall drops what is sent, and that the server is not stuck.",
    ),
)

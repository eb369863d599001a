"""Warnings on the program's own log: the server is not reached, or a message cannot be stored.

A program that waits for its context, or for its end, would otherwise be silent for as long as connections take to fail.
The invariant: an outage is logged once, and within `SECONDS` when no answer came since the process opened; each kind of
loss is logged once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from standpipe.runtime.clock import utc_now
from standpipe.runtime.threads import BackgroundThread
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.json_text import encode_json
from standpipe_protocol.messages import Log, message_to_wire

if TYPE_CHECKING:
    from standpipe.delivery.message_queue import MessageQueue

SECONDS = 3.0

_log = logging.getLogger("standpipe.outbox")


class LossWarnings:
    """The warnings of one producer."""

    def __init__(self, queue: MessageQueue, *, invocation: str) -> None:
        self._queue = queue
        self._invocation = invocation
        self._warned: set[str] = set()

    def warn(self, *, trouble: str | None) -> None:
        """Logs a warning for each kind of loss that is new; `trouble` is why nothing reaches the server, where that is
        known."""
        reason = (trouble or "the memory queue and the spool file are full").rstrip(".")
        if self._queue.dropped and self._is_new("report"):
            _log.warning(
                "A report of invocation %s cannot be stored: %s. This and all further losses are counted, and make the "
                "invocation incomplete.",
                self._invocation,
                reason,
            )
        if self._queue.dropped_logs and self._is_new("log"):
            _log.warning(
                "Log lines of invocation %s are dropped: %s. Reports are kept. The number dropped is reported.",
                self._invocation,
                reason,
            )
        if self._queue.spool_error and self._is_new("disk"):
            _log.warning(
                'The reports of invocation %s cannot be written to disk (%s), as `spool="first"` asks. They wait in '
                "memory, and are lost if this process is killed before the server has them.",
                self._invocation,
                self._queue.spool_error,
            )

    def _is_new(self, kind: str) -> bool:
        new = kind not in self._warned
        self._warned.add(kind)
        return new


def dropped_note(number: int) -> tuple[str, bytes]:
    """Method and body of the message that tells the server how many log lines were dropped."""
    text = f"{number} log lines were dropped: memory and the spool file were full."
    note = Log(message=text, level="WARNING", details={"dropped_logs": number})
    return Log.method, encode_json(message_to_wire(note, sent_at=utc_now()))


class ReachabilityWarning:
    """Warns for one producer; `trouble` returns why no answer came, as far as that is known."""

    def __init__(self, bootstrap: Bootstrap, *, trouble: Callable[[], str | None]) -> None:
        self._bootstrap = bootstrap
        self._trouble = trouble
        self._warned = False
        self._settled = threading.Event()
        self._thread = BackgroundThread(self._wait, name="standpipe-reach")

    def start(self) -> None:
        """Begins to wait for the first answer. Without a further thread the third failure warns."""
        if not self._settled.is_set():
            self._thread.start()

    def answered(self) -> None:
        """The server has answered: the next outage is a new one."""
        self._warned = False
        self._settled.set()

    def stop(self, timeout: float) -> None:
        """Ends the wait."""
        self._settled.set()
        self._thread.join(timeout)

    def warn(self, reason: str) -> None:
        """Logs the warning, once until the server answers again."""
        self._settled.set()
        if not self._warned:
            self._warned = True
            _log.warning(
                "The Standpipe server at %s takes no reports of invocation %s (%s). They are kept and tried again. %s",
                self._bootstrap.url,
                self._bootstrap.invocation,
                reason,
                remedy(reason),
            )

    def _wait(self) -> None:
        if not self._settled.wait(SECONDS):
            self.warn(self._trouble() or f"it has not answered within {SECONDS:.0f} s")


def remedy(reason: str) -> str:
    """What to do, by why the server is not reached."""
    text = reason.lower()
    return next((advice for signs, advice in _REMEDIES if any(sign in text for sign in signs)), _ANY)


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
        "No answer comes from there: check that STANDPIPE_URL is an address of a network that this machine is in, that "
        "no firewall drops the packets, and that the server is not stuck.",
    ),
)

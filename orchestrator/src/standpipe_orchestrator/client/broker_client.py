"""Calls to the broker, grouped by what they are about: `client.invocations`, `.events`, `.assets`, `.errors`.

Synchronous and safe to use from several threads. Every call may be repeated without harm, so each is retried while the
failure may pass; what is still wrong then leaves as a `BrokerError` naming call, address and what to do.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from standpipe_orchestrator.client.archive_operations import ArchiveOperations
from standpipe_orchestrator.client.asset_operations import AssetOperations, ErrorOperations
from standpipe_orchestrator.client.event_operations import EventOperations
from standpipe_orchestrator.client.invocation_operations import InvocationOperations
from standpipe_orchestrator.client.server_protocol import ServerProtocol
from standpipe_orchestrator.client.transport import RETRY_SECONDS, Transport, operator_key
from standpipe_protocol.limits import Limits


class BrokerClient:
    """A broker, and the operator key for it.

    Args:
        url: origin and optional base path, without `/api/v1`.
        request_id: sent as `X-Request-ID` with every call, so that logs of several services can be joined.
        retry_seconds: how long a call is repeated while its failure may pass.
        environment: where proxies and the CA file are looked up; this process's when not given.
    """

    invocations: InvocationOperations
    events: EventOperations
    assets: AssetOperations
    errors: ErrorOperations
    archives: ArchiveOperations

    def __init__(
        self,
        url: str,
        *,
        api_key: str,
        request_id: str | None = None,
        retry_seconds: float = RETRY_SECONDS,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._api_key = operator_key(api_key)
        self._transport = Transport(
            url, api_key=api_key, request_id=request_id, retry_seconds=retry_seconds, environment=environment
        )
        self._protocol = ServerProtocol(self._transport)
        self.invocations = InvocationOperations(self._transport, protocol=self._protocol)
        self.events = EventOperations(self._transport, get=self.invocations.get)
        self.assets = AssetOperations(self._transport)
        self.errors = ErrorOperations(self._transport)
        self.archives = ArchiveOperations(self._transport, protocol=self._protocol)

    @property
    def api_key(self) -> str:
        """The operator key: for a process that is to act in this one's place."""
        return self._api_key

    @property
    def url(self) -> str:
        """Where the broker is, without `/api/v1`."""
        return self._transport.url

    def limits(self) -> Limits:
        """The limits the server publishes."""
        return Limits.from_wire(self._transport.call_object("GET", "/limits"))

    def require_protocol(self, needed: str, *, what: str) -> None:
        """Refuses a server that is too old; asks it once a client.

        Args:
            needed: the lowest version, "1.1".
            what: what needs it, for the sentence.

        Raises:
            ServerTooOld: the server's version is older.
        """
        self._protocol.require(needed, what=what)

    def login_link(self) -> str:
        """An address that signs one browser in to the server's pages, once, within a quarter of an hour.

        Raises:
            NotFound: the server is older than its pages.
        """
        link = self._transport.call_object("POST", "/login-links", retry=False).get("url")
        if not isinstance(link, str):
            raise self._transport.unexpected("POST", "/login-links", "without an address")
        return link

    def close(self) -> None:
        """Closes the connections; calls that wait for another try give up."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"BrokerClient({self.url!r}, api_key='***')"

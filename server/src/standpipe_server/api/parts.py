"""What the room is given to work with: built by the wiring, passed to every path, never global."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from standpipe_protocol.limits import Limits
from standpipe_server.api.access.guard import Guard
from standpipe_server.api.access.sessions import Sessions
from standpipe_server.api.http.bodies import Bodies
from standpipe_server.api.http.streams import Streams
from standpipe_server.api.metrics import Metrics
from standpipe_server.feed.wakeups import Feed
from standpipe_server.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiParts:
    store: Store
    feed: Feed
    guard: Guard
    sessions: Sessions
    bodies: Bodies
    streams: Streams
    metrics: Metrics
    limits: Limits
    executor: Executor
    identity: str
    """The home's secret, by which `/healthz` proves that this is its server."""
    public_url: str | None
    server_version: str

    @property
    def base_path(self) -> str:
        """The path below which clients find the pages and the API, without its final slash."""
        return unquote(urlsplit(self.public_url or "").path).rstrip("/")

    def __repr__(self) -> str:
        return f"ApiParts(public_url={self.public_url!r}, server_version={self.server_version!r})"

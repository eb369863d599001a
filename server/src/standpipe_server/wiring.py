"""Building the server's parts in order and closing them in the opposite order. Nothing is global, nothing is lazy."""

from __future__ import annotations

import logging
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from urllib.parse import urlsplit

from standpipe_protocol.home import Credentials
from standpipe_server.api.access.guard import Guard, host_name
from standpipe_server.api.access.rate_limits import Rates
from standpipe_server.api.access.sessions import EndedSessions, Sessions
from standpipe_server.api.http.bodies import Bodies, BodyBudget
from standpipe_server.api.http.streams import Streams
from standpipe_server.api.metrics import Metrics
from standpipe_server.api.parts import ApiParts
from standpipe_server.feed.listener import Listener, is_postgres
from standpipe_server.feed.wakeups import Feed
from standpipe_server.settings import LOOPBACK_NAMES, Settings
from standpipe_server.store import Store, StoreSettings

_log = logging.getLogger("standpipe.server")

# Bodies that are received or wait to be stored, over all requests: this many of the largest that the limits allow.
_LARGEST_BODIES = 4
_THREADS = 2
_ENDED_SESSIONS_FILE = "ended-sessions.json"


@dataclass(frozen=True, slots=True)
class Wiring:
    """The open parts."""

    store: Store
    feed: Feed
    api: ApiParts


@contextmanager
def open_wiring(settings: Settings, credentials: Credentials) -> Generator[Wiring]:
    """Opens store, feed and api parts; at the end the store has written everything it took."""
    with ExitStack() as stack:
        store = Store(
            StoreSettings(
                database_url=settings.database_url, migrate=settings.migrate, synchronous=settings.synchronous
            ),
            clock=_now,
            monotonic=_monotonic,
        )
        stack.callback(_close_store, store)
        feed = Feed()
        store.on_commit = feed.on_commit
        store.is_followed = feed.is_followed
        if is_postgres(settings.database_url):
            listener = Listener(settings.database_url, feed=feed)
            stack.callback(listener.close)
            listener.start()
        executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="standpipe-bodies")
        stack.callback(executor.shutdown)
        small_executor = ThreadPoolExecutor(1, thread_name_prefix="standpipe-small-bodies")
        stack.callback(small_executor.shutdown)
        budget = _LARGEST_BODIES * max(settings.limits.body_bytes, settings.limits.decompressed_bytes)
        bodies = Bodies(
            limits=settings.limits, executor=executor, small_executor=small_executor, budget=BodyBudget(budget)
        )
        api = _api_parts(settings, credentials, store=store, feed=feed, bodies=bodies, executor=small_executor)
        yield Wiring(store, feed, api)


def _api_parts(
    settings: Settings,
    credentials: Credentials,
    *,
    store: Store,
    feed: Feed,
    bodies: Bodies,
    executor: ThreadPoolExecutor,
) -> ApiParts:
    streams = Streams(feed)
    metrics = Metrics()
    metrics.gauge("standpipe_open_streams", "Streams and long polls open.", lambda: streams.open)
    metrics.gauge("standpipe_queued_writes", "Writes that wait.", lambda: store.statistics()["queued"])
    metrics.gauge("standpipe_queued_reads", "Reads that wait.", lambda: store.statistics()["queued_reads"])
    metrics.gauge(
        "standpipe_read_connections", "Database connections reading.", lambda: store.statistics()["read_connections"]
    )
    metrics.gauge("standpipe_feed_deaf", "1 while other servers' commits go unheard.", lambda: float(feed.deaf))
    ended = EndedSessions(settings.home / _ENDED_SESSIONS_FILE, now=time.time())
    sessions = Sessions(operator_key=credentials.api_key, ended=ended, now=time.time, monotonic=time.monotonic)
    return ApiParts(
        store=store,
        feed=feed,
        guard=Guard(
            callers=store.callers,
            operator_key=credentials.api_key,
            sessions=sessions,
            hosts=_served_hosts(settings),
            rates=Rates(per_second=settings.limits.requests_per_second),
        ),
        sessions=sessions,
        bodies=bodies,
        streams=streams,
        metrics=metrics,
        limits=settings.limits,
        executor=executor,
        identity=credentials.identity,
        public_url=settings.public_url,
        server_version=version("standpipe-server"),
    )


def _served_hosts(settings: Settings) -> frozenset[str] | None:
    """The host names that requests may carry; None allows any.

    On loopback the list is what keeps a web page that rebinds its name to 127.0.0.1 out.
    """
    if not settings.loopback_only and not settings.allowed_hosts:
        return None
    names = {*LOOPBACK_NAMES, settings.host.lower()}
    if settings.public_url:
        names.add((urlsplit(settings.public_url).hostname or "").lower())
    names.update(host_name(host) or host for host in settings.allowed_hosts)
    return frozenset(names - {""})


def _close_store(store: Store) -> None:
    if not store.close():
        _log.error("The store did not write in time what was still waiting; none of that was acknowledged.")


def _now() -> int:
    """Microseconds since the epoch, as the store counts."""
    return time.time_ns() // 1000


def _monotonic() -> int:
    return time.monotonic_ns() // 1000

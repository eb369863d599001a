"""One thread with one connection of its own that listens to what other server processes committed on PostgreSQL.

The store's writer sends `NOTIFY standpipe, '<pk>:<last_position>:<ended>'` inside its transaction. The connection is
not from the store's pool; when it breaks, the feed is marked deaf, and all readers are woken once it is back.
"""

from __future__ import annotations

import logging
import os
import select
import threading
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from standpipe_server.feed.wakeups import Feed
from standpipe_server.store import NOTIFY_CHANNEL as CHANNEL
from standpipe_server.store.database.engines import conninfo

if TYPE_CHECKING:
    import psycopg

_KEEPALIVE_SECONDS = 30.0
_CONNECT_SECONDS = 5
_UNANSWERED_MILLISECONDS = 20_000
_RETRY_SECONDS = 1.0

_log = logging.getLogger(__name__)


def is_postgres(database_url: str) -> bool:
    return database_url.startswith("postgres")


class Listener:
    """Wakes `feed` by PostgreSQL's notifications from `start()` to `close()`."""

    def __init__(self, database_url: str, *, feed: Feed) -> None:
        self._conninfo = conninfo(database_url)
        self._feed = feed
        # A pipe ends the wait at once, without a poll and without touching a connection from another thread.
        self._end_reader, self._end_writer = os.pipe()
        self._thread = threading.Thread(target=self._run, name="standpipe-listener", daemon=True)
        self._closed = False

    def start(self) -> None:
        self._feed.deaf = True
        self._thread.start()

    def close(self) -> None:
        """Ends the thread and waits for it, for as long as a connection attempt may take."""
        if self._closed:
            return
        self._closed = True
        os.write(self._end_writer, b"x")
        if self._thread.is_alive():
            self._thread.join(_CONNECT_SECONDS + 2)
        if not self._thread.is_alive():
            os.close(self._end_reader)
            os.close(self._end_writer)

    def _run(self) -> None:
        import psycopg

        while not self._ended_within(0):
            try:
                with psycopg.connect(
                    self._conninfo,
                    autocommit=True,
                    connect_timeout=_CONNECT_SECONDS,
                    # For a peer that is gone without closing, for which the statement below would wait.
                    tcp_user_timeout=_UNANSWERED_MILLISECONDS,
                    application_name="standpipe-feed",
                    client_encoding="UTF8",
                ) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._hear(True)
                    self._listen(connection)
            except (psycopg.Error, OSError) as error:
                if not self._closed:
                    _log.warning("The connection that listens to PostgreSQL broke and is made again: %s", error)
            finally:
                self._hear(False)
            if self._ended_within(_RETRY_SECONDS):
                return

    def _listen(self, connection: psycopg.Connection) -> None:
        while True:
            readable = _readable([connection.fileno(), self._end_reader], timeout=_KEEPALIVE_SECONDS)
            if self._end_reader in readable:
                return
            if not readable:
                connection.execute("SELECT 1")  # finds a peer that is gone without closing
            connection.pgconn.consume_input()
            self._feed.wake(self._told(connection))

    def _told(self, connection: psycopg.Connection) -> Iterable[int]:
        pks: set[int] = set()
        while (notification := connection.pgconn.notifies()) is not None:
            number = bytes(notification.extra).partition(b":")[0]
            if number.isdigit():
                pks.add(int(number))
        return pks

    def _hear(self, hearing: bool) -> None:
        self._feed.deaf = not hearing
        # Readers look for what was committed without a notification; and waits begun under the other state end.
        self._feed.wake_all()

    def _ended_within(self, seconds: float) -> bool:
        return bool(_readable([self._end_reader], timeout=seconds))


def _readable(descriptors: Sequence[int], *, timeout: float) -> set[int]:
    # poll, not select: with a thousand streams open a new descriptor is beyond what select can name.
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(timeout * 1000)}

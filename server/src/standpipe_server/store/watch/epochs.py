"""PostgreSQL: each writer of a server has a row with a number, which every one of its commits raises.

The last acknowledged number must be in the database: where it is not, that is another database, an older copy, a
standby that had not received everything, or one that lost commits in a crash. It is asked for in each transaction of a
writer, in the statement that also notifies, and when a connection is made: behind a pooler connections survive what
they were made to. What keeps the row and loses others (SQL by hand) is not seen.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError

from standpipe_server.broker.values.times import seconds
from standpipe_server.store.database.raw_sql import query
from standpipe_server.store.errors import DatabaseLost
from standpipe_server.store.wakes import NOTIFY_CHANNEL, Wake
from standpipe_server.store.watch.fence import Fence, Watch

_log = logging.getLogger(__name__)

_NO_TABLE = "42P01"
# Rows of servers that are gone. A year, since a server that had nothing to write is not gone.
_FORGOTTEN_AFTER = seconds(365 * 24 * 3600)
# What is acknowledged must outlast a crash under any default of database and role; set in each transaction,
# because a pooler may hand every one of them to another session. `remote_apply` is more than that.
_DURABLE = """
set_config(
    'synchronous_commit',
    CASE current_setting('synchronous_commit') WHEN 'remote_apply' THEN 'remote_apply' ELSE 'on' END,
    true
)
"""
# All that is one statement: each costs as much as the way to the database and back.
_RETURNING = f"""
RETURNING server_writer.epoch, {_DURABLE}, (
    SELECT count(pg_notify('{NOTIFY_CHANNEL}', payload)) FROM unnest(%s::text[]) AS payload
)
"""  # noqa: S608  put together of this module's own text
_FIRST = f"""
INSERT INTO server_writer (epoch, seen_at, server_id, writer) VALUES (%s, %s, %s, %s)
ON CONFLICT (server_id, writer) DO UPDATE SET epoch = excluded.epoch, seen_at = excluded.seen_at
{_RETURNING}
"""  # noqa: S608
_NEXT = f"""
UPDATE server_writer SET epoch = %s, seen_at = %s
WHERE server_id = %s AND writer = %s AND epoch >= %s AND epoch < %s {_RETURNING}
"""  # noqa: S608
_FORGET = "DELETE FROM server_writer WHERE seen_at < %s RETURNING 1"
_READ = "SELECT writer, epoch FROM server_writer WHERE server_id = %s"


class EpochWatch(Watch):
    def __init__(self, engine: Engine, *, fence: Fence, writers: int) -> None:
        """`engine` is the writers'; the schema is there."""
        self._fence = fence
        self._server_id = f"srv_{secrets.token_hex(16)}"
        # By writer. An attempt whose commit was not confirmed may be in the database, or not.
        self._acknowledged = [0] * writers
        self._attempted = [0] * writers
        with engine.connect() as connection:
            _warn_of_settings(connection)

    def attach(self, engine: Engine) -> None:
        @event.listens_for(engine, "connect")
        def on_connect(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]  the decorator took it
            try:
                self._fence.check()
                acknowledged = list(self._acknowledged)
                if any(acknowledged):
                    connection.autocommit = True
                    epochs = connection.execute(_READ, [self._server_id]).fetchall()
                    connection.autocommit = False
                    self._compare(acknowledged, dict(epochs))
            except BaseException as error:
                connection.close()
                self._explain(error)
                raise

    def before_commit(self, connection: Connection, *, now: int, writer: int, wakes: Sequence[Wake]) -> None:
        acknowledged = self._acknowledged[writer]
        if not acknowledged:
            # This writer's own row says nothing yet; the rows of the other writers do.
            self.look(connection)
            query(connection, _FORGET, [now - _FORGOTTEN_AFTER])
        self._attempted[writer] += 1
        epoch = self._attempted[writer]
        row: list[Any] = [epoch, now, self._server_id, writer]
        bounds = [acknowledged, epoch] if acknowledged else []
        statement = _NEXT if acknowledged else _FIRST
        if not query(connection, statement, [*row, *bounds, [wake.payload for wake in wakes]]):
            self.look(connection)
            raise self._lost("The database has commits under this server's name that it did not make")

    def committed(self, writer: int) -> None:
        self._acknowledged[writer] = self._attempted[writer]

    def explain(self, error: DBAPIError, *, writing: bool) -> None:
        self._explain(error.orig)

    def _explain(self, error: BaseException | None) -> None:
        if getattr(error, "sqlstate", None) == _NO_TABLE:
            raise self._lost("The database has lost its tables") from error

    def look(self, connection: Connection) -> None:
        # Before the statement, which sees all that was committed by then.
        acknowledged = list(self._acknowledged)
        if not any(acknowledged):
            return
        self._compare(acknowledged, dict(query(connection, _READ, [self._server_id])))

    def _compare(self, acknowledged: Sequence[int], epochs: Mapping[int, int]) -> None:
        for writer, epoch in enumerate(acknowledged):
            if epoch and writer not in epochs:
                raise self._lost("The database knows nothing of this server's commits")
            if epoch and epochs[writer] < epoch:
                missing = epoch - epochs[writer]
                raise self._lost(f"The database lacks at least {missing} commits that this server has acknowledged")

    def _lost(self, what: str) -> DatabaseLost:
        return self._fence.take_down(
            f"{what}: it was dropped and made anew, restored from an older copy, failed over to a standby that lagged "
            "behind, or it lost commits in a crash."
        )


def _warn_of_settings(connection: Connection) -> None:
    statement = (
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'full_page_writes') AND setting = 'off' ORDER BY 1"
    )
    off = [f"{name}=off" for (name,) in query(connection, statement, [])]
    if off:
        _log.warning(
            "PostgreSQL runs with %s: a crash of its machine can lose what was acknowledged, or damage the whole "
            "database. Switch it on for any data that matters.",
            " and ".join(off),
        )

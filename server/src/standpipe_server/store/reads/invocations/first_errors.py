"""Reading errors across invocations: the first exception, rejected message and error log of each, newest first."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import cast

from sqlalchemy import Connection, select, tuple_

from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.store.database import tables
from standpipe_server.store.errors import BadCursor
from standpipe_server.store.reads.cursors import Page, decode_cursor, encode_cursor


@dataclass(frozen=True, slots=True, kw_only=True)
class ErrorFilter:
    """Which errors a list shows. `kind` is `exception`, `rejected` or `log`; instants are microseconds."""

    kind: str | None = None
    since: int | None = None
    until: int | None = None


def list_errors(connection: Connection, filters: ErrorFilter, *, limit: int, cursor: str | None) -> Page:
    table, invocation = tables.first_error, tables.invocation
    place = (table.c.received_at, table.c.invocation_pk, table.c.kind)
    statement = (
        select(table, invocation.c.id, invocation.c.job_name, invocation.c.partition_key)
        .join(invocation, invocation.c.pk == table.c.invocation_pk)
        .order_by(*(column.desc() for column in place))
        .limit(limit + 1)
    )
    if filters.kind is not None:
        statement = statement.where(table.c.kind == filters.kind)
    if filters.since is not None:
        statement = statement.where(table.c.received_at >= filters.since)
    if filters.until is not None:
        statement = statement.where(table.c.received_at < filters.until)
    if cursor is not None:
        last: object = decode_cursor(("errors", filters), cursor)
        if not isinstance(last, list) or len(cast("list[object]", last)) != len(place):
            raise BadCursor
        statement = statement.where(tuple_(*place) < tuple_(*cast("list[object]", last)))
    rows = connection.execute(statement).all()
    items = [
        json.dumps(
            {
                "invocation_id": row.id,
                "job_name": row.job_name,
                "partition_key": row.partition_key,
                "kind": row.kind,
                "position": row.position,
                "received_at": to_rfc3339(row.received_at),
                "summary": row.summary,
            }
        ).encode()
        for row in rows[:limit]
    ]
    if len(rows) <= limit:
        return Page(items, None)
    last_shown = rows[limit - 1]
    key = [last_shown.received_at, last_shown.invocation_pk, last_shown.kind]
    return Page(items, encode_cursor(("errors", filters), key))

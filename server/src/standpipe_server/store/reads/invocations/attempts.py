"""The attempts of an invocation, as its own address shows them."""

from __future__ import annotations

import json

from sqlalchemy import Connection, func, select

from standpipe_protocol.json_text import JsonValue
from standpipe_server.store.database import tables

_LISTED = 100


def read_attempts(connection: Connection, invocation_pk: int, attempts: str | None) -> list[JsonValue]:
    """The attempts of an invocation, newest first; `attempts` as its row has them."""
    if attempts is None:
        return []
    names: dict[tuple[int, ...], list[JsonValue]] = {}
    for name, number in json.loads(attempts).get("names", {}).items():
        names.setdefault(tuple(number), []).append(name)
    table = tables.producer
    statement = (
        select(table.c.attempt, table.c.superseded, func.count().label("producers"))
        .where(table.c.invocation_pk == invocation_pk, table.c.attempt.is_not(None))
        .group_by(table.c.attempt, table.c.superseded)
    )
    counts: dict[tuple[int, ...], dict[bool, int]] = {number: {} for number in names}
    for row in connection.execute(statement):
        counts.setdefault(tuple(json.loads(row.attempt)), {})[bool(row.superseded)] = row.producers
    launcher = tuple(json.loads(attempts).get("launcher", ()))
    if launcher:
        counts.setdefault(launcher, {})
    newest = tuple(json.loads(attempts).get("newest", ()))
    return [
        {
            "attempt": list(number),
            "names": names.get(number, []),
            "producers": sum(counts[number].values()),
            "superseded": number < newest,
        }
        for number in sorted(counts, reverse=True)[:_LISTED]
    ]

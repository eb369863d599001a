"""The refused requests of invocations in one transaction: read once, written once, with the group's commit."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from standpipe_server.broker.lifecycle.refusals import Refusals
from standpipe_server.store.database.raw_sql import query
from standpipe_server.store.database.state_rows import read_refusals

_WRITE = """
INSERT INTO refusals (count, standing, entries, invocation_pk) VALUES ({place}, {place}, {place}, {place})
ON CONFLICT (invocation_pk) DO UPDATE
SET count = excluded.count, standing = excluded.standing, entries = excluded.entries
RETURNING 1
"""


class RefusalRows:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._place = "%s" if connection.dialect.name == "postgresql" else "?"
        self._known: dict[int, Refusals] = {}
        self._changed: set[int] = set()

    def of(self, invocation_pk: int) -> Refusals:
        """Those of an invocation, whose row is locked."""
        known = self._known.get(invocation_pk)
        if known is None:
            known = self._known[invocation_pk] = read_refusals(self._connection, invocation_pk)
        return known

    def put(self, invocation_pk: int, refusals: Refusals) -> None:
        self._known[invocation_pk] = refusals
        self._changed.add(invocation_pk)

    def forget(self, invocation_pk: int) -> None:
        """The invocation was deleted."""
        self._changed.discard(invocation_pk)

    def flush(self) -> None:
        for pk in sorted(self._changed):
            refusals = self._known[pk]
            values = [refusals.count, refusals.standing, msgspec.json.encode(refusals).decode(), pk]
            query(self._connection, _WRITE.format(place=self._place), values)
        self._changed.clear()

"""The last good one: the invocation that one compares a failed one with."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, select, tuple_

from standpipe_server.store.database import tables
from standpipe_server.store.errors import NotFound
from standpipe_server.store.reads.invocations.badges import is_clean
from standpipe_server.store.reads.invocations.filters import GOOD, Walk
from standpipe_server.store.reads.invocations.views import InvocationView, read_invocation

_LOOKED_AT = 1_000


def last_good(
    connection: Connection, invocation_id: str, *, clean: bool = False
) -> tuple[InvocationView | None, Sequence[str]]:
    """The last green one of the same job on the same assets that was registered before; one of the same partition if
    there is one. With `clean` one whose every check passed, among the last 1,000. Raises NotFound."""
    table = tables.invocation
    row = connection.execute(
        select(table.c.created_at, table.c.pk, table.c.family, table.c.partition_key).where(table.c.id == invocation_id)
    ).first()
    if row is None:
        raise NotFound(f"There is no invocation {invocation_id[:80]!r}.")
    if row.family is None:
        return None, ()
    place = (table.c.created_at, table.c.pk)
    before = (
        select(table.c.id)
        .where(table.c.family == row.family, GOOD, tuple_(*place) < tuple_(row.created_at, row.pk))
        .order_by(*(column.desc() for column in place))
    )
    alike = ["job_name", "asset_keys", "partition_key"]
    latest = _first(connection, before.where(table.c.partition_key == row.partition_key), clean=clean)
    if latest is None:
        # Where there is no partition, all are of the same.
        latest = _first(connection, before, clean=clean)
        alike = alike if row.partition_key is None else alike[:2]
    return (None, ()) if latest is None else (read_invocation(connection, latest), alike)


def _first(connection: Connection, ids: Walk, *, clean: bool) -> str | None:
    if not clean:
        return connection.scalar(ids.limit(1))
    table = tables.invocation
    last = ids.limit(_LOOKED_AT).subquery()
    latest = select(table.c.id).join(last, last.c.id == table.c.id).where(is_clean())
    return connection.scalar(latest.order_by(table.c.created_at.desc(), table.c.pk.desc()).limit(1))

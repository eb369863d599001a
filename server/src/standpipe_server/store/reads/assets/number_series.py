"""Numbers in metadata over time: which there are of an asset, and the points of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Unpack

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, Table, exists, func, literal_column, select

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.store.database import tables
from standpipe_server.store.database.carried_text import uncarry
from standpipe_server.store.database.raw_sql import distinct_values, query_among
from standpipe_server.store.errors import BadCursor
from standpipe_server.store.reads.assets.reports import ReportFilter, asset_pk_of
from standpipe_server.store.reads.cursors import decode_cursor, encode_cursor

NO_LABEL = ""
_LOOKED_AT_AGAIN = 500


class _Row(NamedTuple):
    pk: int
    invocation_pk: int
    received_at: int
    value: float | None
    not_finite: str | None
    position: int
    partition_key: str | None


_ROWS = f"SELECT {', '.join(_Row._fields)} FROM metadata_number WHERE pk {{among}}"  # noqa: S608


def list_labels(
    connection: Connection, asset_key: str, *, check_name: str, limit: int, cursor: str | None = None
) -> dict[str, JsonValue]:
    """The labels under which numbers were reported, in their order, each with its last point.

    `left_out` is the most numbers of one report that were not taken: it had too many, or labels too long.
    Raises NotFound and BadCursor.
    """
    asset_pk, table = asset_pk_of(connection, asset_key), tables.metadata_number
    binding = ("labels", asset_key, check_name)
    beyond = None if cursor is None else decode_cursor(binding, cursor)
    if not isinstance(beyond, str | None):
        raise BadCursor
    reports = [table.c.asset_pk == asset_pk, table.c.check_name == check_name]
    left_out = connection.scalar(select(func.max(table.c.value)).where(*reports, table.c.label == NO_LABEL))
    held = [*reports, table.c.label != NO_LABEL]
    names = list(distinct_values(connection, table.c.label, held, limit=limit + 1, beyond=beyond))
    labels: list[JsonValue] = []
    for label in names[:limit]:
        newest = _points(held, label).order_by(table.c.received_at.desc(), table.c.pk.desc()).limit(1)
        if (row := connection.execute(newest).first()) is not None:
            ids = _ids(connection, [row])
            if row.invocation_pk in ids:
                labels.append({"label": label, "last": _point(row, ids=ids)})
    next_cursor = encode_cursor(binding, names[limit - 1]) if len(names) > limit else None
    return {"items": labels, "next_cursor": next_cursor, "left_out": int(left_out or 0)}


def read_series(
    connection: Connection, asset_key: str, label: str, filters: ReportFilter, *, max_points: int
) -> dict[str, JsonValue]:
    """The `points` of one label, oldest first; of a check where the filter names one, else of materializations.

    Where there are more than `max_points` they are `binned`: the last of each bin, with the bin's least, greatest and
    count. Raises NotFound when nothing was reported on the asset.
    """
    table = tables.metadata_number
    asset_pk = asset_pk_of(connection, asset_key)
    held = [table.c.asset_pk == asset_pk, table.c.check_name == (filters.check_name or ""), table.c.label != NO_LABEL]
    if filters.partition_key is not None:
        held.append(table.c.partition_key == filters.partition_key)
    if filters.since is not None:
        held.append(table.c.received_at >= filters.since)
    if filters.until is not None:
        held.append(table.c.received_at < filters.until)
    # Whether there are too many stands in the index; what they are is fetched once it is known how.
    instants = select(table.c.received_at).where(*held, table.c.label == label).order_by(table.c.received_at)
    if connection.scalar(instants.offset(max_points).limit(1)) is None:
        in_order = _points(held, label).order_by(table.c.received_at, table.c.pk).limit(max_points)
        rows = connection.execute(in_order).all()
        ids = _ids(connection, rows)
        points = [_point(row, ids=ids) for row in rows if row.invocation_pk in ids]
        return {"points": points, "binned": False}
    first = connection.scalar(instants.limit(1)) or 0
    return {"points": _binned(connection, held, label, first=first, most=max_points), "binned": True}


def _binned(
    connection: Connection, held: Sequence[ColumnElement[bool]], label: str, *, first: int, most: int
) -> list[JsonValue]:
    """The series in at most `most` bins of equal width in time."""
    table = tables.metadata_number
    fits = [*held, table.c.label == label]
    last = connection.scalar(
        select(table.c.received_at).where(*fits).order_by(table.c.received_at.desc(), table.c.pk.desc()).limit(1)
    )
    width = ((last or first) - first) // most + 1
    number: ColumnElement[int] = literal_column(
        f"((metadata_number.received_at - {int(first)}) / {int(width)})", BigInteger
    )
    bins = (
        select(func.max(table.c.pk), func.min(table.c.value), func.max(table.c.value), func.count())
        .where(*fits)
        .group_by(number)
    )
    binned = {pk: bounds for pk, *bounds in connection.execute(bins)}
    # By their keys: joined to them, a database may read the whole table of invocations for a few hundred.
    rows = sorted(
        (_Row._make((*row, uncarry(partition))) for *row, partition in query_among(connection, _ROWS, list(binned))),
        key=lambda row: (row.received_at, row.pk),
    )
    ids = _ids(connection, rows)
    return [_point(row, *binned[row.pk], ids=ids) for row in rows if row.invocation_pk in ids]


def _points(held: Sequence[ColumnElement[bool]], label: str) -> Select[Unpack[tuple[Any, ...]]]:
    table = tables.metadata_number
    return select(*(table.c[name] for name in _Row._fields)).where(*held, table.c.label == label)


def _ids(connection: Connection, rows: Sequence[Any]) -> dict[int, str]:
    """Of the invocations that reported these points, by their rows; one may have been deleted just now."""
    pks = sorted({row.invocation_pk for row in rows})
    return dict(query_among(connection, "SELECT pk, id FROM invocation WHERE pk {among}", pks))


def _point(
    row: Any, least: float | None = None, greatest: float | None = None, count: int = 1, *, ids: Mapping[int, str]
) -> JsonValue:
    """`min` and `max` are those of the bin's finite numbers; where there is none they are what the value is."""
    value = row.value if row.not_finite is None else row.not_finite
    return {
        "at": to_rfc3339(row.received_at),
        "value": value,
        "invocation_id": ids[row.invocation_pk],
        "position": row.position,
        "partition_key": row.partition_key,
        "min": value if least is None else least,
        "max": value if greatest is None else greatest,
        "count": count,
    }


def has_numbers_left(connection: Connection, asset_pk: int, table: Table) -> bool:
    """Whether there is something for `TakeNumbers`: reports to take, or many to remember as taken."""
    through = taken_through(connection, asset_pk, table)
    left = select(table.c.pk).where(*not_taken(table, asset_pk, through)).limit(1)
    if connection.scalar(left) is not None:
        return True
    beyond = select(table.c.pk).where(table.c.asset_pk == asset_pk, table.c.pk > through).limit(_LOOKED_AT_AGAIN)
    return len(connection.execute(beyond).all()) == _LOOKED_AT_AGAIN


def taken_through(connection: Connection, asset_pk: int, table: Table, *, lock: bool = False) -> int:
    statement = select(tables.asset.c[f"numbered_{table.name}"]).where(tables.asset.c.pk == asset_pk)
    # Two servers must not take the same report.
    return connection.scalar(statement.with_for_update() if lock else statement) or 0


def not_taken(table: Table, asset_pk: int, through: int) -> list[ColumnElement[bool]]:
    numbers = tables.metadata_number
    is_taken = exists().where(numbers.c.invocation_pk == table.c.invocation_pk, numbers.c.position == table.c.position)
    return [table.c.asset_pk == asset_pk, table.c.pk > through, ~is_taken]

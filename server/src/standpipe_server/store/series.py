"""Numbers in metadata over time: which there are of an asset, and the points of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Unpack

from sqlalchemy import BigInteger, ColumnElement, Connection, Select, func, literal_column, select

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.times import to_rfc3339
from standpipe_server.store import tables
from standpipe_server.store.assets import asset_pk_of
from standpipe_server.store.numbers import NO_LABEL
from standpipe_server.store.skipping import distinct_values

_MOST_LABELS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesFilter:
    """Which points; instants are microseconds since the epoch. An empty `check_name` means materializations."""

    max_points: int
    check_name: str = ""
    partition_key: str | None = None
    since: int | None = None
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Series:
    """Points, oldest first. Where there were more than asked for they are `binned`: the last of each bin, with the
    bin's least, greatest and count."""

    points: list[JsonValue]
    binned: bool


def list_labels(connection: Connection, asset_key: str, *, check_name: str) -> list[JsonValue]:
    """The labels under which numbers were reported, each with its last point. Raises NotFound."""
    asset_pk, table = asset_pk_of(connection, asset_key), tables.metadata_number
    held = [table.c.asset_pk == asset_pk, table.c.check_name == check_name, table.c.label != NO_LABEL]
    labels: list[JsonValue] = []
    for label in distinct_values(connection, table.c.label, held, limit=_MOST_LABELS):
        newest = _points(held, label).order_by(table.c.received_at.desc(), table.c.pk.desc()).limit(1)
        if (row := connection.execute(newest).first()) is not None:
            labels.append({"label": label, "last": _point(row)})
    return labels


def read_series(connection: Connection, asset_key: str, label: str, wanted: SeriesFilter) -> Series:
    """Raises NotFound when nothing was reported on the asset."""
    table = tables.metadata_number
    held = [table.c.asset_pk == asset_pk_of(connection, asset_key), table.c.check_name == wanted.check_name]
    held.append(table.c.label != NO_LABEL)
    if wanted.partition_key is not None:
        held.append(table.c.partition_key == wanted.partition_key)
    if wanted.since is not None:
        held.append(table.c.received_at >= wanted.since)
    if wanted.until is not None:
        held.append(table.c.received_at < wanted.until)
    # Whether there are too many stands in the index; what they are is fetched once it is known how.
    instants = select(table.c.received_at).where(*held, table.c.label == label).order_by(table.c.received_at)
    if connection.scalar(instants.offset(wanted.max_points).limit(1)) is None:
        in_order = _points(held, label).order_by(table.c.received_at, table.c.pk).limit(wanted.max_points)
        return Series([_point(row) for row in connection.execute(in_order)], binned=False)
    first = connection.scalar(instants.limit(1)) or 0
    return Series(_binned(connection, held, label, first=first, most=wanted.max_points), binned=True)


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
        select(
            func.max(table.c.pk).label("pk"),
            func.min(table.c.value).label("least"),
            func.max(table.c.value).label("greatest"),
            func.count().label("how_many"),
        )
        .where(*fits)
        .group_by(number)
        .subquery()
    )
    statement = (
        _columns()
        .add_columns(bins.c.least, bins.c.greatest, bins.c.how_many)
        .join(bins, bins.c.pk == table.c.pk)
        .order_by(table.c.received_at, table.c.pk)
    )
    return [
        _point(row, least=row.least, greatest=row.greatest, count=row.how_many) for row in connection.execute(statement)
    ]


def _columns() -> Select[Unpack[tuple[Any, ...]]]:
    table, invocation = tables.metadata_number, tables.invocation
    return (
        select(table.c.received_at, table.c.value, table.c.position, table.c.partition_key, invocation.c.id)
        .select_from(table)
        .join(invocation, invocation.c.pk == table.c.invocation_pk)
    )


def _points(held: Sequence[ColumnElement[bool]], label: str) -> Select[Unpack[tuple[Any, ...]]]:
    return _columns().where(*held, tables.metadata_number.c.label == label)


def _point(row: Any, *, least: float | None = None, greatest: float | None = None, count: int = 1) -> JsonValue:
    return {
        "at": to_rfc3339(row.received_at),
        "value": row.value,
        "invocation_id": row.id,
        "position": row.position,
        "partition_key": row.partition_key,
        "min": row.value if least is None else least,
        "max": row.value if greatest is None else greatest,
        "count": count,
    }

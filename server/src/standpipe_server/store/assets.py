"""Reading by asset, across invocations: which assets there are, their materializations and checks, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Select, Table, exists, or_, select

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.metadata import normalise_metadata
from standpipe_server.broker.long_integers import LongIntegers
from standpipe_server.store import tables
from standpipe_server.store.cursors import Page, decode_cursor, encode_cursor
from standpipe_server.store.errors import BadCursor, NotFound
from standpipe_server.store.events import ProducerNames, read_events_at
from standpipe_server.store.skipping import distinct_values

_MOST_CHECKS = 200
_MOST_LABELS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFilter:
    """Which materializations or checks a list shows. Instants are microseconds since the epoch."""

    partition_key: str | None = None
    check_name: str | None = None
    since: int | None = None
    until: int | None = None


def list_assets(
    connection: Connection, *, limit: int, cursor: str | None, text: str | None, names: ProducerNames
) -> Page:
    """The assets on which something was reported, by key, each with its latest materialization and check."""
    asset, binding = tables.asset, ("assets", text)
    statement = select(asset).where(_reported_on()).order_by(asset.c.asset_key).limit(limit + 1)
    if text:
        statement = statement.where(asset.c.asset_key.contains(text, autoescape=True))
    if cursor is not None:
        last_key = decode_cursor(binding, cursor)
        if not isinstance(last_key, str):
            raise BadCursor
        statement = statement.where(asset.c.asset_key > last_key)
    found = connection.execute(statement).all()
    integers = LongIntegers()
    summaries = (_summary(connection, row.pk, row.asset_key, integers, names=names) for row in found[:limit])
    items = [integers.encode(summary) for summary in summaries]
    return Page(items, encode_cursor(binding, found[limit - 1].asset_key) if len(found) > limit else None)


def read_asset(connection: Connection, asset_key: str, *, names: ProducerNames) -> bytes:
    """One asset: its latest materialization and the latest report of each of its checks. Raises NotFound."""
    pk, integers = asset_pk_of(connection, asset_key), LongIntegers()
    summary = _summary(connection, pk, asset_key, integers, names=names)
    newest = list(_newest_checks(connection, pk).values())
    summary["checks"] = cast("JsonValue", report_items(connection, newest, asset_key, integers, names=names))
    labels = tables.metadata_number
    held = [labels.c.asset_pk == pk, labels.c.check_name == "", labels.c.label != ""]
    summary["numeric_labels"] = list(distinct_values(connection, labels.c.label, held, limit=_MOST_LABELS))
    return integers.encode(summary)


def list_reports(
    connection: Connection,
    table: Table,
    asset_key: str,
    filters: ReportFilter,
    *,
    limit: int,
    cursor: str | None,
    names: ProducerNames,
) -> Page:
    """Materializations or checks (`table`) of an asset, newest first. Raises NotFound when nothing was reported."""
    binding = (table.name, asset_key, filters)
    statement = select_reports(table, asset_pk_of(connection, asset_key)).limit(limit + 1)
    if filters.partition_key is not None:
        statement = statement.where(table.c.partition_key == filters.partition_key)
    if filters.check_name is not None and table is tables.asset_check:
        statement = statement.where(table.c.check_name == filters.check_name)
    if filters.since is not None:
        statement = statement.where(table.c.received_at >= filters.since)
    if filters.until is not None:
        statement = statement.where(table.c.received_at < filters.until)
    if cursor is not None:
        last_pk = decode_cursor(binding, cursor)
        if not isinstance(last_pk, int):
            raise BadCursor
        statement = statement.where(table.c.pk < last_pk)
    found = connection.execute(statement).mappings().all()
    integers = LongIntegers()
    items = [
        integers.encode(item) for item in report_items(connection, found[:limit], asset_key, integers, names=names)
    ]
    return Page(items, encode_cursor(binding, found[limit - 1]["pk"]) if len(found) > limit else None)


def _reported_on() -> Any:
    asset = tables.asset
    materialized = exists().where(tables.materialization.c.asset_pk == asset.c.pk)
    checked = exists().where(tables.asset_check.c.asset_pk == asset.c.pk)
    return or_(materialized, checked)


def asset_pk_of(connection: Connection, asset_key: str) -> int:
    """Raises NotFound when nothing was reported on it."""
    statement = select(tables.asset.c.pk).where(tables.asset.c.asset_key == asset_key, _reported_on())
    pk = connection.scalar(statement)
    if pk is None:
        raise NotFound(f"Nothing was reported on an asset with the key {asset_key[:200]!r}.")
    return pk


def select_reports(table: Table, asset_pk: int) -> Select[Any]:
    invocation = tables.invocation
    return (
        select(table, invocation.c.id.label("invocation_id"))
        .join(invocation, invocation.c.pk == table.c.invocation_pk)
        .where(table.c.asset_pk == asset_pk)
        .order_by(table.c.pk.desc())
    )


def _summary(
    connection: Connection, pk: int, asset_key: str, integers: LongIntegers, *, names: ProducerNames
) -> dict[str, JsonValue]:
    summary: dict[str, JsonValue] = {"asset_key": asset_key}
    for member, table in (("last_materialization", tables.materialization), ("last_check", tables.asset_check)):
        row = connection.execute(select_reports(table, pk).limit(1)).mappings().first()
        found = [] if row is None else report_items(connection, [row], asset_key, integers, names=names)
        summary[member] = found[0] if found else None
    newest = _newest_checks(connection, pk).values() if summary["last_check"] is not None else ()
    summary["check_state"] = {
        "passed": sum(row["passed"] for row in newest),
        "failed": sum(not row["passed"] and row["severity"] != "WARN" for row in newest),
        "warned": sum(not row["passed"] and row["severity"] == "WARN" for row in newest),
    }
    return summary


def _newest_checks(connection: Connection, pk: int) -> dict[str, RowMapping]:
    """The last report of each check of an asset, by the check's name."""
    table = tables.asset_check
    held = [table.c.asset_pk == pk]
    newest: dict[str, RowMapping] = {}
    for name in distinct_values(connection, table.c.check_name, held, limit=_MOST_CHECKS):
        statement = select_reports(table, pk).where(table.c.check_name == name).limit(1)
        newest[name] = connection.execute(statement).mappings().one()
    return newest


def report_items(
    connection: Connection,
    found: Sequence[RowMapping],
    asset_key: str,
    integers: LongIntegers,
    *,
    names: ProducerNames,
) -> list[dict[str, JsonValue]]:
    """The event of each row, with what is known of it beside: the metadata comes in normal form."""
    places = [(row["invocation_pk"], row["position"]) for row in found]
    events = read_events_at(connection, places, names=names)
    items: list[dict[str, JsonValue]] = []
    for row, place in zip(found, places, strict=True):
        event = cast("dict[str, JsonValue]", integers.decode(events[place].text))
        params = cast("dict[str, JsonValue]", event["params"])
        metadata = cast("dict[str, JsonValue] | None", params.get("metadata"))
        item = event | {"invocation_id": row["invocation_id"], "asset_key": asset_key}
        item["partition_key"] = row["partition_key"]
        if "data_version" in row:
            item["data_version"] = row["data_version"]
        else:
            item |= {"check_name": row["check_name"], "passed": row["passed"], "severity": row["severity"]}
        item["metadata"] = {name: entry.to_wire() for name, entry in normalise_metadata(metadata).items()}
        items.append(item)
    return items

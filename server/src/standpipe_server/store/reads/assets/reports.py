"""Reading by asset, across invocations: which assets there are, their materializations, observations and
checks, newest first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, RowMapping, Select, Table, exists, or_, select, tuple_

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.metadata import normal_form
from standpipe_server.broker.values.long_integers import LongIntegers
from standpipe_server.store.database import tables
from standpipe_server.store.database.raw_sql import distinct_values
from standpipe_server.store.errors import BadCursor, NotFound
from standpipe_server.store.events.event_pages import read_events_at
from standpipe_server.store.events.segments import StoredEvent
from standpipe_server.store.reads.cursors import Page, decode_cursor, encode_cursor

MATERIALIZATIONS, OBSERVATIONS, CHECKS = tables.materialization, tables.observation, tables.asset_check
"""What `list_reports` lists."""
_MOST_CHECKS = 200
NO_END = 2**62
_MOST_LABELS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFilter:
    """Which materializations, observations or checks a list shows. Instants are microseconds since the epoch."""

    partition_key: str | None = None
    check_name: str | None = None
    since: int | None = None
    until: int | None = None


def list_assets(connection: Connection, *, limit: int, cursor: str | None, text: str | None) -> Page:
    """The assets on which something was reported, by key, each with its latest reports."""
    asset, binding = tables.asset, ("assets", text)
    statement = select(asset).where(_reported_on()).order_by(asset.c.asset_key).limit(limit + 1)
    if text:
        statement = statement.where(asset.c.asset_key.contains(text, autoescape=True))
    if cursor is not None:
        last_key = decode_cursor(binding, cursor)
        if not isinstance(last_key, str):
            raise BadCursor
        statement = statement.where(asset.c.asset_key > last_key)
    rows = connection.execute(statement).all()
    integers = LongIntegers()
    latest = [_latest(connection, row.pk, row.asset_key) for row in rows[:limit]]
    summaries = _summaries(connection, latest, integers)
    items = [integers.encode(summary) for summary in summaries]
    return Page(items, encode_cursor(binding, rows[limit - 1].asset_key) if len(rows) > limit else None)


def read_asset(connection: Connection, asset_key: str) -> bytes:
    """One asset: its latest materialization and observation, and the latest report of each check. Raises NotFound."""
    pk, integers = asset_pk_of(connection, asset_key), LongIntegers()
    latest = _latest(connection, pk, asset_key)
    summary = _summaries(connection, [latest], integers)[0]
    summary["checks"] = cast("JsonValue", report_items(connection, latest.checks, asset_key, integers))
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
) -> Page:
    """What one `table` holds of an asset, newest first. Raises NotFound when nothing was reported."""
    binding = (table.name, asset_key, filters)
    before = NO_END
    if cursor is not None:
        before = decode_cursor(binding, cursor)
        if not isinstance(before, int):
            raise BadCursor
    # Of checks and observations no index is by partition.
    within = {tables.asset_check: {"check_name": filters.check_name}, tables.observation: {}}.get(
        table, {"partition_key": filters.partition_key}
    )
    asset_pk = asset_pk_of(connection, asset_key)
    statement = select_reports(connection, table, asset_pk, before=before, within=within).limit(limit + 1)
    if filters.partition_key is not None:
        # Said like this too: the index of partitions holds those only that are there.
        statement = statement.where(table.c.partition_key == filters.partition_key)
    if filters.since is not None:
        statement = statement.where(table.c.received_at >= filters.since)
    if filters.until is not None:
        statement = statement.where(table.c.received_at < filters.until)
    rows = connection.execute(statement).mappings().all()
    integers = LongIntegers()
    items = [integers.encode(item) for item in report_items(connection, rows[:limit], asset_key, integers)]
    return Page(items, encode_cursor(binding, rows[limit - 1]["pk"]) if len(rows) > limit else None)


def _reported_on() -> Any:
    asset = tables.asset
    reports = (tables.materialization, tables.asset_check, tables.observation)
    return or_(*(exists().where(table.c.asset_pk == asset.c.pk) for table in reports))


def asset_pk_of(connection: Connection, asset_key: str) -> int:
    """Raises NotFound when nothing was reported on it."""
    statement = select(tables.asset.c.pk).where(tables.asset.c.asset_key == asset_key, _reported_on())
    pk = connection.scalar(statement)
    if pk is None:
        raise NotFound(f"Nothing was reported on an asset with the key {asset_key[:200]!r}.")
    return pk


def select_reports(
    connection: Connection,
    table: Table,
    asset_pk: int,
    *,
    before: int = NO_END,
    within: Mapping[str, str | None] | None = None,
) -> Select[Any]:
    """Newest first: rows before the key `before`, with these values `within` the asset, where they are given."""
    invocation = tables.invocation
    fixed: dict[str, Any] = {"asset_pk": asset_pk}
    fixed |= {name: value for name, value in (within or {}).items() if value is not None}
    columns = [*(table.c[name] for name in fixed), table.c.pk]
    if connection.dialect.name == "postgresql":
        # As a range of the index that begins with these columns. From `asset_pk = ?` and the order by `pk` it may
        # conclude to walk through everybody's reports until it has met enough of this asset's.
        place, types = tuple_(*columns), [column.type for column in columns]
        first, end = ((*fixed.values(), key) for key in (0, before))
        conditions = [place > tuple_(*first, types=types), place < tuple_(*end, types=types)]
    else:
        # SQLite goes straight to a key only where the columns before it are fixed.
        conditions = [*(table.c[name] == value for name, value in fixed.items()), table.c.pk < before]
    return (
        select(table, invocation.c.id.label("invocation_id"))
        .join(invocation, invocation.c.pk == table.c.invocation_pk)
        .where(*conditions)
        .order_by(*(column.desc() for column in columns))
    )


@dataclass(frozen=True, slots=True)
class _Latest:
    """The rows of what was reported last on an asset: its materialization, its observation, each of its checks."""

    asset_key: str
    materialization: RowMapping | None
    observation: RowMapping | None
    checks: Sequence[RowMapping]
    last_check: RowMapping | None


def _latest(connection: Connection, pk: int, asset_key: str) -> _Latest:
    materialized, observed = (
        connection.execute(select_reports(connection, table, pk).limit(1)).mappings().first()
        for table in (tables.materialization, tables.observation)
    )
    checks = list(_newest_checks(connection, pk).values())
    last_check = max(checks, key=lambda row: row["pk"], default=None)
    if len(checks) >= _MOST_CHECKS:
        # Not all of its checks were looked at.
        statement = select_reports(connection, tables.asset_check, pk).limit(1)
        last_check = connection.execute(statement).mappings().first()
    return _Latest(asset_key, materialized, observed, checks, last_check)


def _summaries(connection: Connection, latest: Sequence[_Latest], integers: LongIntegers) -> list[dict[str, JsonValue]]:
    """Of many assets, their events read together."""
    summaries: list[dict[str, JsonValue]] = []
    shown: list[tuple[dict[str, JsonValue], str, str, RowMapping]] = []
    for one in latest:
        summary: dict[str, JsonValue] = {"asset_key": one.asset_key}
        for member, row in (
            ("last_materialization", one.materialization),
            ("last_observation", one.observation),
            ("last_check", one.last_check),
        ):
            summary[member] = None
            if row is not None:
                shown.append((summary, member, one.asset_key, row))
        summary["check_state"] = {
            "passed": sum(row["passed"] for row in one.checks),
            "failed": sum(not row["passed"] and row["severity"] != "WARN" for row in one.checks),
            "warned": sum(not row["passed"] and row["severity"] == "WARN" for row in one.checks),
        }
        summaries.append(summary)
    events = read_events_at(connection, [_place(row) for *_, row in shown])
    for summary, member, asset_key, row in shown:
        summary[member] = _report_item(row, events[_place(row)], asset_key, integers)
    return summaries


def _newest_checks(connection: Connection, pk: int) -> dict[str, RowMapping]:
    """The last report of each check of an asset, by the check's name."""
    table = tables.asset_check
    held = [table.c.asset_pk == pk]
    newest: dict[str, RowMapping] = {}
    for name in distinct_values(connection, table.c.check_name, held, limit=_MOST_CHECKS):
        statement = select_reports(connection, table, pk, within={"check_name": name}).limit(1)
        newest[name] = connection.execute(statement).mappings().one()
    return newest


def report_items(
    connection: Connection,
    rows: Sequence[RowMapping],
    asset_key: str,
    integers: LongIntegers,
) -> list[dict[str, JsonValue]]:
    """The event of each row, with what is known of it beside: the metadata comes in normal form."""
    events = read_events_at(connection, [_place(row) for row in rows])
    return [_report_item(row, events[_place(row)], asset_key, integers) for row in rows]


def _place(row: RowMapping) -> tuple[int, int]:
    return row["invocation_pk"], row["position"]


def _report_item(row: RowMapping, stored: StoredEvent, asset_key: str, integers: LongIntegers) -> dict[str, JsonValue]:
    event = cast("dict[str, JsonValue]", integers.decode(stored.text))
    params = cast("dict[str, JsonValue]", event["params"])
    item = event | {"invocation_id": row["invocation_id"], "asset_key": asset_key}
    item["partition_key"] = row["partition_key"]
    if "data_version" in row:
        item["data_version"] = row["data_version"]
    else:
        item |= {"check_name": row["check_name"], "passed": row["passed"], "severity": row["severity"]}
    item["metadata"] = cast("JsonValue", normal_form(params.get("metadata")))
    return item

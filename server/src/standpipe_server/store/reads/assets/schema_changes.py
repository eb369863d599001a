"""How an asset's table schema changed from one materialization to the next."""

from __future__ import annotations

from typing import Any, cast

from sqlalchemy import Connection

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.differences import difference_of
from standpipe_server.broker.values.long_integers import LongIntegers
from standpipe_server.store.database import tables
from standpipe_server.store.errors import BadCursor
from standpipe_server.store.reads.assets.reports import NO_END, asset_pk_of, report_items, select_reports
from standpipe_server.store.reads.cursors import Page, decode_cursor, encode_cursor

_LOOKED_AT = 200
"""Materializations a page looks at."""


def list_schema_changes(connection: Connection, asset_key: str, *, limit: int, cursor: str | None) -> Page:
    """Newest first. A page that looked at many materializations without a change ends before its limit.

    A schema is compared with the one before it under the same label, among those that the page looked at.
    """
    binding, table = ("schema-changes", asset_key), tables.materialization
    first = None if cursor is None else decode_cursor(binding, cursor)
    if not isinstance(first, int | None):
        raise BadCursor
    before = NO_END if first is None else first + 1
    asset_pk = asset_pk_of(connection, asset_key)
    statement = select_reports(connection, table, asset_pk, before=before).limit(_LOOKED_AT)
    rows = connection.execute(statement).mappings().all()
    integers = LongIntegers()
    items = report_items(connection, rows, asset_key, integers)
    newer: dict[str, dict[str, Any]] = {}
    changes: list[bytes] = []
    for row, item in zip(rows, cast("list[dict[str, Any]]", items), strict=True):
        for label, entry in item["metadata"].items():
            if entry["type"] != "table_schema":
                continue
            if (after := newer.get(label)) is not None and (change := _change(after, item, label)) is not None:
                changes.append(integers.encode(change))
            newer[label] = item
        if len(changes) >= limit and row is not rows[-1]:
            # The next page begins with this one, whose own change is not told yet.
            return Page(changes, encode_cursor(binding, row["pk"]))
    more = len(rows) == _LOOKED_AT
    return Page(changes, encode_cursor(binding, rows[-1]["pk"]) if more else None)


def _change(after: dict[str, Any], before: dict[str, Any], label: str) -> dict[str, JsonValue] | None:
    """None when both schemas say the same."""
    difference = difference_of(before["metadata"][label]["raw_value"], after["metadata"][label]["raw_value"])
    if difference is None:
        return None
    place = {name: after[name] for name in ("invocation_id", "position", "received_at", "partition_key")}
    previous = {name: before[name] for name in ("invocation_id", "position", "received_at")}
    return {**place, "label": label, **difference, "previous": previous}

"""Reading invocations: one, many by filter, their history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import zstandard
from msgspec import Raw
from sqlalchemy import ColumnElement, Connection, RowMapping, Select, exists, select, union_all

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.times import to_rfc3339
from standpipe_server.store import tables
from standpipe_server.store.cursors import Page, decode_cursor, encode_cursor
from standpipe_server.store.errors import BadCursor, NotFound
from standpipe_server.store.progress import read_progress

_LISTED_CONTEXT_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationView:
    """One invocation, ready to be sent."""

    id: str
    ended: bool
    last_position: int
    cancel_requested: bool
    etag: str
    json: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationFilter:
    """Which invocations a list shows; None means any. Instants are microseconds since the epoch."""

    status: str | None = None
    verdict: str | None = None
    asset_key: str | None = None
    tags: tuple[tuple[str, str | None], ...] = ()
    """Name and value; a value of None takes any."""
    job_name: str | None = None
    run_id: str | None = None
    partition_key: str | None = None
    retry_of: str | None = None
    since: int | None = None
    until: int | None = None
    text: str | None = None


def read_invocation(connection: Connection, invocation_id: str) -> InvocationView:
    """Raises NotFound."""
    statement = _with_context().where(tables.invocation.c.id == invocation_id)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"There is no invocation {invocation_id[:80]!r}.")
    progress = read_progress(connection, row)
    return InvocationView(
        id=row["id"],
        ended=row["status"] == "ended",
        last_position=row["last_position"],
        cancel_requested=row["cancel_requested_at"] is not None,
        etag=_etag(row, heard_at=progress.heard_at),
        json=_invocation_json(
            row, context=zstandard.ZstdDecompressor().decompress(row["context"]), more=progress.to_wire()
        ),
    )


def list_invocations(connection: Connection, filters: InvocationFilter, *, limit: int, cursor: str | None) -> Page:
    """Newest first."""
    table = tables.invocation
    statement = _with_context().where(*_conditions(filters)).order_by(table.c.pk.desc()).limit(limit + 1)
    if cursor is not None:
        last_pk = decode_cursor(("invocations", filters), cursor)
        if not isinstance(last_pk, int):
            raise BadCursor
        statement = statement.where(table.c.pk < last_pk)
    items: list[bytes] = []
    last_shown = 0
    # A few at a time: each row brings its context, which may be megabytes.
    with connection.execute(statement.execution_options(yield_per=8)) as found:
        for row in found.mappings():
            if len(items) == limit:
                return Page(items, encode_cursor(("invocations", filters), last_shown))
            items.append(_invocation_json(row, context=_listed_context(row)))
            last_shown = row["pk"]
    return Page(items, None)


def read_history(connection: Connection, invocation_id: str) -> list[dict[str, JsonValue]]:
    """The state changes of an invocation, oldest first. Raises NotFound."""
    pk = connection.scalar(select(tables.invocation.c.pk).where(tables.invocation.c.id == invocation_id))
    if pk is None:
        raise NotFound(f"There is no invocation {invocation_id[:80]!r}.")
    table = tables.history
    statement = select(table).where(table.c.invocation_pk == pk).order_by(table.c.pk).limit(10_000)
    return [
        {"at": to_rfc3339(row.at), "change": row.kind, "detail": json.loads(row.detail)}
        for row in connection.execute(statement)
    ]


def _with_context() -> Select[Any]:
    table, context = tables.invocation, tables.invocation_context
    return select(table, context.c.context).join(context, context.c.invocation_pk == table.c.pk)


def _conditions(filters: InvocationFilter) -> list[ColumnElement[bool]]:
    table = tables.invocation
    conditions: list[ColumnElement[bool]] = []
    for name in ("status", "verdict", "job_name", "run_id", "partition_key", "retry_of"):
        value = getattr(filters, name)
        if value is not None:
            conditions.append(table.c[name] == value)
    if filters.asset_key is not None:
        asset_pk = select(tables.asset.c.pk).where(tables.asset.c.asset_key == filters.asset_key).scalar_subquery()
        targeting_or_reporting = union_all(
            *(
                select(link.c.invocation_pk).where(link.c.asset_pk == asset_pk)
                for link in (tables.invocation_asset, tables.materialization, tables.asset_check)
            )
        )
        conditions.append(table.c.pk.in_(targeting_or_reporting))
    for name, value in filters.tags:
        tag = tables.invocation_tag
        condition = exists().where(tag.c.invocation_pk == table.c.pk, tag.c.name == name)
        conditions.append(condition if value is None else condition.where(tag.c.value == value))
    if filters.since is not None:
        conditions.append(table.c.created_at >= filters.since)
    if filters.until is not None:
        conditions.append(table.c.created_at < filters.until)
    if filters.text:
        conditions.append(table.c.search.contains(filters.text.lower(), autoescape=True))
    return conditions


def _listed_context(row: RowMapping) -> bytes:
    """Extras can be megabytes; a list shows them only where they are small."""
    context = zstandard.ZstdDecompressor().decompress(row["context"])
    if len(context) <= _LISTED_CONTEXT_BYTES:
        return context
    fields = msgspec.json.decode(context, type=dict[str, Raw])
    return msgspec.json.encode(fields | {"extras": Raw(b"{}"), "extras_omitted": Raw(b"true")})


def _etag(row: RowMapping, *, heard_at: int) -> str:
    parts = (
        row["status"],
        row["revision"],
        row["last_position"],
        row["cancel_requested_at"],
        row["lease_expires_at"],
        heard_at,
    )
    return 'W/"' + "-".join(str(part or 0) for part in parts) + '"'


def _invocation_json(row: RowMapping, *, context: bytes, more: Mapping[str, JsonValue] | None = None) -> bytes:
    before = {
        "id": row["id"],
        "status": row["status"],
        "verdict": row["verdict"],
        "reasons": json.loads(row["reasons"]),
        "revision": row["revision"],
    }
    after = {
        "tags": json.loads(row["tags"]),
        "expected": json.loads(row["expected"]) if row["expected"] else None,
        "retry_of": row["retry_of"],
        "created_at": to_rfc3339(row["created_at"]),
        "opened_at": _time(row["opened_at"]),
        "ended_at": _time(row["ended_at"]),
        "lease_expires_at": _time(row["lease_expires_at"]),
        "last_position": row["last_position"],
        "cancel_requested": row["cancel_requested_at"] is not None,
        "exit_code": json.loads(row["finish"])["exit_code"] if row["finish"] else None,
        "receipt": json.loads(row["receipt"]) if row["receipt"] else None,
        **(more or {}),
    }
    # These go in as they came: decoding and encoding them again would change numbers that Python cannot hold.
    carried = b', "context": ' + context + b', "launcher": ' + (row["launcher"] or "null").encode() + b", "
    return json.dumps(before)[:-1].encode() + carried + json.dumps(after)[1:].encode()


def _time(instant: int | None) -> str | None:
    return None if instant is None else to_rfc3339(instant)

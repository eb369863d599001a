"""Reading invocations: one, many by filter, their history."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import zstandard
from msgspec import Raw
from sqlalchemy import Connection, RowMapping, Select, select

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.times import to_rfc3339
from standpipe_server.store import tables
from standpipe_server.store.cursors import Page, decode_cursor, encode_cursor
from standpipe_server.store.errors import NotFound
from standpipe_server.store.finding import InvocationFilter, find_invocations, key_of
from standpipe_server.store.progress import read_progress
from standpipe_server.store.summaries import read_summaries

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


@dataclass(frozen=True, slots=True)
class InvocationPage(Page):
    """`searched_to` is how far back a search that was bounded has looked."""

    searched_to: str | None = None


def read_invocation(connection: Connection, invocation_id: str) -> InvocationView:
    """Raises NotFound."""
    statement = _with_context().where(tables.invocation.c.id == invocation_id)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"There is no invocation {invocation_id[:80]!r}.")
    progress = read_progress(connection, row)
    summary = read_summaries(connection, [row], usual=True).of(row)
    return InvocationView(
        id=row["id"],
        ended=row["status"] == "ended",
        last_position=row["last_position"],
        cancel_requested=row["cancel_requested_at"] is not None,
        etag=_etag(row, heard_at=progress.heard_at),
        json=_invocation_json(
            row, context=zstandard.ZstdDecompressor().decompress(row["context"]), more=progress.to_wire() | summary
        ),
    )


def list_invocations(
    connection: Connection, filters: InvocationFilter, *, limit: int, cursor: str | None, usual: bool = False
) -> InvocationPage:
    """Newest registration first. A page may be short, or empty, and yet not the last: then it says how far it looked.

    `usual` adds how long the green ones of each family take.
    """
    binding = ("invocations", filters)
    after = None if cursor is None else key_of(decode_cursor(binding, cursor))
    found = find_invocations(connection, filters, limit=limit, after=after)
    next_cursor = None if found.next is None else encode_cursor(binding, list(found.next))
    if not found.keys:
        return InvocationPage([], next_cursor, searched_to=_time(found.window_ended))
    table = tables.invocation
    pks = [pk for _, pk in found.keys]
    rows = {row["pk"]: row for row in connection.execute(select(table).where(table.c.pk.in_(pks))).mappings()}
    summaries = read_summaries(connection, list(rows.values()), usual=usual, text=filters.text)
    context = tables.invocation_context
    statement = select(context).where(context.c.invocation_pk.in_(pks))
    made: dict[int, bytes] = {}
    # A few at a time: a context may be megabytes.
    with connection.execute(statement.execution_options(yield_per=8)) as contexts:
        for packed in contexts:
            # It may have been deleted between two statements.
            if (row := rows.get(packed.invocation_pk)) is not None:
                listed = _listed_context(packed.context)
                made[row["pk"]] = _invocation_json(row, context=listed, more=summaries.of(row))
    items = [made[pk] for pk in pks if pk in made]
    return InvocationPage(items, next_cursor, searched_to=_time(found.window_ended))


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


def _listed_context(packed: bytes) -> bytes:
    """Extras can be megabytes; a list shows them only where they are small."""
    context = zstandard.ZstdDecompressor().decompress(packed)
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
        row["pinned_at"],
    )
    return 'W/"' + "-".join(str(part or 0) for part in parts) + '"'


def _invocation_json(row: RowMapping, *, context: bytes, more: Mapping[str, JsonValue] | None = None) -> bytes:
    before = {"id": row["id"], "status": row["status"], "verdict": row["verdict"]}
    after = {
        "revision": row["revision"],
        "retry_of": row["retry_of"],
        "created_at": to_rfc3339(row["created_at"]),
        "opened_at": _time(row["opened_at"]),
        "ended_at": _time(row["ended_at"]),
        "lease_expires_at": _time(row["lease_expires_at"]),
        "last_position": row["last_position"],
        "cancel_requested": row["cancel_requested_at"] is not None,
        "exit_code": json.loads(row["finish"])["exit_code"] if row["finish"] else None,
        **(more or {}),
    }
    # These go in as they are stored: they are JSON, and decoding and encoding the context or the launcher would change
    # numbers that Python cannot hold.
    carried = b"".join(
        b', "%b": %b' % (name.encode(), (row[name] or "null").encode())
        for name in ("reasons", "tags", "expected", "launcher", "receipt")
    )
    head, tail = json.dumps(before)[:-1].encode(), json.dumps(after)[1:].encode()
    return head + carried + b', "context": ' + context + b", " + tail


def _time(instant: int | None) -> str | None:
    return None if instant is None else to_rfc3339(instant)

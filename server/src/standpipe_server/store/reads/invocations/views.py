"""Reading invocations: one, many by filter, their history."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import zstandard
from msgspec import Raw
from sqlalchemy import Connection, RowMapping, Select, select

from standpipe_protocol.json_text import JsonObject, JsonValue, encode_json
from standpipe_server.broker.lifecycle.refusals import MOST_SHOWN
from standpipe_server.broker.outcome import descriptions
from standpipe_server.broker.values.long_integers import LongIntegers
from standpipe_server.broker.values.masking import mask_values
from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.resources.invocations import Invocation
from standpipe_server.store.database import tables
from standpipe_server.store.database.raw_sql import query_among, select_rows
from standpipe_server.store.database.state_rows import read_refusals
from standpipe_server.store.errors import NotFound
from standpipe_server.store.reads.cursors import Page, decode_cursor, encode_cursor
from standpipe_server.store.reads.invocations.filters import InvocationFilter, find_invocations, key_of
from standpipe_server.store.reads.invocations.progress import read_attempts, read_progress
from standpipe_server.store.reads.invocations.summaries import read_summaries

_LISTED_CONTEXT_BYTES = 16 * 1024
_CARRIED_COLUMNS = ("reasons", "tags", "expected", "launcher", "receipt", "platform")
_MASKED_COLUMNS = ("tags", "expected", "launcher", "platform")
_LISTED_COLUMNS = (
    *("pk", "id", "status", "verdict", "revision", "retry_of", "family", "created_at", "opened_at", "ended_at"),
    *("lease_expires_at", "last_event_at", "last_position", "cancel_requested_at", "finish", "pinned_at"),
    *("pipes_optional", "judged_by", "notes", "attempts"),
    *_CARRIED_COLUMNS,
)
_SMALL_CONTEXTS = (
    "SELECT invocation_pk, CASE WHEN length(context) <= 16384 THEN context END"
    " FROM invocation_context WHERE invocation_pk {among}"
)


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


def read_invocation(connection: Connection, invocation_id: str, *, mask: bool = False) -> InvocationView:
    """With `mask` what looks like a credential is masked. Raises NotFound."""
    statement = _with_context().where(tables.invocation.c.id == invocation_id)
    row = connection.execute(statement).mappings().first()
    if row is None:
        raise NotFound(f"There is no invocation {invocation_id[:80]!r}.")
    progress = read_progress(connection, row)
    members, heard_at = progress.members, progress.heard_at
    members["attempts"] = read_attempts(connection, row["pk"], row["attempts"])
    summary = read_summaries(connection, [row], usual=True).of(row)
    members |= _described(row, progress.ended, heard_at=summary["heard_at"], mask=mask)
    return InvocationView(
        id=row["id"],
        ended=row["status"] == "ended",
        last_position=row["last_position"],
        cancel_requested=row["cancel_requested_at"] is not None,
        etag=_etag(row, heard_at=heard_at, mask=mask),
        json=_invocation_json(
            row,
            mask=mask,
            context=zstandard.ZstdDecompressor().decompress(row["context"]),
            more={name: Raw(encode_json(value)) for name, value in members.items()} | summary,
        ),
    )


def list_invocations(
    connection: Connection,
    filters: InvocationFilter,
    *,
    limit: int,
    cursor: str | None,
    usual: bool = False,
    mask: bool = False,
) -> InvocationPage:
    """Newest registration first. A page may be short, or empty, and yet not the last: then it says how far it looked.

    `usual` adds how long the green ones of each family take.
    """
    binding = ("invocations", filters)
    after = None if cursor is None else key_of(decode_cursor(binding, cursor))
    page = find_invocations(connection, filters, limit=limit, after=after)
    next_cursor = None if page.next is None else encode_cursor(binding, list(page.next))
    if not page.keys:
        return InvocationPage([], next_cursor, searched_to=_time(page.window_ended))
    pks = [pk for _, pk in page.keys]
    rows = {row["pk"]: row for row in select_rows(connection, tables.invocation, _LISTED_COLUMNS, {"pk": pks})}
    summaries = read_summaries(connection, list(rows.values()), usual=usual, text=filters.text, mask=mask)
    made: dict[int, bytes] = {}
    for pk, context in _listed_contexts(connection, pks):
        # It may have been deleted between two statements.
        if (row := rows.get(pk)) is not None:
            more: dict[str, Any] = {**summaries.of(row)}
            if filters.text:
                more["matched"] = Raw(encode_json(more["matched"]))
            made[pk] = _invocation_json(row, context=context, more=more, mask=mask)
    items = [made[pk] for pk in pks if pk in made]
    return InvocationPage(items, next_cursor, searched_to=_time(page.window_ended))


def read_history(connection: Connection, invocation_id: str, *, mask: bool = False) -> list[dict[str, JsonValue]]:
    """The state changes of an invocation, oldest first; with `mask` what looks like a credential is masked.

    Raises NotFound.
    """
    pk = connection.scalar(select(tables.invocation.c.pk).where(tables.invocation.c.id == invocation_id))
    if pk is None:
        raise NotFound(f"There is no invocation {invocation_id[:80]!r}.")
    table = tables.history
    statement = select(table).where(table.c.invocation_pk == pk).order_by(table.c.pk).limit(10_000)
    changes = [(row.at, row.kind, json.loads(row.detail)) for row in connection.execute(statement)]
    refused = read_refusals(connection, pk)
    if refused.count > MOST_SHOWN:
        more = (refused.last_at, "refused", {"more": refused.count - MOST_SHOWN})
        place = next((index for index, (at, *_) in enumerate(changes) if at > refused.last_at), len(changes))
        changes.insert(place, more)
    if mask:
        changes = [(at, kind, cast("JsonObject", mask_values(detail))) for at, kind, detail in changes]
    return [
        {"at": to_rfc3339(at), "change": kind, "detail": detail, **descriptions.describe_change(kind, detail)}
        for at, kind, detail in changes
    ]


def _with_context() -> Select[Any]:
    table, context = tables.invocation, tables.invocation_context
    return select(table, context.c.context).join(context, context.c.invocation_pk == table.c.pk)


def _listed_contexts(connection: Connection, pks: Sequence[int]) -> Iterator[tuple[int, bytes]]:
    """Extras can be megabytes; a list shows them only where they are small."""
    decompress = zstandard.ZstdDecompressor().decompress
    table = tables.invocation_context
    for pk, small in query_among(connection, _SMALL_CONTEXTS, pks):
        # A large one by itself: many of these at once would be more than there is room for.
        packed = small or connection.scalar(select(table.c.context).where(table.c.invocation_pk == pk))
        if packed is None:
            continue
        context = decompress(packed)
        if len(context) > _LISTED_CONTEXT_BYTES:
            fields = msgspec.json.decode(context, type=dict[str, Raw])
            context = msgspec.json.encode(fields | {"extras": Raw(b"{}"), "extras_omitted": Raw(b"true")})
        yield pk, context


def _etag(row: RowMapping, *, heard_at: int, mask: bool) -> str:
    parts = (
        row["status"],
        row["revision"],
        row["last_position"],
        row["cancel_requested_at"],
        row["lease_expires_at"],
        heard_at,
        row["pinned_at"],
        "masked" if mask else "",
        zlib.crc32(f"{row['platform']}{row['attempts']}".encode()) if row["platform"] or row["attempts"] else 0,
    )
    return 'W/"' + "-".join(str(part or 0) for part in parts if part != "") + '"'


def _described(row: Mapping[Any, Any], producers: Sequence[JsonObject], *, heard_at: Any, mask: bool) -> dict[str, Any]:
    """The members that say in words what the others hold."""
    reasons, end = _json(row["reasons"], []), _json(row["finish"], {})
    platform = _json(row["platform"], None)
    if mask:
        platform = cast("JsonObject | None", mask_values(platform))
    standing = {
        "status": row["status"],
        "verdict": row["verdict"],
        "cancel_requested": row["cancel_requested_at"] is not None,
        "pipes": "optional" if row["pipes_optional"] else "required",
        "judged_by": row["judged_by"],
        "outcome": end.get("outcome"),
        "exit_code": end.get("exit_code"),
        "heard_at": heard_at,
    }
    return {
        "description": descriptions.describe_invocation(standing, reasons=reasons, platform=platform),
        "ends": descriptions.describe_ends(end, verdict=row["verdict"], reasons=reasons, producers=producers),
    }


def _json(text: str | None, default: Any) -> Any:
    return default if text is None else json.loads(text)


def _invocation_json(row: Mapping[Any, Any], *, context: bytes, more: Mapping[str, Any], mask: bool = False) -> bytes:
    """`more` may hold no text from outside, unless it is JSON already: there may be surrogates in it."""
    # What is JSON goes in as it is stored: decoding and encoding the context or the launcher would change numbers that
    # Python cannot hold. A cause is JSON that this program wrote; surrogates are escaped in it.
    stored = {name: _stored(row[name], mask=mask and name in _MASKED_COLUMNS) for name in _CARRIED_COLUMNS}
    finish: dict[str, Any] = msgspec.json.decode(row["finish"], type=dict[str, Raw]) if row["finish"] else {}
    opened_at, ended_at = _time(row["opened_at"]), _time(row["ended_at"])
    platform = _json(row["platform"], None)
    end = _json(row["finish"], {})
    described: dict[str, Any] = {
        "waiting": descriptions.waiting_state(status=row["status"], platform=platform, heard_at=more["heard_at"]),
        "stages": Raw(encode_json(descriptions.stages_of(platform, opened_at=opened_at, ended_at=ended_at))),
        "judge": descriptions.judge_of(judged_by=row["judged_by"], exit_code=end.get("exit_code")),
    }
    answer = Invocation(
        id=row["id"],
        status=row["status"],
        verdict=row["verdict"],
        **stored,
        context=_stored(context, mask=mask),
        revision=row["revision"],
        retry_of=row["retry_of"],
        created_at=to_rfc3339(row["created_at"]),
        opened_at=opened_at,
        ended_at=ended_at,
        lease_expires_at=_time(row["lease_expires_at"]),
        last_position=row["last_position"],
        cancel_requested=row["cancel_requested_at"] is not None,
        pipes="optional" if row["pipes_optional"] else "required",
        exit_code=finish.get("exit_code"),
        outcome=finish.get("outcome"),
        cause=finish.get("cause"),
        judged_by=row["judged_by"],
        notes=_stored(row["notes"] or "[]"),
        attempt=msgspec.json.decode(row["attempts"]).get("newest") if row["attempts"] else None,
        **described,
        **more,
    )
    return msgspec.json.encode(answer)


def _stored(text: str | bytes | None, *, mask: bool = False) -> Any:
    """JSON from the database in the place of the value that it is."""
    if text is None:
        return None
    return Raw(_masked(text.encode() if isinstance(text, str) else text) if mask else text)


def _masked(text: bytes) -> bytes:
    integers = LongIntegers()
    return integers.encode(mask_values(integers.decode(text)))


def _time(instant: int | None) -> str | None:
    return None if instant is None else to_rfc3339(instant)

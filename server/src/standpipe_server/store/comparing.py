"""Reading several invocations beside each other; `broker.comparison` says what of it is different.

Bounded for each of them: so many reports and log lines are looked at, and the answer says whether that was all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import zstandard
from sqlalchemy import Connection, Table, select

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.metadata import normalise_metadata
from standpipe_server.broker.comparison import (
    MOST_DIFFERENCES,
    differences_in_extras,
    different,
    shortened,
    template_of,
)
from standpipe_server.broker.long_integers import LongIntegers
from standpipe_server.broker.times import to_rfc3339
from standpipe_server.store import tables
from standpipe_server.store.errors import NotFound
from standpipe_server.store.events import ProducerNames, read_event_page, read_events_at
from standpipe_server.store.summaries import Summaries, read_summaries

_REPORTS = 1_000
_LINES = 20_000
_LINES_BYTES = 8 * 1024 * 1024
_LOGS = frozenset({"log", "log_external_stream"})


class _LineParams(msgspec.Struct, gc=False):
    message: Any = None
    level: Any = None
    text: Any = None
    stream: Any = None


class _Line(msgspec.Struct, gc=False):
    position: int
    params: _LineParams | None = None


_decode_line = msgspec.json.Decoder(_Line).decode


@dataclass(frozen=True, slots=True)
class _Side:
    """What is compared of one invocation."""

    context: Mapping[str, JsonValue]
    extras: Mapping[str, JsonValue]
    metadata: Mapping[tuple[str, str], JsonValue]
    checks: Mapping[tuple[str, str], JsonValue]
    lines: Mapping[tuple[str, str], tuple[int, int]]
    """How often and where first, by template and level."""
    all_lines: bool


def compare_invocations(connection: Connection, invocation_ids: Sequence[str], *, names: ProducerNames) -> bytes:
    """Raises NotFound when one of them is not there."""
    table, integers = tables.invocation, LongIntegers()
    found = connection.execute(select(table).where(table.c.id.in_(invocation_ids))).mappings()
    rows = {row["id"]: row for row in found}
    for invocation_id in invocation_ids:
        if invocation_id not in rows:
            raise NotFound(f"There is no invocation {invocation_id[:80]!r}.")
    ordered = [rows[invocation_id] for invocation_id in invocation_ids]
    sides = [_read_side(connection, row["pk"], integers, names=names) for row in ordered]
    summaries = read_summaries(connection, ordered)
    return integers.encode(
        {
            "items": [_item(row, summaries) for row in ordered],
            "context": [
                {"name": name, "values": [shortened(value) for value in values]}
                for name, values in different([side.context for side in sides])
            ],
            "extras": differences_in_extras([side.extras for side in sides]),
            "metadata": [
                {"asset_key": key, "label": label, "values": values}
                for (key, label), values in different([side.metadata for side in sides])
            ],
            "checks": [
                {"asset_key": key, "check_name": name, "values": values}
                for (key, name), values in different([side.checks for side in sides])
            ],
            "logs": _new_or_gone([side.lines for side in sides]),
            "logs_complete": [side.all_lines for side in sides],
        }
    )


def _item(row: Mapping[Any, Any], summaries: Summaries) -> dict[str, JsonValue]:
    members = {name: row[name] for name in ("id", "status", "verdict", "job_name", "partition_key", "run_id")}
    summary = summaries.of(row)
    finish: dict[str, JsonValue] = json.loads(row["finish"]) if row["finish"] else {}
    return {
        **members,
        "badge": summary["badge"],
        # A green that is its launcher's word alone is to be told from a reported one here, too.
        "judged_by": row["judged_by"],
        "exit_code": finish.get("exit_code"),
        "created_at": to_rfc3339(row["created_at"]),
        "duration_seconds": summary["duration_seconds"],
        "events": row["last_position"],
    }


def _read_side(connection: Connection, pk: int, integers: LongIntegers, *, names: ProducerNames) -> _Side:
    table = tables.invocation_context
    packed = connection.scalar(select(table.c.context).where(table.c.invocation_pk == pk)) or b""
    context = cast("dict[str, JsonValue]", integers.decode(zstandard.ZstdDecompressor().decompress(packed)))
    extras = cast("Mapping[str, JsonValue]", context.pop("extras", None) or {})
    lines, all_lines = _read_lines(connection, pk, names=names)
    return _Side(
        context=context,
        extras=extras,
        metadata=_read_metadata(connection, pk, integers, names=names),
        checks=_read_checks(connection, pk),
        lines=lines,
        all_lines=all_lines,
    )


def _read_metadata(
    connection: Connection, pk: int, integers: LongIntegers, *, names: ProducerNames
) -> Mapping[tuple[str, str], JsonValue]:
    rows = _reports(connection, tables.materialization, pk)
    events = read_events_at(connection, [(pk, row.position) for row in rows], names=names)
    metadata: dict[tuple[str, str], JsonValue] = {}
    for row in rows:
        event = cast("dict[str, Any]", integers.decode(events[pk, row.position].text))
        for label, entry in normalise_metadata(event["params"].get("metadata")).items():
            metadata[row.asset_key, label] = entry.to_wire()
    return metadata


def _read_checks(connection: Connection, pk: int) -> Mapping[tuple[str, str], JsonValue]:
    return {
        (row.asset_key, row.check_name): {"passed": row.passed, "severity": row.severity}
        for row in _reports(connection, tables.asset_check, pk)
    }


def _reports(connection: Connection, table: Table, pk: int) -> Sequence[Any]:
    asset = tables.asset
    statement = select(table, asset.c.asset_key).join(asset, asset.c.pk == table.c.asset_pk)
    return connection.execute(statement.where(table.c.invocation_pk == pk).order_by(table.c.pk).limit(_REPORTS)).all()


def _read_lines(
    connection: Connection, pk: int, *, names: ProducerNames
) -> tuple[Mapping[tuple[str, str], tuple[int, int]], bool]:
    page = read_event_page(connection, pk, after=0, limit=_LINES, methods=_LOGS, max_bytes=_LINES_BYTES, names=names)
    lines: dict[tuple[str, str], tuple[int, int]] = {}
    for event in page.events:
        line = _decode_line(event)
        params = line.params or _LineParams()
        text, kind = (params.message, params.level) if params.message is not None else (params.text, params.stream)
        for one in str(text or "").splitlines():
            if one.strip():
                template = (template_of(one.strip()), str(kind))
                count, first = lines.get(template, (0, line.position))
                lines[template] = (count + 1, first)
    return lines, page.next_after >= page.last_position


def _new_or_gone(sides: Sequence[Mapping[tuple[str, str], tuple[int, int]]]) -> list[JsonValue]:
    """The kinds of lines that not every one has."""
    told: list[JsonValue] = []
    for template in dict.fromkeys(template for side in sides for template in side):
        found = [side.get(template) for side in sides]
        if None in found:
            text, level = template
            counts: list[JsonValue] = [0 if one is None else one[0] for one in found]
            positions: list[JsonValue] = [None if one is None else one[1] for one in found]
            told.append({"template": text, "level": level, "counts": counts, "positions": positions})
            if len(told) == MOST_DIFFERENCES:
                break
    return told

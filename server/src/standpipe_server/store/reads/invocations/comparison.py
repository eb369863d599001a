"""Reading several invocations beside each other; `broker.comparison` says what of it is different.

Bounded for each of them: so many reports and log lines are looked at, and the answer says whether that was all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import msgspec
import zstandard
from msgspec import Raw
from sqlalchemy import Connection, Table, select

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.metadata import normal_form
from standpipe_server.broker.differences import (
    MOST_DIFFERENCES,
    different,
    different_leaves,
    is_cut,
    shortened,
    template_of,
)
from standpipe_server.broker.outcome.descriptions import judge_of
from standpipe_server.broker.values.long_integers import LongIntegers
from standpipe_server.broker.values.masking import mask_values
from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.store.database import tables
from standpipe_server.store.errors import NotFound
from standpipe_server.store.events.event_pages import read_event_page, read_events_at
from standpipe_server.store.reads.invocations.summaries import Summaries, read_summaries

_REPORTS = 1_000
_REPORTS_AT_A_TIME = 20
_REPORTS_BYTES, _VALUE_BYTES = 16 * 1024 * 1024, 2 * 1024 * 1024
_LINES = 20_000
_LINES_BYTES = 8 * 1024 * 1024
_CUSTOM_MESSAGES = 100
_LOGS = frozenset({"log", "log_external_stream"})


class _LineParams(msgspec.Struct, gc=False):
    message: Any = None
    level: Any = None
    text: Any = None
    stream: Any = None


class _Line(msgspec.Struct, gc=False):
    position: int
    params: Raw


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_line_params = msgspec.json.Decoder(_LineParams).decode


@dataclass(frozen=True, slots=True)
class _Side:
    """What is compared of one invocation."""

    context: Mapping[str, JsonValue]
    extras: JsonValue
    outcome: JsonValue
    """Verdict, reasons by their codes, exception."""
    registered: Mapping[str, JsonValue]
    """What else it was registered with: `tags`, `expected`, `launcher`."""
    materializations: Mapping[str, JsonValue]
    metadata: Mapping[tuple[str, str], JsonValue]
    checks: Mapping[tuple[str, str], JsonValue]
    check_metadata: Mapping[tuple[str, str, str], JsonValue]
    custom_messages: JsonValue
    """By their numbers, the first ones."""
    counts: JsonValue
    """Of events by method, rejected ones apart."""
    lines: Mapping[tuple[str, str], tuple[int, int]]
    """How often and where first, by template and level."""
    all_lines: bool
    all_values: bool
    """Whether all of what was registered and reported is compared."""


def compare_invocations(connection: Connection, invocation_ids: Sequence[str]) -> bytes:
    """Raises NotFound when one of them is not there."""
    table, integers = tables.invocation, LongIntegers()
    stored = connection.execute(select(table).where(table.c.id.in_(invocation_ids))).mappings()
    rows = {row["id"]: row for row in stored}
    for invocation_id in invocation_ids:
        if invocation_id not in rows:
            raise NotFound(f"There is no invocation {invocation_id[:80]!r}.")
    ordered = [rows[invocation_id] for invocation_id in invocation_ids]
    sides = [_read_side(connection, row, integers) for row in ordered]
    summaries = read_summaries(connection, ordered)
    return integers.encode(
        {
            "items": [_item(row, summaries) for row in ordered],
            "outcome": different_leaves([side.outcome for side in sides]),
            "context": [
                {"name": name, "values": [shortened(_masked(name, value)) for value in values]}
                for name, values in different([side.context for side in sides])
            ],
            "extras": different_leaves([side.extras for side in sides]),
            **{
                name: different_leaves([side.registered[name] for side in sides])
                for name in ("tags", "expected", "launcher")
            },
            "materializations": [
                {"asset_key": key, "values": values}
                for key, values in different([side.materializations for side in sides])
            ],
            "metadata": [
                {"asset_key": key, "label": label, **_entries(values)}
                for (key, label), values in different([side.metadata for side in sides])
            ],
            "checks": [
                {"asset_key": key, "check_name": name, "values": values}
                for (key, name), values in different([side.checks for side in sides])
            ],
            "check_metadata": [
                {"asset_key": key, "check_name": name, "label": label, **_entries(values)}
                for (key, name, label), values in different([side.check_metadata for side in sides])
            ],
            "custom_messages": different_leaves([side.custom_messages for side in sides]),
            "counts": different_leaves([side.counts for side in sides]),
            "logs": _new_or_gone([side.lines for side in sides]),
            "logs_complete": [side.all_lines for side in sides],
            "values_complete": [side.all_values for side in sides],
        }
    )


def _masked(name: str, value: JsonValue) -> JsonValue:
    return cast("dict[str, JsonValue]", mask_values({name: value}))[name]


def _entries(values: Sequence[Any]) -> dict[str, JsonValue]:
    """Entries of metadata, and where in them the difference lies when they are made of parts (a schema of columns)."""
    raw = [None if value is None else value["raw_value"] for value in values]
    parts = different_leaves(raw, by_name=True) if any(isinstance(value, dict | list) for value in raw) else []
    return {"values": list(values), "parts": cast("JsonValue", parts)}


def _item(row: Mapping[Any, Any], summaries: Summaries) -> dict[str, JsonValue]:
    members = {name: row[name] for name in ("id", "status", "verdict", "job_name", "partition_key", "run_id")}
    summary = summaries.of(row)
    finish: dict[str, JsonValue] = json.loads(row["finish"]) if row["finish"] else {}
    return {
        **members,
        "badge": summary["badge"],
        # A green that is its launcher's word alone is to be told from a reported one here, too.
        "judged_by": row["judged_by"],
        "judge": judge_of(judged_by=row["judged_by"], exit_code=cast("int | None", finish.get("exit_code"))),
        "exit_code": finish.get("exit_code"),
        "created_at": to_rfc3339(row["created_at"]),
        "duration_seconds": summary["duration_seconds"],
        "events": row["last_position"],
    }


def _read_side(connection: Connection, row: Mapping[Any, Any], integers: LongIntegers) -> _Side:
    pk = row["pk"]
    table = tables.invocation_context
    packed = connection.scalar(select(table.c.context).where(table.c.invocation_pk == pk)) or b""
    members: dict[str, Raw] = msgspec.json.decode(zstandard.ZstdDecompressor().decompress(packed), type=dict[str, Raw])
    extras, all_extras = _bounded(bytes(members.pop("extras", Raw(b"{}"))), integers)
    context = {name: integers.decode(bytes(text)) for name, text in members.items()}
    lines, all_lines = _read_lines(connection, pk)
    materialized, all_materialized = _read_reports(connection, tables.materialization, pk, integers)
    checked, all_checked = _read_reports(connection, tables.asset_check, pk, integers)
    registered: dict[str, JsonValue] = {}
    whole = all_extras and all_materialized and all_checked
    for name in ("tags", "expected", "launcher"):
        registered[name], all_of_it = _bounded((row[name] or "{}").encode(), integers)
        whole = whole and all_of_it
    return _Side(
        context=context,
        extras=extras,
        outcome=_outcome(row),
        registered=registered,
        materializations={report.asset_key: {"data_version": report.data_version} for report, _ in materialized},
        metadata={
            (report.asset_key, label): entry for report, metadata in materialized for label, entry in metadata.items()
        },
        checks={
            (report.asset_key, report.check_name): {"passed": report.passed, "severity": report.severity}
            for report, _ in checked
        },
        check_metadata={
            (report.asset_key, report.check_name, label): entry
            for report, metadata in checked
            for label, entry in metadata.items()
        },
        custom_messages=_read_custom_messages(connection, pk, integers),
        counts=_read_counts(connection, pk),
        lines=lines,
        all_lines=all_lines,
        all_values=whole,
    )


def _bounded(text: bytes, integers: LongIntegers) -> tuple[JsonValue, bool]:
    """The value, and whether that is all that is compared of it; of a very large one it is nothing."""
    if len(text) > _VALUE_BYTES:
        return {}, False
    value = integers.decode(text)
    return value, not is_cut(value)


def _outcome(row: Mapping[Any, Any]) -> JsonValue:
    reasons = cast("list[dict[str, JsonValue]]", json.loads(row["reasons"]))
    outcome: dict[str, JsonValue] = {"verdict": row["verdict"] or row["status"]}
    if reasons:
        # Of several with one code the first stands for all.
        outcome["reasons"] = {str(reason["code"]): reason.get("detail") for reason in reversed(reasons)}
    exceptions = (reason.get("exception") for reason in reasons)
    exception = next((each for each in exceptions if isinstance(each, dict)), None)
    if exception is not None:
        outcome["exception"] = {name: exception.get(name) for name in ("name", "message")}
    return outcome


def _read_reports(
    connection: Connection, table: Table, pk: int, integers: LongIntegers
) -> tuple[list[tuple[Any, Mapping[str, JsonValue]]], bool]:
    """The rows of the reports, each with its metadata in normal form, and whether all of them are looked at."""
    rows = _reports(connection, table, pk)
    reports: list[tuple[Any, Mapping[str, JsonValue]]] = []
    size = 0
    for begin in range(0, len(rows), _REPORTS_AT_A_TIME):
        some = rows[begin : begin + _REPORTS_AT_A_TIME]
        if size > _REPORTS_BYTES:
            return reports, False
        events = read_events_at(connection, [(pk, row.position) for row in some])
        for row in some:
            text = events[pk, row.position].text
            size += len(text)
            event = cast("dict[str, Any]", integers.decode(text))
            reports.append((row, cast("Mapping[str, JsonValue]", normal_form(event["params"].get("metadata")))))
    return reports, len(rows) < _REPORTS


def _read_custom_messages(connection: Connection, pk: int, integers: LongIntegers) -> JsonValue:
    methods = frozenset({"report_custom_message"})
    page = read_event_page(connection, pk, after=0, limit=_CUSTOM_MESSAGES, methods=methods, max_bytes=_LINES_BYTES)
    params = [cast("dict[str, JsonValue]", integers.decode(event))["params"] for event in page.events]
    return {
        str(number): each.get("payload") if isinstance(each, dict) else None for number, each in enumerate(params, 1)
    }


def _read_counts(connection: Connection, pk: int) -> JsonValue:
    table = tables.producer
    counts: Counter[str] = Counter()
    for row in connection.execute(select(table.c.counts, table.c.rejected).where(table.c.invocation_pk == pk)):
        counts.update(cast("dict[str, int]", json.loads(row.counts)))
        counts["rejected"] += row.rejected
    return {method: count for method, count in counts.items() if count}


def _reports(connection: Connection, table: Table, pk: int) -> Sequence[Any]:
    asset = tables.asset
    statement = select(table, asset.c.asset_key).join(asset, asset.c.pk == table.c.asset_pk)
    return connection.execute(statement.where(table.c.invocation_pk == pk).order_by(table.c.pk).limit(_REPORTS)).all()


def _read_lines(connection: Connection, pk: int) -> tuple[Mapping[tuple[str, str], tuple[int, int]], bool]:
    page = read_event_page(connection, pk, after=0, limit=_LINES, methods=_LOGS, max_bytes=_LINES_BYTES)
    lines: dict[tuple[str, str], tuple[int, int]] = {}
    for event in page.events:
        line = _decode_line(event)
        # What a rejected message has there may be anything.
        sent = bytes(line.params)
        params = _decode_line_params(sent) if sent.startswith(b"{") else _LineParams()
        text, kind = (params.message, params.level) if params.message is not None else (params.text, params.stream)
        for one in str(text or "").splitlines():
            if one.strip():
                template = (template_of(one.strip()), str(kind))
                count, first = lines.get(template, (0, line.position))
                lines[template] = (count + 1, first)
    return lines, page.next_after >= page.last_position


def _new_or_gone(sides: Sequence[Mapping[tuple[str, str], tuple[int, int]]]) -> list[dict[str, Any]]:
    """The kinds of lines that not every one has, in the order in which they are met."""
    kinds: list[dict[str, Any]] = []
    for template in dict.fromkeys(template for side in sides for template in side):
        lines = [side.get(template) for side in sides]
        if None in lines:
            text, level = template
            counts = [0 if one is None else one[0] for one in lines]
            positions = [None if one is None else one[1] for one in lines]
            kinds.append({"template": text, "level": level, "counts": counts, "positions": positions})
            if len(kinds) == MOST_DIFFERENCES:
                break
    return kinds

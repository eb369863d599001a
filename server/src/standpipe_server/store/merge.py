"""Merging the small segments of an ended invocation: a history of many lone events becomes a few rows.

The events stay what they were; only the rows that hold them change. A merged segment says in `runs` who sent which
part when: `[[producer_pk, first_seq, count, received_at], ...]`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, delete, insert, select, update

from standpipe_protocol.json_text import JsonValue
from standpipe_server.store import tables
from standpipe_server.store.segments import Run, StoredSegment, merge_bodies, segment_runs
from standpipe_server.store.unit import UnitOfWork

_SMALL_MESSAGES = 100
_MERGED_MESSAGES = 1_000
_MERGED_BYTES = 256 * 1024
_SEGMENTS_AT_A_TIME = 5_000


@dataclass(frozen=True, slots=True)
class Merge:
    """Merges runs of small neighbouring segments, at most a few thousand in one transaction."""

    pk: int

    def execute(self, unit: UnitOfWork) -> None:
        state = unit.invocation(self.pk)
        if not state.ended:
            return
        table = tables.segment
        statement = (
            select(table)
            .where(table.c.invocation_pk == self.pk, table.c.count < _SMALL_MESSAGES)
            .order_by(table.c.first_position)
            .limit(_SEGMENTS_AT_A_TIME)
        )
        found = unit.connection.execute(statement).mappings().all()
        for group in _groups(found):
            merged = _merged(group)
            unit.connection.execute(delete(table).where(table.c.pk.in_([row["pk"] for row in group])))
            unit.connection.execute(insert(table).values(merged))
        again = unit.now if len(found) == _SEGMENTS_AT_A_TIME else None
        invocation = tables.invocation
        unit.connection.execute(update(invocation).where(invocation.c.pk == self.pk).values(due_at=again))


def _groups(found: Sequence[RowMapping]) -> Iterator[list[RowMapping]]:
    group: list[RowMapping] = []
    for row in found:
        if group and not _fits(group, row):
            if len(group) > 1:
                yield group
            group = []
        group.append(row)
    if len(group) > 1:
        yield group


def _fits(group: Sequence[RowMapping], row: RowMapping) -> bool:
    last = group[-1]
    return (
        row["first_position"] == last["first_position"] + last["count"]
        and sum(one["count"] for one in group) + row["count"] <= _MERGED_MESSAGES
        and sum(len(one["body"]) for one in group) + len(row["body"]) <= _MERGED_BYTES
    )


def _merged(group: Sequence[RowMapping]) -> dict[str, Any]:
    runs: list[list[int]] = []
    problems: dict[str, JsonValue] = {}
    notes: dict[str, JsonValue] = {}
    offset = methods = 0
    for row in group:
        runs += segment_runs(row)
        for merged, column in ((problems, "problems"), (notes, "notes")):
            if row[column]:
                merged.update({str(int(key) + offset): value for key, value in json.loads(row[column]).items()})
        offset += row["count"]
        methods |= row["methods"]
    stored = [
        StoredSegment(0, row["encoding"], row["body"], [Run("", 0, row["count"], 0)], None, None) for row in group
    ]
    encoded = merge_bodies(stored, methods=methods)
    first = group[0]
    return {
        "invocation_pk": first["invocation_pk"],
        "first_position": first["first_position"],
        "count": offset,
        "producer_pk": first["producer_pk"],
        "first_seq": first["first_seq"],
        "received_at": first["received_at"],
        "methods": methods,
        "encoding": encoded.encoding,
        "body": encoded.body,
        "problems": json.dumps(problems) if problems else None,
        "notes": json.dumps(notes) if notes else None,
        "runs": json.dumps(runs),
    }

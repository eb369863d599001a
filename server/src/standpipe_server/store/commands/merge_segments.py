"""Merging the small segments of an ended invocation: a history of many lone events becomes a few rows.

The events stay what they were; only the rows that hold them change. A merged segment says in `runs` who sent which
part when: `[[producer_pk, first_seq, count, received_at], ...]`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import LargeBinary, RowMapping, delete, func, insert, select, update

from standpipe_protocol.json_text import JsonValue
from standpipe_server.store.database import tables
from standpipe_server.store.events.segments import (
    HEAD_BYTES,
    Run,
    StoredSegment,
    head_weight,
    merge_bodies,
    segment_runs,
)
from standpipe_server.store.transactions.unit_of_work import UnitOfWork

_SMALL_MESSAGES = 100
_MERGED_MESSAGES = 1_000
_SMALL_BYTES = 128 * 1024
_MERGED_BYTES = 2 * _SMALL_BYTES
_MERGED_TEXT = 4 * 1024 * 1024
"""What the messages of a merged segment weigh in memory: up to a thousand times their bytes on disk."""
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
        size = func.length(table.c.body)
        head = func.substr(table.c.body, 1, HEAD_BYTES, type_=LargeBinary)
        # Not their bodies: what is chosen is read a group at a time.
        statement = (
            select(table.c.pk, table.c.first_position, table.c.count, table.c.encoding, size.label("size"))
            .add_columns(head.label("head"))
            .where(table.c.invocation_pk == self.pk, table.c.count < _SMALL_MESSAGES, size <= _SMALL_BYTES)
            .order_by(table.c.first_position)
            .limit(_SEGMENTS_AT_A_TIME)
        )
        segments = unit.connection.execute(statement).mappings().all()
        groups = list(_groups([_Small.of(row) for row in segments]))
        for pks in groups:
            chosen = select(table).where(table.c.pk.in_(pks)).order_by(table.c.first_position)
            merged = _merged(unit.connection.execute(chosen).mappings().all())
            unit.connection.execute(delete(table).where(table.c.pk.in_(pks)))
            unit.connection.execute(insert(table).values(merged))
        # Once more only where this made fewer of them: those that do not fit together never will.
        again = unit.now if groups and len(segments) == _SEGMENTS_AT_A_TIME else None
        invocation = tables.invocation
        unit.connection.execute(update(invocation).where(invocation.c.pk == self.pk).values(due_at=again))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Small:
    """A segment without its messages: where it is and what it weighs, on disk and in memory."""

    pk: int
    first_position: int
    count: int
    size: int
    text: int

    @classmethod
    def of(cls, row: RowMapping) -> _Small:
        text = head_weight(row["encoding"], row["head"], size=row["size"])
        members = {name: row[name] for name in ("pk", "first_position", "count", "size")}
        return cls(**members, text=text)


def _groups(segments: Sequence[_Small]) -> Iterator[list[int]]:
    """The rows of those that become one, each time two at least."""
    group: list[int] = []
    count = size = text = next_position = 0
    for one in segments:
        count, size, text = count + one.count, size + one.size, text + one.text
        fits = count <= _MERGED_MESSAGES and size <= _MERGED_BYTES and text <= _MERGED_TEXT
        if not fits or one.first_position != next_position:
            if len(group) > 1:
                yield group
            group, count, size, text = [], one.count, one.size, one.text
        group.append(one.pk)
        next_position = one.first_position + one.count
    if len(group) > 1:
        yield group


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

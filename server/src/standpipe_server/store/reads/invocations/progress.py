"""What one invocation's own address shows beside its row: who writes into it, and how far the expected has come."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, case, func, select

from standpipe_protocol.json_text import JsonObject, JsonValue
from standpipe_server.broker.outcome.expected_progress import expected_assets, progress_of
from standpipe_server.broker.outcome.receipt import LISTED_PRODUCERS, producer_members
from standpipe_server.store.database import tables
from standpipe_server.store.database.state_rows import find_asset_pks, read_expected, read_producer, read_reported

_LISTED = 100
"""Attempts that an invocation shows."""
_HAS_END = '"end":{'
"""In the lineage of a producer that reported an end; within a text of it the first quotation mark would be escaped."""


@dataclass(frozen=True, slots=True)
class Progress:
    members: dict[str, JsonValue]
    """What an invocation's own address shows."""
    ended: Sequence[JsonObject]
    """The producers that reported an end: a hundred at most, all of those that `members` list among them."""
    heard_at: int
    """The last activity of any producer."""


def read_progress(connection: Connection, row: Mapping[Any, Any]) -> Progress:
    """Who writes into an invocation, and how far the expected has come.

    A hundred producers at most: those that have not closed first, the longest silent of them first; superseded ones
    last.
    """
    table = tables.producer
    mine = table.c.invocation_pk == row["pk"]
    unfinished = (table.c.opened > 0) & (table.c.closed < table.c.opened) & table.c.superseded.is_(False)
    is_open = case((unfinished, 0), else_=1)
    # What a newer attempt has replaced comes last, so that a hundred of those hide none that counts.
    order = (is_open, table.c.superseded, table.c.heard_at.nulls_first(), table.c.pk)
    statement = select(table).where(mine).order_by(*order)
    expected = read_expected(row["expected"])
    # Every producer may have sent custom messages; only who expects some has to count them all.
    if expected.custom_messages is None:
        statement = statement.limit(LISTED_PRODUCERS)
    producers = [read_producer(record) for record in connection.execute(statement).mappings()]
    progress = None
    if row["expected"] is not None:
        assets = find_asset_pks(connection, expected_assets(expected))
        reported = read_reported(connection, row["pk"], assets)
        progress = progress_of(expected, reported, producers).to_wire()
    heard_at = connection.scalar(select(func.max(table.c.heard_at)).where(mine)) if producers else None
    listed = [producer_members(producer) for producer in producers[:LISTED_PRODUCERS]]
    ended = [each for each in listed if each["end"] is not None]
    if len(listed) == LISTED_PRODUCERS:
        with_end = select(table).where(mine, table.c.lineage.contains(_HAS_END)).order_by(*order)
        found = connection.execute(with_end.limit(LISTED_PRODUCERS)).mappings()
        ended = [producer_members(read_producer(record)) for record in found]
    members: dict[str, JsonValue] = {"producers": list(listed), "expected_progress": progress}
    return Progress(members, ended, heard_at or 0)


def read_attempts(connection: Connection, invocation_pk: int, attempts: str | None) -> list[JsonValue]:
    """The attempts of an invocation, newest first; `attempts` as its row has them."""
    if attempts is None:
        return []
    names: dict[tuple[int, ...], list[JsonValue]] = {}
    for name, number in json.loads(attempts).get("names", {}).items():
        names.setdefault(tuple(number), []).append(name)
    table = tables.producer
    statement = (
        select(table.c.attempt, table.c.superseded, func.count().label("producers"))
        .where(table.c.invocation_pk == invocation_pk, table.c.attempt.is_not(None))
        .group_by(table.c.attempt, table.c.superseded)
    )
    counts: dict[tuple[int, ...], dict[bool, int]] = {number: {} for number in names}
    for row in connection.execute(statement):
        counts.setdefault(tuple(json.loads(row.attempt)), {})[bool(row.superseded)] = row.producers
    launcher = tuple(json.loads(attempts).get("launcher", ()))
    if launcher:
        counts.setdefault(launcher, {})
    newest = tuple(json.loads(attempts).get("newest", ()))
    return [
        {
            "attempt": list(number),
            "names": names.get(number, []),
            "producers": sum(counts[number].values()),
            "superseded": number < newest,
        }
        for number in sorted(counts, reverse=True)[:_LISTED]
    ]

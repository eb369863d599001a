"""What a list shows of each invocation beside its row, for a whole page in a few statements."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, select

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.outcome.badge import badge_of
from standpipe_server.broker.values.masking import mask_values
from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.store.database import tables
from standpipe_server.store.database.raw_sql import query, query_among
from standpipe_server.store.reads.invocations.filters import text_condition

_USUAL_OF = 20
"""How many green invocations of the same family tell what is usual."""
_MATCH_CHARACTERS = 300
_LATEST_GOOD = (
    "SELECT family, opened_at, created_at, ended_at FROM invocation WHERE family = {family}"  # noqa: S608
    f" AND verdict = 'succeeded' ORDER BY created_at DESC, pk DESC LIMIT {_USUAL_OF}"
)
_LATEST_GOOD_OF_EACH = (
    "SELECT latest.* FROM unnest(%s::bigint[]) AS wanted(one)"  # noqa: S608
    f" CROSS JOIN LATERAL ({_LATEST_GOOD.format(family='wanted.one')}) AS latest"
)
# As the index of failed checks says it.
_NOT_PASSED = {"sqlite": "passed = 0", "postgresql": "NOT passed"}
_HEARD_AT = "SELECT invocation_pk, max(heard_at) FROM producer WHERE invocation_pk {among} GROUP BY invocation_pk"
_FAILED = "SELECT invocation_pk, severity, count(*) FROM asset_check WHERE invocation_pk {among} AND "
_FAILED_ON = {name: f"{_FAILED}{failed} GROUP BY invocation_pk, severity" for name, failed in _NOT_PASSED.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Summaries:
    """Beside the rows of a page of invocations, by their keys."""

    failed: Mapping[int, Mapping[str, int]]
    heard_at: Mapping[int, int]
    usual: Mapping[int, float] | None
    matched: Mapping[int, Sequence[JsonValue]] | None

    def of(self, row: Mapping[Any, Any]) -> dict[str, JsonValue]:
        failed = self.failed.get(row["pk"], {})
        errors, warnings = failed.get("ERROR", 0), failed.get("WARN", 0)
        heard_at = max(self.heard_at.get(row["pk"], 0), row["last_event_at"] or 0)
        members: dict[str, JsonValue] = {
            "badge": badge_of(
                status=row["status"],
                verdict=row["verdict"],
                cancel_requested=row["cancel_requested_at"] is not None,
                failed=errors,
                warned=warnings,
            ),
            "failed_checks": {"error": errors, "warn": warnings},
            "duration_seconds": duration_of(row),
            "heard_at": to_rfc3339(heard_at) if heard_at else None,
            "pinned": row["pinned_at"] is not None,
        }
        if self.usual is not None:
            members["usual_seconds"] = self.usual.get(row["family"])
        if self.matched is not None:
            members["matched"] = list(self.matched.get(row["pk"], ()))
        return members


def read_summaries(
    connection: Connection,
    rows: Sequence[Mapping[Any, Any]],
    *,
    usual: bool = False,
    text: str | None = None,
    mask: bool = False,
) -> Summaries:
    pks = [row["pk"] for row in rows]
    return Summaries(
        # One that was registered just now has neither, and its registration waits for this.
        failed=_failed_checks(connection, [row["pk"] for row in rows if row["last_position"]]),
        heard_at=_heard_at(connection, [row["pk"] for row in rows if _may_be_heard(row)]),
        usual=_usual(connection, {row["family"] for row in rows} - {None}) if usual else None,
        matched=_matched(connection, pks, text, mask=mask) if text else None,
    )


def _may_be_heard(row: Mapping[Any, Any]) -> bool:
    return row["status"] != "ended" and (row["last_position"] > 0 or row["lease_expires_at"] is not None)


def duration_of(row: Mapping[Any, Any]) -> float | None:
    """From its opening, or without one from its registration, to its end."""
    if row["ended_at"] is None:
        return None
    return _seconds_between(row["opened_at"] or row["created_at"], row["ended_at"])


def _seconds_between(beginning: int, end: int) -> float:
    return max(0, end - beginning) / 1e6


def _failed_checks(connection: Connection, pks: Sequence[int]) -> Mapping[int, Mapping[str, int]]:
    failed: dict[int, dict[str, int]] = defaultdict(dict)
    for pk, severity, count in query_among(connection, _FAILED_ON[connection.dialect.name], pks):
        failed[pk][severity] = count
    return failed


def _heard_at(connection: Connection, pks: Sequence[int]) -> Mapping[int, int]:
    return {pk: heard_at or 0 for pk, heard_at in query_among(connection, _HEARD_AT, pks)}


def _usual(connection: Connection, families: set[int]) -> Mapping[int, float]:
    """The median duration of the last green ones of each family."""
    durations: dict[int, list[float]] = defaultdict(list)
    for family, opened_at, created_at, ended_at in _latest_good(connection, sorted(families)):
        if ended_at is not None:
            durations[family].append(_seconds_between(opened_at or created_at, ended_at))
    return {family: statistics.median(seconds) for family, seconds in durations.items()}


def _latest_good(connection: Connection, families: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    if connection.dialect.name == "postgresql":
        yield from query(connection, _LATEST_GOOD_OF_EACH, [families])
    else:
        # Nothing has to travel, so that one statement for each costs less than one for all.
        for family in families:
            yield from query(connection, _LATEST_GOOD.format(family="?"), [family])


def _matched(
    connection: Connection, pks: Sequence[int], searched: str, *, mask: bool
) -> Mapping[int, Sequence[JsonValue]]:
    table = tables.invocation_text
    statement = select(table.c.invocation_pk, table.c.kind, table.c.text).where(
        table.c.invocation_pk.in_(pks), text_condition(searched)
    )
    matched: dict[int, list[JsonValue]] = defaultdict(list)
    for pk, kind, text in connection.execute(statement) if pks else ():
        # Masked as a whole: a credential that the search itself named is not to be read off what it found.
        shown = str(mask_values(text)) if mask else text
        at = max(0, shown.find(searched.lower()) - _MATCH_CHARACTERS // 3)
        matched[pk].append({"in": kind, "text": shown[at : at + _MATCH_CHARACTERS]})
    return matched

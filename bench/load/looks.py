"""What pages ask for, each with SQL for the same rows where SQL can give them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bench.load.history import APART, ASSET, RARE_TEXT, Made

PAGE = 50
DEEP = 100
DEEPER = 1_900
POINTS = 500

# The columns of which an invocation in a list is made.
_COLUMNS = (
    "pk, id, status, verdict, reasons, revision, last_position, expected, tags, launcher, retry_of, created_at,"
    " opened_at, ended_at, last_event_at, lease_expires_at, cancel_requested_at, finish, receipt, pinned_at"
)
_ROWS = (
    f"SELECT {_COLUMNS}, context FROM invocation JOIN invocation_context ON invocation_pk = pk"  # noqa: S608
    " WHERE {where} ORDER BY created_at DESC, pk DESC LIMIT 50"
)
_FOUND_BY_TEXT = _ROWS.format(
    where="pk IN (SELECT invocation_pk FROM invocation_text WHERE text LIKE ?"
    " ORDER BY created_at DESC, invocation_pk DESC LIMIT 50)"
)
_OF_ASSET = _ROWS.format(
    where="EXISTS (SELECT 1 FROM materialization WHERE invocation_pk = invocation.pk"
    " AND asset_pk = (SELECT pk FROM asset WHERE asset_key = ?))"
)
_DAYS = (
    "SELECT created_at / 86400000000 AS day, verdict, count(*) AS count FROM invocation"
    " GROUP BY created_at / 86400000000, verdict"
)
_SERIES = (
    "SELECT received_at, value, position, partition_key, least, greatest, count,"
    " (SELECT id FROM invocation WHERE invocation.pk = invocation_pk) AS id"
    " FROM metadata_number JOIN (SELECT max(pk) AS last, min(value) AS least, max(value) AS greatest, count(*) AS count"
    " FROM metadata_number WHERE asset_pk = (SELECT pk FROM asset WHERE asset_key = ?) AND check_name = ''"
    " AND label = 'rows' GROUP BY received_at / CAST(? AS bigint)) AS bins ON pk = last ORDER BY received_at, pk"
)

CursorAt = Callable[[int], str | None]
"""The cursor after so many pages of the list; None where there are fewer."""
Place = Callable[[int], Sequence[Any]]
"""`created_at` and `pk` of the last row of so many pages."""


@dataclass(frozen=True, slots=True)
class Look:
    """One request, and SQL for the same rows. Without SQL there is nothing to set beside it."""

    what: str
    path: str
    query: dict[str, str]
    sql: str = ""
    values: Sequence[Any] = ()


def looks(made: Made, *, invocations: int, cursor_at: CursorAt, place: Place) -> Generator[Look]:
    page = {"limit": str(PAGE)}
    yield Look("first page", "/invocations", page, _ROWS.format(where="1 = 1"))
    for pages in (DEEP, DEEPER):
        if cursor := cursor_at(pages):
            beyond = _ROWS.format(where="(created_at, pk) < (?, ?)")
            yield Look(f"page {pages + 1:,}", "/invocations", page | {"cursor": cursor}, beyond, place(pages))
    usual = page | {"usual": "true"}
    yield Look("first page, with usual durations", "/invocations", usual)
    yield Look("failed ones", "/invocations", page | {"verdict": "failed"}, _ROWS.format(where="verdict = 'failed'"))
    yield Look("of one asset", "/invocations", page | {"asset_key": ASSET}, _OF_ASSET, [ASSET])
    yield Look("of one tag", "/invocations", page | {"tag": "team"})
    yield Look("with failed checks", "/invocations", page | {"failed_checks": "true"})
    for what, text in (("few have", RARE_TEXT), ("none has", "qqqq"), ("all have", "team=")):
        searched = page | {"text": text}
        yield Look(f"search for what {what}", "/invocations", searched, _FOUND_BY_TEXT, [f"%{text}%"])
    since = {"bin": "day", "since": "2025-10-01T00:00:00Z", "until": "2026-12-31T00:00:00Z"}
    yield Look("counts by day", "/invocations/counts", since, _DAYS)
    asset = f"/assets/{quote(ASSET, safe='')}"
    width = invocations * APART // POINTS + 1
    points = {"max_points": str(POINTS)}
    yield Look("a series in 500 points", f"{asset}/metadata/rows/series", points, _SERIES, [ASSET, width])
    yield Look("materializations of an asset", f"{asset}/materializations", page)
    yield Look("assets", "/assets", page)
    events = f"/invocations/{made.large}/events"
    yield Look("last 200 of 50,000 lines", events, {"before": "end", "limit": "200"})
    yield Look("200 lines in the middle", events, {"after": "25000", "limit": "200"})
    yield Look("search 50,000 lines, none fits", events, {"text": "qqqq", "limit": "200"})
    yield Look("search 50,000 lines, one fits", events, {"text": " 49999", "limit": "200"})
    yield Look("search 50,000 lines backwards", events, {"text": "qqqq", "before": "end", "limit": "200"})
    yield Look("levels of 50,000 lines, none fits", events, {"level": "ERROR", "limit": "200"})

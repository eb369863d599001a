"""Which invocations a filter fits, newest registration first: keys only, a page at a time.

Invariant: one request does bounded work, wherever in the list it is. What an index serves is one walk along it. What
none serves (a text; a tag or an asset that half of all invocations have) is looked for in a window of the list, and
the answer says where the window ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, Unpack, cast

from sqlalchemy import ColumnElement, Connection, Integer, Select, and_, literal_column, or_, select, text, tuple_

from standpipe_protocol.invocation import VERDICTS
from standpipe_server.store.database import tables
from standpipe_server.store.errors import BadCursor
from standpipe_server.store.reads.invocations.badges import has_badge

_RARE = 1_000
"""So many invocations are looked at one by one; of what more have, only a window of the list is looked at."""
_WINDOWS = (2_000, 10_000)
"""A short one first: of what is common it fills a page, and its end is soon found."""
_TEXT_WINDOWS = (2_000, 100_000)
_KINDS = 5
"""Rows of searched text an invocation has at most: names, reasons, and three first errors."""

Walk: TypeAlias = Select[Unpack[tuple[Any, ...]]]
_Place: TypeAlias = Sequence[ColumnElement[int]]
"""The columns of a key."""
Key: TypeAlias = tuple[int, int]
"""An invocation's place in the order: when it was registered, and its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationFilter:
    """Which invocations a list shows; None or nothing means any. Instants are microseconds since the epoch."""

    statuses: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    badges: tuple[str, ...] = ()
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
    pinned: bool | None = None
    failed_checks: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPage:
    """Keys in order. `next` is the key after which to go on; `window_ended`, when the window ended before the page was
    full, is the instant to which was looked."""

    keys: Sequence[Key]
    next: Key | None
    window_ended: int | None = None


def find_invocations(connection: Connection, filters: InvocationFilter, *, limit: int, after: Key | None) -> KeyPage:
    if filters.text:
        return _find_by_text(connection, filters, limit=limit, after=after)
    table = tables.invocation
    place = (table.c.created_at, table.c.pk)
    conditions, common = conditions_of(connection, filters)
    bounds = _beyond(place, after)
    statement = _newest_first(select(*place).where(*conditions, *bounds), place).limit(limit + 1)
    if not common:
        return _page(connection.execute(statement).all(), limit=limit, end=None)
    walk = select(*place).where(*_range(table.c.created_at, filters), *bounds)
    return _find_in_windows(connection, statement, walk, place, sizes=_WINDOWS, limit=limit)


def _find_in_windows(
    connection: Connection, statement: Walk, walk: Walk, place: _Place, *, sizes: Sequence[int], limit: int
) -> KeyPage:
    """What `statement` finds in a window of the list that `walk` goes through; in the shortest that fills a page."""
    page = KeyPage(keys=(), next=None)
    for size in sizes:
        end = _window_end(connection, walk, place, size=size)
        within = statement if end is None else statement.where(*_not_beyond(place, end))
        distinct = list(dict.fromkeys(tuple(row) for row in connection.execute(within)))
        page = _page(distinct, limit=limit, end=end)
        if page.window_ended is None:
            return page
    return page


def conditions_of(connection: Connection, filters: InvocationFilter) -> tuple[list[ColumnElement[bool]], bool]:
    """What rows of `invocation` must fit (the text apart), and whether some of it is too common to be served by an
    index."""
    table = tables.invocation
    conditions = _range(table.c.created_at, filters)
    for column, values in ((table.c.status, filters.statuses), (table.c.verdict, filters.verdicts)):
        if values:
            conditions.append(column == values[0] if len(values) == 1 else column.in_(values))
    for name in ("job_name", "run_id", "partition_key", "retry_of"):
        value = getattr(filters, name)
        if value is not None:
            conditions.append(table.c[name] == value)
    if filters.pinned is not None:
        conditions.append(table.c.pinned_at.is_not(None) if filters.pinned else table.c.pinned_at.is_(None))
    common = False
    if filters.badges:
        conditions.append(has_badge(filters.badges))
        # Of a verdict the index tells it, of checks each row.
        common = not set(filters.badges) <= set(VERDICTS) - {"succeeded"}
    for links in _links(connection, filters):
        rare = _few(connection, links)
        if rare is None:
            common = True
            conditions.append(or_(*(_has_one(link.pk == table.c.pk, *link.conditions) for link in links)))
        else:
            conditions.append(table.c.pk.in_(rare))
    return conditions, common


def text_condition(searched: str) -> ColumnElement[bool]:
    return tables.invocation_text.c.text.contains(searched.lower(), autoescape=True)


def key_of(cursor: object) -> Key:
    """Raises BadCursor."""
    match cursor:
        case [int() as created_at, int() as pk]:
            return created_at, pk
        case _:
            raise BadCursor


@dataclass(frozen=True, slots=True)
class _Link:
    """Rows that say of an invocation what is asked."""

    pk: ColumnElement[int]
    conditions: Sequence[ColumnElement[bool]]


def _links(connection: Connection, filters: InvocationFilter) -> list[list[_Link]]:
    """For each thing asked, the tables of which one must have a row."""
    links: list[list[_Link]] = []
    for name, value in filters.tags:
        tag = tables.invocation_tag
        fits = [tag.c.name == name] if value is None else [tag.c.name == name, tag.c.value == value]
        links.append([_Link(tag.c.invocation_pk, fits)])
    if filters.asset_key is not None:
        asset = connection.scalar(select(tables.asset.c.pk).where(tables.asset.c.asset_key == filters.asset_key))
        # What is found most often is asked first.
        reports = (tables.materialization, tables.asset_check, tables.observation, tables.invocation_asset)
        links.append([_Link(table.c.invocation_pk, [table.c.asset_pk == (asset or 0)]) for table in reports])
    if filters.failed_checks:
        check = tables.asset_check
        links.append([_Link(check.c.invocation_pk, [~check.c.passed])])
    return links


def _few(connection: Connection, links: Sequence[_Link]) -> list[int] | None:
    """The rows of the invocations, when there are few."""
    pks: set[int] = set()
    for link in links:
        some = select(link.pk).where(*link.conditions)
        # The database itself counts up to this many, so that they are not fetched.
        if connection.scalar(some.offset(_RARE).limit(1)) is not None:
            return None
        pks.update(connection.scalars(some.limit(_RARE)))
    return sorted(pks)


def _find_by_text(connection: Connection, filters: InvocationFilter, *, limit: int, after: Key | None) -> KeyPage:
    table, invocation = tables.invocation_text, tables.invocation
    place = (table.c.created_at, table.c.invocation_pk)
    bounds = [*_range(table.c.created_at, filters), *_beyond(place, after)]
    statement = select(*place).where(*bounds, text_condition(filters.text or ""))
    conditions, _ = conditions_of(connection, filters)
    if len(conditions) > len(_range(invocation.c.created_at, filters)):
        # Not a join: that a database would begin at its other end, with all that fit the rest and not the text.
        statement = statement.where(_has_one(invocation.c.pk == table.c.invocation_pk, *conditions))
    # An invocation may be found by each of its texts.
    statement = _newest_first(statement, place).limit((limit + 1) * _KINDS)
    walk = select(*place).where(*bounds)
    return _find_in_windows(connection, statement, walk, place, sizes=_TEXT_WINDOWS, limit=limit)


def _has_one(*conditions: ColumnElement[bool]) -> ColumnElement[bool]:
    """Whether there is such a row, asked for each row by itself.

    As `EXISTS` PostgreSQL would answer it for all rows at once, and read all that an asset or a tag ever had for it.
    """
    return select(literal_column("1", Integer)).where(*conditions).limit(1).scalar_subquery().is_not(None)


def _page(rows: Sequence[Any], *, limit: int, end: Key | None) -> KeyPage:
    keys = [(cast("int", row[0]), cast("int", row[1])) for row in rows]
    if len(keys) > limit:
        return KeyPage(keys=keys[:limit], next=keys[limit - 1])
    return KeyPage(keys=keys, next=end, window_ended=None if end is None else end[0])


def _window_end(connection: Connection, walk: Walk, place: _Place, *, size: int) -> Key | None:
    """The last key of the window; None when the list ends within it."""
    row: Any = connection.execute(_newest_first(walk, place).offset(size - 1).limit(1)).first()
    return None if row is None else (row[0], row[1])


def _newest_first(statement: Walk, place: _Place) -> Walk:
    return statement.order_by(*(column.desc() for column in place))


def _range(created_at: ColumnElement[int], filters: InvocationFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if filters.since is not None:
        conditions.append(created_at >= filters.since)
    if filters.until is not None:
        conditions.append(created_at < filters.until)
    return conditions


def _beyond(place: _Place, after: Key | None) -> list[ColumnElement[bool]]:
    return [] if after is None else [tuple_(*place) < tuple_(*after)]


def _not_beyond(place: _Place, end: Key) -> list[ColumnElement[bool]]:
    return [tuple_(*place) >= tuple_(*end)]


GOOD = and_(text("invocation.verdict = 'succeeded'"))
"""As the indexes of green invocations say it: with a bound value a database cannot know that they serve."""

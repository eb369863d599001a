"""How many invocations there were over time, by verdict (while they have none, by status) or by badge."""

from __future__ import annotations

from collections import defaultdict

from sqlalchemy import BigInteger, ColumnElement, Connection, func, literal_column, select

from standpipe_server.store.database import tables
from standpipe_server.store.reads.invocations.badges import badge_column
from standpipe_server.store.reads.invocations.filters import InvocationFilter, conditions_of, text_condition


def count_invocations(
    connection: Connection, filters: InvocationFilter, *, width: int, by_badge: bool = False
) -> tuple[dict[int, dict[str, int]], dict[str, int]]:
    """In bins of `width` microseconds since the epoch, of those that were registered in the filter's range of time.

    The counts by the bins' first instants (bins with none are left out), and those of all bins together.
    """
    table = tables.invocation
    conditions, _ = conditions_of(connection, filters)
    # The width is this program's own number; as a bound value it would be another expression each time it is named.
    # Whole numbers divide to whole numbers on both databases.
    number: ColumnElement[int] = literal_column(f"(invocation.created_at / {int(width)})", BigInteger)
    state = badge_column() if by_badge else func.coalesce(table.c.verdict, table.c.status)
    # Each row's state is found first, and counted then: PostgreSQL does not group by what asks another table.
    rows = select(number.label("bin"), state.label("state")).where(*conditions)
    if filters.text:
        texts = tables.invocation_text
        fitting = select(texts.c.invocation_pk).where(
            text_condition(filters.text),
            *([texts.c.created_at >= filters.since] if filters.since is not None else []),
            *([texts.c.created_at < filters.until] if filters.until is not None else []),
        )
        rows = rows.where(table.c.pk.in_(fitting))
    matching = rows.subquery()
    statement = select(matching.c.bin, matching.c.state, func.count()).group_by(matching.c.bin, matching.c.state)
    bins: dict[int, dict[str, int]] = defaultdict(dict)
    total: dict[str, int] = defaultdict(int)
    for bin_number, name, count in connection.execute(statement):
        bins[int(bin_number) * width][name] = count
        total[name] += count
    return dict(sorted(bins.items())), dict(total)

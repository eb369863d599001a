"""The numbers in metadata, taken out of stored reports when somebody looks at their asset: appends pay nothing for it.

Each report is taken once: its numbers, or one row without a label when it has none, say that it was. A row without a
label has as its value how many numbers of the report were left out because there were too many. The asset
remembers through which report all were taken, but only of those that are old enough for every transaction of their
time to have ended: on PostgreSQL a row may appear below one that is there already.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import ColumnElement, Connection, Table, exists, func, select, update

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.messages.metadata_numbers import NotFinite, Numbers, numbers_of
from standpipe_server.broker.values.long_integers import LongIntegers
from standpipe_server.broker.values.times import seconds
from standpipe_server.store.database import tables
from standpipe_server.store.database.carried_text import carry
from standpipe_server.store.database.raw_sql import insert_rows
from standpipe_server.store.events.event_pages import ProducerNames, read_events_at
from standpipe_server.store.events.segments import StoredEvent
from standpipe_server.store.transactions.unit_of_work import UnitOfWork

COLUMNS = (
    "invocation_pk",
    "position",
    "asset_pk",
    "check_name",
    "label",
    "value",
    "not_finite",
    "partition_key",
    "received_at",
)
NO_LABEL = ""
_AT_A_TIME = 200
_ROWS_AT_A_TIME = 20_000
"""With the report that goes beyond it."""
_SURELY_COMMITTED = seconds(600)
_LOOKED_AT_AGAIN = 500


@dataclass(frozen=True, slots=True)
class TakeNumbers:
    """Takes the numbers of the next reports on an asset (rows of `table`); answers whether more may be left."""

    asset_pk: int
    table: Table
    names: ProducerNames
    pk: int | None = None

    def execute(self, unit: UnitOfWork) -> bool:
        connection, table = unit.connection, self.table
        through = _taken_through(connection, self.asset_pk, table, lock=True)
        check_name = [table.c.check_name] if "check_name" in table.c else []
        columns = (table.c.invocation_pk, table.c.position, table.c.partition_key, table.c.received_at, *check_name)
        left = select(*columns).where(*_not_taken(table, self.asset_pk, through)).order_by(table.c.pk).limit(_AT_A_TIME)
        found = connection.execute(left).mappings().all()
        places = [(row["invocation_pk"], row["position"]) for row in found]
        events = read_events_at(connection, places, names=self.names)
        rows: list[tuple[Any, ...]] = []
        more = len(found) == _AT_A_TIME
        for row, place in zip(found, places, strict=True):
            if len(rows) >= _ROWS_AT_A_TIME:
                more = True
                break
            check, partition = carry(row.get("check_name", "")), carry(row["partition_key"])
            for label, *value in _stored(_numbers_of(events.get(place))):
                rows.append((*place, self.asset_pk, check, carry(label), *value, partition, row["received_at"]))
        if rows:
            insert_rows(connection, tables.metadata_number, COLUMNS, rows)
        if not more:
            self._remember(connection, through, before=unit.now - _SURELY_COMMITTED)
        return more

    def _remember(self, connection: Connection, through: int, *, before: int) -> None:
        table, asset = self.table, tables.asset
        newest = connection.scalar(
            select(func.max(table.c.pk)).where(
                table.c.asset_pk == self.asset_pk, table.c.pk > through, table.c.received_at < before
            )
        )
        if newest is not None:
            change = {f"numbered_{table.name}": newest}
            connection.execute(update(asset).where(asset.c.pk == self.asset_pk).values(change))


def has_numbers_left(connection: Connection, asset_pk: int, table: Table) -> bool:
    """Whether there is something for `TakeNumbers`: reports to take, or many to remember as taken."""
    through = _taken_through(connection, asset_pk, table)
    left = select(table.c.pk).where(*_not_taken(table, asset_pk, through)).limit(1)
    if connection.scalar(left) is not None:
        return True
    beyond = select(table.c.pk).where(table.c.asset_pk == asset_pk, table.c.pk > through).limit(_LOOKED_AT_AGAIN)
    return len(connection.execute(beyond).all()) == _LOOKED_AT_AGAIN


def _taken_through(connection: Connection, asset_pk: int, table: Table, *, lock: bool = False) -> int:
    statement = select(tables.asset.c[f"numbered_{table.name}"]).where(tables.asset.c.pk == asset_pk)
    # Two servers must not take the same report.
    return connection.scalar(statement.with_for_update() if lock else statement) or 0


def _not_taken(table: Table, asset_pk: int, through: int) -> list[ColumnElement[bool]]:
    taken = tables.metadata_number
    is_taken = exists().where(taken.c.invocation_pk == table.c.invocation_pk, taken.c.position == table.c.position)
    return [table.c.asset_pk == asset_pk, table.c.pk > through, ~is_taken]


def _stored(numbers: Numbers) -> Iterator[tuple[str, float | None, NotFinite | None]]:
    """Label, `value` and `not_finite` of each row of a report."""
    if numbers.left_out or not numbers.taken:
        yield NO_LABEL, float(numbers.left_out), None
    for label, number in numbers.taken:
        yield (label, None, number) if isinstance(number, str) else (label, number, None)


def _numbers_of(event: StoredEvent | None) -> Numbers:
    if event is None:
        return Numbers()
    wire = cast("Mapping[str, JsonValue]", LongIntegers().decode(event.text))
    params = wire.get("params")
    metadata = params.get("metadata") if isinstance(params, dict) else None
    return numbers_of(metadata) if isinstance(metadata, dict) else Numbers()

"""The numbers in metadata, taken out of stored reports when their asset is read: appends cost nothing for it.

Each report is taken once: its numbers, or one row without a label when it has none, say that it was. A row without a
label has as its value how many numbers of the report were left out because there were too many. The asset
remembers through which report all were taken, but only of those that are old enough for every transaction of their
time to have ended: on PostgreSQL a row may appear below one that is there already.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import Connection, Table, func, select, update

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.messages.metadata_numbers import NotFinite, Numbers, numbers_of
from standpipe_server.broker.values.long_integers import LongIntegers
from standpipe_server.broker.values.times import seconds
from standpipe_server.store.database import tables
from standpipe_server.store.database.carried_text import carry
from standpipe_server.store.database.raw_sql import insert_rows
from standpipe_server.store.errors import Overloaded
from standpipe_server.store.events.event_pages import read_events_at
from standpipe_server.store.events.segments import StoredEvent
from standpipe_server.store.reads.assets.number_series import NO_LABEL, has_numbers_left, not_taken, taken_through
from standpipe_server.store.reads.assets.reports import asset_pk_of
from standpipe_server.store.reads.runner import Reads
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from standpipe_server.store.transactions.writer import Writes

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
_AT_A_TIME = 200
_ROWS_AT_A_TIME = 20_000
"""With the report that goes beyond it."""
_SURELY_COMMITTED = seconds(600)
_TURNS = 100
"""Commands of 200 reports each for one request; the next request goes on."""


@dataclass(frozen=True, slots=True)
class TakeNumbers:
    """Takes the numbers of the next reports on an asset (rows of `table`); answers whether more may be left."""

    asset_pk: int
    table: Table
    pk: int | None = None

    def execute(self, unit: UnitOfWork) -> bool:
        connection, table = unit.connection, self.table
        through = taken_through(connection, self.asset_pk, table, lock=True)
        check_name = [table.c.check_name] if "check_name" in table.c else []
        columns = (table.c.invocation_pk, table.c.position, table.c.partition_key, table.c.received_at, *check_name)
        left = select(*columns).where(*not_taken(table, self.asset_pk, through)).order_by(table.c.pk).limit(_AT_A_TIME)
        reports = connection.execute(left).mappings().all()
        places = [(row["invocation_pk"], row["position"]) for row in reports]
        events = read_events_at(connection, places)
        rows: list[tuple[Any, ...]] = []
        more = len(reports) == _AT_A_TIME
        for row, place in zip(reports, places, strict=True):
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


class NumberTaker:
    """Takes the numbers that were reported on an asset since the last request for them."""

    def __init__(self, reads: Reads, writes: Writes) -> None:
        self._reads = reads
        self._writes = writes

    async def take(self, asset_key: str, *, of_checks: bool = False) -> None:
        """Takes the numbers of a bounded number of reports.

        Raises:
            NotFound: nothing was reported on the asset.
        """
        table = tables.asset_check if of_checks else tables.materialization
        asset_pk = await self._reads.run(asset_pk_of, asset_key)
        if not await self._reads.run(has_numbers_left, asset_pk, table):
            return
        # A database that takes no writes must not fail a read: the answer then lacks the newest numbers.
        with contextlib.suppress(Overloaded):
            for _ in range(_TURNS):
                if not await self._writes.run(TakeNumbers(asset_pk, table)):
                    return


def _stored(numbers: Numbers) -> Iterator[tuple[str, float | None, NotFinite | None]]:
    """Label, `value` and `not_finite` of each row of a report."""
    if numbers.left_out or not numbers.numbers:
        yield NO_LABEL, float(numbers.left_out), None
    for label, number in numbers.numbers:
        yield (label, None, number) if isinstance(number, str) else (label, number, None)


def _numbers_of(event: StoredEvent | None) -> Numbers:
    if event is None:
        return Numbers()
    wire = cast("Mapping[str, JsonValue]", LongIntegers().decode(event.text))
    params = wire.get("params")
    metadata = params.get("metadata") if isinstance(params, dict) else None
    return numbers_of(metadata) if isinstance(metadata, dict) else Numbers()

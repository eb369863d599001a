"""Attempts in the store: the launcher's numbers, who is superseded, and which reports stand.

The rules are `broker.attempts` and `broker.standing`; here they get what they need, under the invocation's lock.
Invariant: `superseded` and the counts of open producers are right whenever a transaction ends.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, delete, func, select

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.process_end import Attempt
from standpipe_server.broker.intake import decide_append as intake
from standpipe_server.broker.lifecycle.attempts import (
    ReportKey,
    StandingReport,
    describe_attempt,
    lineage_of,
    numbered_by,
    place_producers,
    with_number,
)
from standpipe_server.broker.messages.batches import Batch
from standpipe_server.broker.messages.parsed_message import Opening
from standpipe_server.broker.values.ids import ANONYMOUS_PRODUCER
from standpipe_server.broker.values.state import AttemptNumbers, InvocationState, ProducerState, replace
from standpipe_server.store.commands.lifecycle import conclude
from standpipe_server.store.database import tables
from standpipe_server.store.events.segments import segment_runs
from standpipe_server.store.transactions.unit_of_work import UnitOfWork

_FAR_APART = 1_000
_CHUNK = 500
_LISTED = 100
"""Attempts that an invocation shows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """An opening producer among the others of its invocation. Nothing of it is put back yet."""

    invocation: InvocationState
    producer: ProducerState
    others: Sequence[ProducerState] = ()
    """Those that this opening superseded."""


def place_opening(
    unit: UnitOfWork, invocation: InvocationState, producer: ProducerState, batch: Batch, *, first_seq: int
) -> Placed:
    """The invocation and the producer as they are when the batch's `opened` is stored; as they were without one."""
    as_it_was = Placed(invocation=invocation, producer=producer)
    skip = producer.last_seq + 1 - first_seq
    if producer.opened or skip < 0:
        return as_it_was
    new = batch.messages[skip:] if skip else batch.messages
    opening = next((message for message in new if message.method == "opened" and message.problem is None), None)
    if opening is None:
        return as_it_was
    content = opening.content
    launcher = invocation.attempts.launcher if invocation.attempts is not None else ()
    lineage = replace(producer.lineage, launcher_attempt=launcher)
    opened = replace(producer, lineage=lineage, opened=1)
    if isinstance(content, Opening):
        lineage = lineage_of(content, lineage, now=unit.now)
        opened = replace(opened, lineage=lineage, process=content.process or producer.process)
    parent = lineage.parent
    parent_is_known = parent is None or unit.find_producer(invocation.pk, parent) is not None
    numbers = numbered_by(invocation.attempts, opened, parent_is_known=parent_is_known)
    if numbers is None:
        return as_it_was
    if numbers == invocation.attempts and _is_plainly_newest(opened, numbers):
        placed_alone = replace(opened, opened=producer.opened, attempt=numbers.newest)
        return Placed(invocation=invocation, producer=placed_alone)
    known = [each for each in unit.all_producers(invocation.pk) if each.name != producer.name]
    numbered = replace(invocation, attempts=numbers)
    numbered, placed = place_producers(numbered, [*known, opened], now=unit.now)
    *others, mine = placed
    changed = [after for before, after in zip(known, others, strict=True) if after != before]
    # As it was before the opening, which is still to be counted, but with what the opening says of its place.
    unopened = replace(mine, opened=producer.opened)
    state = replace(
        numbered,
        producers_opened=sum(each.opened > 0 and not each.superseded for each in others),
        producers_open=sum(each.is_open and not each.superseded for each in others),
    )
    return Placed(invocation=state, producer=unopened, others=changed)


def _is_plainly_newest(producer: ProducerState, numbers: AttemptNumbers) -> bool:
    """Most openings of many ranks change nothing for the others, which then need not be read."""
    lineage = producer.lineage
    if numbers.ranks or numbers.orphans or lineage.rank_attempt or producer.name == ANONYMOUS_PRODUCER:
        return False
    # A producer that names its number belongs to that attempt, and not to that of its parent.
    if lineage.attempt_name is not None and lineage.attempt_name in numbers.names:
        return lineage.parent is None and numbers.names[lineage.attempt_name] == numbers.newest
    if lineage.own_attempt is not None:
        return lineage.own_attempt == numbers.newest
    return lineage.parent is None and lineage.launcher_attempt == numbers.newest


def put_superseded(unit: UnitOfWork, invocation_pk: int, producers: Iterable[ProducerState]) -> None:
    """Puts back producers that were placed again; the history says which are superseded now."""
    newly: list[ProducerState] = []
    for after in producers:
        before = unit.find_producer(invocation_pk, after.name)
        if after.superseded and not (before is not None and before.superseded):
            newly.append(after)
        unit.put_producer(invocation_pk, after)
    if newly:
        names: list[JsonValue] = [producer.name for producer in newly[:_LISTED]]
        unit.add_history(invocation_pk, "superseded", {"producers": names, "count": len(newly)})


def standing_reports(
    unit: UnitOfWork,
    invocation_pk: int,
    keys: Iterable[str],
    checks: Iterable[tuple[str, str]],
    *,
    others: Iterable[ProducerState] = (),
) -> dict[ReportKey, StandingReport]:
    """The reports that stand on these assets and checks, with who reported each; `others` as they are from now on."""
    unit.flush_inserts()
    key_of = {pk: key for key, pk in unit.asset_pks(keys).items()}
    if not key_of:
        return {}
    checked = set(checks)
    positions: dict[ReportKey, int] = {}
    asset_pks = sorted(key_of)
    for start in range(0, len(asset_pks), _CHUNK):
        chunk = asset_pks[start : start + _CHUNK]
        table = tables.materialization
        mine = (table.c.invocation_pk == invocation_pk) & table.c.asset_pk.in_(chunk)
        for row in unit.connection.execute(select(table.c.asset_pk, table.c.position).where(mine)):
            positions[key_of[row.asset_pk], None] = row.position
        table = tables.asset_check
        mine = (table.c.invocation_pk == invocation_pk) & table.c.asset_pk.in_(chunk)
        latest = select(table.c.asset_pk, table.c.check_name, func.max(table.c.position).label("position")).where(mine)
        for row in unit.connection.execute(latest.group_by(table.c.asset_pk, table.c.check_name)):
            if (key_of[row.asset_pk], row.check_name) in checked:
                positions[key_of[row.asset_pk], row.check_name] = row.position
    if not positions:
        return {}
    reporters = _producers_at(unit.connection, invocation_pk, positions.values())
    by_pk = {producer.pk: producer for producer in unit.producers_by_pk(invocation_pk, set(reporters.values()))}
    by_pk |= {producer.pk: producer for producer in others}
    standing: dict[ReportKey, StandingReport] = {}
    for key, position in positions.items():
        producer = by_pk.get(reporters.get(position, 0))
        if producer is not None:
            standing[key] = StandingReport(position, producer)
    return standing


def _producers_at(connection: Connection, invocation_pk: int, positions: Iterable[int]) -> dict[int, int]:
    """Which producer's message is stored at each of these positions."""
    table = tables.segment
    mine = table.c.invocation_pk == invocation_pk
    columns = (table.c.first_position, table.c.producer_pk, table.c.first_seq, table.c.count, table.c.received_at)
    producers: dict[int, int] = {}
    for stretch in _stretches(sorted(set(positions))):
        before = table.c.first_position <= stretch[0]
        start = connection.scalar(select(func.max(table.c.first_position)).where(mine, before)) or 0
        among = (table.c.first_position >= start) & (table.c.first_position <= stretch[-1])
        rows = select(*columns, table.c.runs).where(mine, among).order_by(table.c.first_position)
        waiting = deque(stretch)
        for row in connection.execute(rows).mappings():
            beyond = row["first_position"]
            for producer_pk, _, count, _ in segment_runs(row):
                beyond += count
                while waiting and waiting[0] < beyond:
                    producers[waiting.popleft()] = producer_pk
    return producers


def _stretches(positions: Sequence[int]) -> Iterator[Sequence[int]]:
    """Positions that stand close together: what lies between is read in one statement."""
    begin = 0
    for index in range(1, len(positions) + 1):
        if index == len(positions) or positions[index] - positions[index - 1] > _FAR_APART:
            yield positions[begin:index]
            begin = index


def remove_replaced(unit: UnitOfWork, decision: intake.Append) -> None:
    """Takes the rows of older attempts' reports away, of which the batch holds newer ones."""
    if not decision.replaced:
        return
    unit.flush_inserts()
    pk = decision.invocation.pk
    asset_pks = unit.asset_pks({key for key, _ in decision.replaced})
    numbers = tables.metadata_number
    for table in (tables.materialization, tables.asset_check):
        names: dict[str | None, list[int]] = {}
        for key, check_name in decision.replaced:
            if (check_name is None) == (table is tables.materialization):
                names.setdefault(check_name, []).append(asset_pks[key])
        for check_name, pks in names.items():
            for start in range(0, len(pks), _CHUNK):
                mine = (table.c.invocation_pk == pk) & table.c.asset_pk.in_(pks[start : start + _CHUNK])
                if check_name is not None:
                    mine &= tables.asset_check.c.check_name == check_name
                replaced = numbers.c.position.in_(select(table.c.position).where(mine))
                unit.connection.execute(delete(numbers).where(numbers.c.invocation_pk == pk, replaced))
                unit.connection.execute(delete(table).where(mine))


@dataclass(frozen=True, slots=True)
class NumberAttempt:
    """The launcher's number for an attempt: of that name, or of what opens from now on."""

    pk: int
    attempt: Attempt
    name: str | None = None

    def execute(self, unit: UnitOfWork) -> None:
        before = unit.invocation(self.pk)
        numbers = with_number(before.attempts, attempt=self.attempt, name=self.name)
        if numbers == before.attempts:
            return
        producers = unit.all_producers(self.pk)
        state, placed = place_producers(replace(before, attempts=numbers), producers, now=unit.now)
        detail: dict[str, JsonValue] = {"attempt": list(self.attempt), "number": describe_attempt(self.attempt)}
        unit.add_history(self.pk, "attempt", detail | ({"name": self.name} if self.name else {}))
        changed = [after for old, after in zip(producers, placed, strict=True) if after != old]
        put_superseded(unit, self.pk, changed)
        if state.ended and state.verdict not in ("succeeded", "cancelled"):
            # What made it red may belong to an older attempt now.
            conclude(unit, state)
        else:
            unit.put_invocation(state)

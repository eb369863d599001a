"""One transaction's work: what a group of commands reads once and writes together.

Commands load states, ask the rules, and put back what the rules returned; `flush` writes it all in few statements.
A command that refuses must do so before it puts anything back: its neighbours share the transaction.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.lifecycle.leases import next_due
from standpipe_server.broker.outcome.expected_progress import Reported
from standpipe_server.broker.values.state import InvocationState, ProducerState, replace
from standpipe_server.broker.values.times import seconds
from standpipe_server.store.database import state_rows as rows
from standpipe_server.store.database import tables
from standpipe_server.store.database.raw_sql import insert_rows, select_rows, update_rows
from standpipe_server.store.errors import NotFound
from standpipe_server.store.events.segments import StoredSegment
from standpipe_server.store.transactions.caches import Caches, LiveStates
from standpipe_server.store.transactions.refusal_rows import RefusalRows
from standpipe_server.store.wakes import Wake

_T = TypeVar("_T")
_CHUNK = 500
SEGMENT_COLUMNS = tuple(column.name for column in tables.segment.c if column.name != "pk")
"""In the order in which `insert_segment` names their values."""
_CHANGING = ("pk", *rows.STATE_COLUMNS)
_PRODUCER = ("pk", "invocation_pk", "name", *rows.PRODUCER_COLUMNS)
MATERIALIZATION_COLUMNS = ("invocation_pk", "position", "asset_pk", "partition_key", "data_version", "received_at")
# An ended invocation is left alone for a while: late messages may still come, and readers are catching up.
_MERGE_AFTER = seconds(60)

# Made once: building a statement costs as much as running it.
_among = tables.invocation.c.pk.in_(bindparam("pks", expanding=True))
_lock_whole = select(tables.invocation).where(_among).order_by(tables.invocation.c.pk).with_for_update()
_find_producers = select(tables.producer).where(
    tables.producer.c.invocation_pk.in_(bindparam("pks", expanding=True)),
    tables.producer.c.name.in_(bindparam("names", expanding=True)),
)
_insert_into = {table: insert(table) for table in tables.metadata.tables.values()}


class UnitOfWork:
    """The work of one transaction on one connection, at one instant (`now`)."""

    def __init__(self, connection: Connection, *, now: int, caches: Caches, live: LiveStates | None = None) -> None:
        """`live` remembers states that no other connection can have changed."""
        self.connection = connection
        self.now = now
        self._caches = caches
        self._live = live
        self._before: dict[int, InvocationState] = {}
        self._states: dict[int, InvocationState] = {}
        self._producers: dict[tuple[int, str], ProducerState] = {}
        self._no_producers: set[tuple[int, str]] = set()
        self._changed_states: set[int] = set()
        self._changed_producers: set[tuple[int, str]] = set()
        self._rewritten_producers: set[tuple[int, str]] = set()
        self._inserts: dict[Table, list[dict[str, Any]]] = defaultdict(list)
        self._segments: list[tuple[Any, ...]] = []
        self._materializations: list[tuple[Any, ...]] = []
        self._new_assets: dict[str, int] = {}
        self.reported_so_far = caches.reported.begin()
        self.refusals = RefusalRows(connection)
        self.segments: list[tuple[int, StoredSegment]] = []
        """What was appended, by invocation, for readers that wait for it."""
        self.deleted: list[int] = []
        self.deadlines: list[int] = []
        """The instants at which what was inserted or changed may become due."""

    # Invocations and producers

    def load(self, pks: Iterable[int], producers: Iterable[tuple[int, str]] = ()) -> None:
        """Locks and reads invocations in one statement, in the order of their keys so that servers cannot deadlock."""
        missing = self._not_remembered(pks)
        for chunk in _chunks(missing):
            known = {pk: self._caches.fixed.get(pk) for pk in chunk}
            rows_: Iterable[Mapping[Any, Any]]
            if all(known.values()):
                rows_ = select_rows(self.connection, tables.invocation, _CHANGING, {"pk": chunk}, lock=True)
            else:
                rows_ = self.connection.execute(_lock_whole, {"pks": chunk}).mappings()
            for row in rows_:
                pk = row["pk"]
                fixed = known[pk] or rows.read_registered(row)
                self._caches.fixed.put(pk, fixed)
                self._states[pk] = self._before[pk] = rows.read_state(fixed, row)
        missing_producers = self._producers_not_remembered(producers)
        names = sorted({name for _, name in missing_producers})
        if names:
            # Those that are not found are known to be new.
            self._no_producers.update(missing_producers)
            holders = sorted({pk for pk, _ in missing_producers})
            among = {"invocation_pk": holders, "name": names}
            for row in select_rows(self.connection, tables.producer, _PRODUCER, among):
                self._producers.setdefault((row["invocation_pk"], row["name"]), rows.read_producer(row))

    def _not_remembered(self, pks: Iterable[int]) -> list[int]:
        missing = set(pks) - self._states.keys()
        if self._live is not None:
            for pk in list(missing):
                if (state := self._live.invocation(pk)) is not None:
                    self._states[pk] = self._before[pk] = state
                    missing.discard(pk)
        return sorted(missing)

    def _producers_not_remembered(self, producers: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
        missing: list[tuple[int, str]] = []
        for key in producers:
            if key in self._producers:
                continue
            known = self._live.producer(*key) if self._live is not None else None
            if known is None:
                missing.append(key)
            else:
                self._producers[key] = known
        return missing

    def invocation(self, pk: int) -> InvocationState:
        """Raises NotFound when it is not there (any more)."""
        if pk not in self._states:
            self.load([pk])
        if pk not in self._states:
            raise NotFound("There is no such invocation; it may have been deleted.")
        return self._states[pk]

    def put_invocation(self, state: InvocationState) -> None:
        self._states[state.pk] = state
        self._changed_states.add(state.pk)

    def put_time_to_open(self, pk: int, open_within: float) -> None:
        """The one part of an invocation's fixed part that a clock that was set can change."""
        table = tables.invocation
        self.connection.execute(update(table).where(table.c.pk == pk).values(open_within=open_within))
        if (fixed := self._caches.fixed.get(pk)) is not None:
            self._caches.fixed.put(pk, replace(fixed, open_within=open_within))

    def producer(self, invocation_pk: int, name: str) -> ProducerState:
        """The producer of that name; a new one is inserted."""
        known = self.find_producer(invocation_pk, name)
        if known is not None:
            return known
        new = ProducerState(pk=0, name=name)
        values = {"invocation_pk": invocation_pk, "name": name, **rows.producer_values(new)}
        pk = self.insert_one(tables.producer, values)
        producer = ProducerState(pk=pk, name=name)
        self._producers[invocation_pk, name] = producer
        return producer

    def find_producer(self, invocation_pk: int, name: str) -> ProducerState | None:
        key = (invocation_pk, name)
        if key not in self._producers and key not in self._no_producers:
            result = self.connection.execute(_find_producers, {"pks": [invocation_pk], "names": [name]})
            row = result.mappings().first()
            if row is None:
                return None
            self._producers[key] = rows.read_producer(row)
        return self._producers.get(key)

    def put_producer(self, invocation_pk: int, producer: ProducerState) -> None:
        key = (invocation_pk, producer.name)
        before = self._producers.get(key)
        if before is None or not rows.producer_has_only_moved(before, producer):
            self._rewritten_producers.add(key)
        self._producers[key] = producer
        self._changed_producers.add(key)

    def all_producers(self, invocation_pk: int) -> list[ProducerState]:
        table = tables.producer
        statement = select(table).where(table.c.invocation_pk == invocation_pk).order_by(table.c.pk)
        for row in self.connection.execute(statement).mappings():
            self._producers.setdefault((invocation_pk, row["name"]), rows.read_producer(row))
        producers = [producer for (pk, _), producer in self._producers.items() if pk == invocation_pk]
        return sorted(producers, key=lambda producer: producer.pk)

    def producers_by_pk(self, invocation_pk: int, pks: Iterable[int]) -> list[ProducerState]:
        """These producers of an invocation; those that are not there are left out."""
        known = {each.pk: each for (owner, _), each in self._producers.items() if owner == invocation_pk}
        missing = sorted(set(pks) - known.keys())
        for chunk in _chunks(missing):
            among = {"invocation_pk": [invocation_pk], "pk": list(chunk)}
            for row in select_rows(self.connection, tables.producer, _PRODUCER, among):
                producer = rows.read_producer(row)
                self._producers.setdefault((invocation_pk, producer.name), producer)
                known[producer.pk] = producer
        return [known[pk] for pk in set(pks) if pk in known]

    def forget(self, pk: int) -> None:
        """The invocation was deleted: nothing of it is to be written or read any more."""
        self._states.pop(pk, None)
        self.refusals.forget(pk)
        self._changed_states.discard(pk)
        self._changed_producers = {key for key in self._changed_producers if key[0] != pk}
        self.deleted.append(pk)

    # Assets and what was reported of them

    def asset_pks(self, keys: Iterable[str]) -> Mapping[str, int]:
        """The keys' rows; unknown keys are inserted, in their order so that servers cannot deadlock."""
        named = set(keys)
        known = self._caches.assets.get_many(named)
        known |= {key: pk for key, pk in self._new_assets.items() if key in named}
        unknown = sorted(named - known.keys())
        for chunk in _chunks(unknown):
            statement = select(tables.asset).where(tables.asset.c.asset_key.in_(chunk))
            here = {row.asset_key: row.pk for row in self.connection.execute(statement)}
            missing = [key for key in chunk if key not in here]
            if missing:
                self._insert_missing(tables.asset, [{"asset_key": key} for key in missing])
                statement = select(tables.asset).where(tables.asset.c.asset_key.in_(missing))
                here |= {row.asset_key: row.pk for row in self.connection.execute(statement)}
            self._new_assets.update(here)
        return known | {key: self._new_assets[key] for key in unknown}

    def reported(self, invocation_pk: int, keys: Iterable[str]) -> Reported:
        """Which of these assets were materialized, and which checks of them reported, in the invocation so far."""
        self.flush_inserts()
        return rows.read_reported(self.connection, invocation_pk, self.asset_pks(keys))

    # Writing

    def insert(self, table: Table, values: dict[str, Any]) -> None:
        self._inserts[table].append(values)

    def insert_segment(self, invocation_pk: int, producer_pk: int, segment: StoredSegment, *, methods: int) -> None:
        """A segment of one run, which readers that keep up get from memory."""
        self.segments.append((invocation_pk, segment))
        run = segment.runs[0]
        self._segments.append(
            (
                invocation_pk,
                segment.first_position,
                run.count,
                producer_pk,
                run.first_seq,
                run.received_at,
                methods,
                segment.encoding,
                segment.body,
                None if segment.problems is None else json.dumps(segment.problems),
                None if segment.notes is None else json.dumps(segment.notes),
                None,
            )
        )

    def insert_materialization(self, row: tuple[Any, ...]) -> None:
        """The values in the order of `MATERIALIZATION_COLUMNS`; the one row that comes by the thousand."""
        self._materializations.append(row)

    def put_text(self, state: InvocationState, kind: str, text: str) -> None:
        """What a search finds the invocation by, of one kind; replaces what was there."""
        table = tables.invocation_text
        place = {"created_at": state.created_at, "invocation_pk": state.pk, "kind": kind}
        self.connection.execute(delete(table).where(*(table.c[name] == value for name, value in place.items())))
        if text:
            self.connection.execute(insert(table).values(**place, text=text))

    def insert_one(self, table: Table, values: dict[str, Any]) -> int:
        """Inserts a row at once and answers its key."""
        result = self.connection.execute(insert(table).returning(table.c.pk), values)
        return cast("int", result.scalar_one())

    def insert_unless_taken(self, table: Table, values: dict[str, Any]) -> int | None:
        """The same, where a row with one of its unique values may be there, or be on its way from another server."""
        statement = self._dialect.insert(table).on_conflict_do_nothing().returning(table.c.pk)
        return self.connection.execute(statement, values).scalar_one_or_none()

    def add_history(self, invocation_pk: int, kind: str, detail: Mapping[str, JsonValue]) -> None:
        row = {"invocation_pk": invocation_pk, "at": self.now, "kind": kind, "detail": json.dumps(detail)}
        self.insert(tables.history, row)

    def flush_inserts(self) -> None:
        for table, values in self._inserts.items():
            if not values:
                continue
            if table in (tables.invocation_asset, tables.first_error, tables.invocation_text):
                self._insert_missing(table, values)
            else:
                self.connection.execute(_insert_into[table], values)
        self._inserts.clear()
        for table, columns, values in (
            (tables.segment, SEGMENT_COLUMNS, self._segments),
            (tables.materialization, MATERIALIZATION_COLUMNS, self._materializations),
        ):
            if values:
                insert_rows(self.connection, table, columns, values)
                values.clear()

    def flush(self) -> None:
        """Writes everything that was put back; the transaction is then ready to be committed."""
        self.flush_inserts()
        self.refusals.flush()
        merge_at = self.now + _MERGE_AFTER
        moved: list[tuple[Any, ...]] = []
        whole: list[tuple[Any, ...]] = []
        for state in self.changed():
            if rows.has_only_moved(self._before.get(state.pk), state):
                # Its deadline is no earlier than before.
                moved.append((*rows.moved_values(state), state.pk))
                continue
            whole.append((*rows.state_values(state, merge_at=merge_at).values(), state.pk))
            if (due_at := next_due(state)) is not None:
                self.deadlines.append(due_at)
        update_rows(self.connection, tables.invocation, rows.MOVED_COLUMNS, moved)
        update_rows(self.connection, tables.invocation, rows.STATE_COLUMNS, whole)
        moved, whole = [], []
        for key in sorted(self._changed_producers):
            producer = self._producers[key]
            if key in self._rewritten_producers:
                whole.append((*rows.producer_values(producer).values(), producer.pk))
            else:
                moved.append((*rows.moved_producer_values(producer), producer.pk))
        update_rows(self.connection, tables.producer, rows.MOVED_PRODUCER_COLUMNS, moved)
        update_rows(self.connection, tables.producer, rows.PRODUCER_COLUMNS, whole)

    def committed(self) -> list[InvocationState]:
        """After the commit: the invocations that changed. What the transaction learnt may now be remembered."""
        for key, pk in self._new_assets.items():
            self._caches.assets.put(key, pk)
        self.reported_so_far.committed()
        changed = self.changed()
        if self._live is not None:
            producers = [(key[0], self._producers[key]) for key in self._changed_producers]
            self._live.committed(changed, producers, self.deleted)
        return changed

    def changed(self) -> list[InvocationState]:
        return [self._states[pk] for pk in sorted(self._changed_states)]

    def wakes(self) -> list[Wake]:
        """What readers are woken with after the commit."""
        changed = [Wake(state.pk, state.last_position, state.ended) for state in self.changed()]
        return changed + [Wake(pk, 0, ended=True) for pk in self.deleted]

    def _insert_missing(self, table: Table, values: Sequence[dict[str, Any]]) -> None:
        self.connection.execute(self._dialect.insert(table).on_conflict_do_nothing(), values)

    @property
    def _dialect(self):
        return postgresql if self.connection.dialect.name == "postgresql" else sqlite


def _chunks(items: Sequence[_T]) -> Iterable[Sequence[_T]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))

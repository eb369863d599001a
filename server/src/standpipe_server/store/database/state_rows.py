"""Rows of the database as the states that the rules work on, and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import Connection, bindparam, select

from standpipe_protocol.invocation import Expected, ExpectedCheck, Status, VerdictName
from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.lifecycle.leases import next_due
from standpipe_server.broker.lifecycle.refusals import NONE, Refusals
from standpipe_server.broker.outcome.expected_progress import Reported
from standpipe_server.broker.values.state import (
    AttemptNumbers,
    Finish,
    InvocationState,
    Lineage,
    ProducerState,
    replace,
)
from standpipe_server.store.database import tables
from standpipe_server.store.database.carried_text import carry

_T = TypeVar("_T")
_CHUNK = 500
_decode_refusals = msgspec.json.Decoder(Refusals).decode
_refusals_of = select(tables.refusals.c.entries).where(tables.refusals.c.invocation_pk == bindparam("pk"))

MOVED_COLUMNS = ("last_position", "last_event_at", "lease_expires_at")
"""What most appends change. The other columns of an invocation have indexes, which SQLite writes anew whenever such a
column is set, be it to the value it has."""

MOVED_PRODUCER_COLUMNS = ("last_seq", "numbered", "counts", "heard_at")
"""What most appends change of their producer."""

_loads = msgspec.json.decode
_read_attempts = msgspec.json.Decoder(AttemptNumbers).decode
_read_lineage = msgspec.json.Decoder(Lineage).decode
_NO_LINEAGE = Lineage()


def _dumps(value: object) -> str:
    return msgspec.json.encode(value).decode()


def read_registered(row: Mapping[Any, Any]) -> InvocationState:
    """The invocation as it was registered: what never changes of it, kept in memory between transactions."""
    return InvocationState(
        pk=row["pk"],
        id=row["id"],
        created_at=row["created_at"],
        open_within=row["open_within"],
        settle=row["settle"],
        lease_seconds=row["lease_seconds"],
        asset_keys=frozenset(_loads(row["asset_keys"])),
        partition_key=row["partition_key"],
        expected=read_expected(row["expected"]),
        pipes_optional=row["pipes_optional"],
    )


def read_state(registered: InvocationState, row: Mapping[Any, Any]) -> InvocationState:
    """The invocation as it is now, by the columns of `state_values`."""
    return replace(
        registered,
        status=cast("Status", row["status"]),
        verdict=cast("VerdictName | None", row["verdict"]),
        reasons=tuple(_loads(row["reasons"])),
        revision=row["revision"],
        last_position=row["last_position"],
        opened_at=row["opened_at"],
        ended_at=row["ended_at"],
        last_event_at=row["last_event_at"],
        lease_expires_at=row["lease_expires_at"],
        lease_lost=row["lease_lost"],
        cancel_requested_at=row["cancel_requested_at"],
        finish=_read_finish(row["finish"]),
        producers_opened=row["producers_opened"],
        producers_open=row["producers_open"],
        receipt=_object(row["receipt"]),
        attempts=None if row["attempts"] is None else _read_attempts(row["attempts"]),
        judged_by=row["judged_by"],
        notes=() if row["notes"] is None else tuple(_loads(row["notes"])),
    )


def state_values(state: InvocationState, *, merge_at: int | None) -> dict[str, Any]:
    """The columns that change after the registration. `merge_at` is when an ended one's small segments are merged."""
    return {
        "status": state.status,
        "verdict": state.verdict,
        "reasons": _dumps(list(state.reasons)),
        "revision": state.revision,
        "last_position": state.last_position,
        "opened_at": state.opened_at,
        "ended_at": state.ended_at,
        "last_event_at": state.last_event_at,
        "lease_expires_at": state.lease_expires_at,
        "lease_lost": state.lease_lost,
        "cancel_requested_at": state.cancel_requested_at,
        "finish": None if state.finish is None else _dumps(state.finish.to_wire()),
        "producers_opened": state.producers_opened,
        "producers_open": state.producers_open,
        "receipt": None if state.receipt is None else _dumps(state.receipt),
        "attempts": None if state.attempts is None else _dumps(state.attempts),
        "judged_by": state.judged_by,
        "notes": _dumps(list(state.notes)) if state.notes else None,
        "due_at": merge_at if state.ended else next_due(state),
    }


_NOTHING = InvocationState(pk=0, id="", created_at=0, open_within=0.0, settle=0.0, lease_seconds=0.0)
STATE_COLUMNS = tuple(state_values(_NOTHING, merge_at=None))


def has_only_moved(before: InvocationState | None, after: InvocationState) -> bool:
    """Whether writing `MOVED_COLUMNS` is enough.

    The row's deadline may stay where it is when the state's is later now: the sweeper then finds nothing due and sets
    the right one.
    """
    if before is None or before is after or after.ended:
        return False
    due_before, due_after = next_due(before), next_due(after)
    if due_after is not None and (due_before is None or due_after < due_before):
        return False
    unmoved = replace(
        after,
        last_position=before.last_position,
        last_event_at=before.last_event_at,
        lease_expires_at=before.lease_expires_at,
    )
    return unmoved == before


def moved_values(state: InvocationState) -> tuple[Any, ...]:
    """The values of MOVED_COLUMNS."""
    return (state.last_position, state.last_event_at, state.lease_expires_at)


def read_producer(row: Mapping[Any, Any]) -> ProducerState:
    return ProducerState(
        pk=row["pk"],
        name=row["name"],
        last_seq=row["last_seq"],
        numbered=row["numbered"],
        opened=row["opened"],
        closed=row["closed"],
        rejected=row["rejected"],
        counts=_loads(row["counts"]),
        rejected_counts=_loads(row["rejected_counts"]),
        ledger=row["ledger"],
        exception=_object(row["exception"]),
        first_rejection=row["first_rejection"],
        heard_at=row["heard_at"],
        declared=_object(row["told"]),
        process=_object(row["process"]),
        attempt=None if row["attempt"] is None else tuple(_loads(row["attempt"])),
        superseded=row["superseded"],
        lineage=_NO_LINEAGE if row["lineage"] is None else _read_lineage(row["lineage"]),
    )


def producer_values(producer: ProducerState) -> dict[str, Any]:
    """The columns of a producer beside its key and its name."""
    return {
        "last_seq": producer.last_seq,
        "numbered": producer.numbered,
        "opened": producer.opened,
        "closed": producer.closed,
        "rejected": producer.rejected,
        "counts": _dumps(producer.counts),
        "rejected_counts": _dumps(producer.rejected_counts),
        "ledger": producer.ledger,
        "exception": None if producer.exception is None else _dumps(producer.exception),
        "first_rejection": carry(producer.first_rejection),
        "heard_at": producer.heard_at,
        "told": None if producer.declared is None else _dumps(producer.declared),
        "process": None if producer.process is None else _dumps(producer.process),
        "attempt": None if producer.attempt is None else _dumps(producer.attempt),
        "superseded": producer.superseded,
        "lineage": None if producer.lineage == _NO_LINEAGE else _dumps(producer.lineage),
    }


PRODUCER_COLUMNS = tuple(producer_values(ProducerState(pk=0, name="")))


def producer_has_only_moved(before: ProducerState, after: ProducerState) -> bool:
    """Whether writing `MOVED_PRODUCER_COLUMNS` is enough; asked for every message that comes alone."""
    return (
        after.opened == before.opened
        and after.closed == before.closed
        and after.rejected == before.rejected
        and after.process is before.process
        and after.superseded == before.superseded
        and after.lineage is before.lineage
        and after.attempt == before.attempt
    )


def moved_producer_values(producer: ProducerState) -> tuple[Any, ...]:
    """The values of MOVED_PRODUCER_COLUMNS."""
    return (producer.last_seq, producer.numbered, _dumps(producer.counts), producer.heard_at)


def read_expected(text: str | None) -> Expected:
    if text is None:
        return Expected()
    wire = _loads(text)
    return Expected(
        asset_keys=tuple(wire.get("asset_keys", ())),
        checks=tuple(ExpectedCheck(**check) for check in wire.get("checks", ())),
        custom_messages=wire.get("custom_messages"),
    )


def _read_finish(text: str | None) -> Finish | None:
    return None if text is None else Finish.from_wire(_loads(text))


def _object(text: str | None) -> Mapping[str, JsonValue] | None:
    return None if text is None else _loads(text)


def read_refusals(connection: Connection, invocation_pk: int) -> Refusals:
    """The refused requests of an invocation."""
    entries = connection.scalar(_refusals_of, {"pk": invocation_pk})
    return NONE if entries is None else _decode_refusals(entries)


def read_reported(connection: Connection, pk: int, asset_pks: Mapping[str, int]) -> Reported:
    """Which of these assets were materialized, and which checks of them reported, in the invocation."""
    materialized: set[str] = set()
    checked: set[tuple[str, str]] = set()
    key_of = {asset_pk: key for key, asset_pk in asset_pks.items()}
    for chunk in _chunks(sorted(key_of)):
        table = tables.materialization
        statement = select(table.c.asset_pk).where(table.c.invocation_pk == pk, table.c.asset_pk.in_(chunk))
        materialized.update(key_of[asset_pk] for asset_pk in connection.scalars(statement))
    table = tables.asset_check
    reports = select(table.c.asset_pk, table.c.check_name).where(table.c.invocation_pk == pk).distinct()
    if len(key_of) <= _CHUNK:
        reports = reports.where(table.c.asset_pk.in_(key_of))
    # No index leads to an invocation's checks of one asset: of many assets, all its checks are read, and once.
    for row in connection.execute(reports):
        if (key := key_of.get(row.asset_pk)) is not None:
            checked.add((key, row.check_name))
    return Reported(materialized=frozenset(materialized), checked=frozenset(checked))


def find_asset_pks(connection: Connection, keys: Iterable[str]) -> dict[str, int]:
    """The rows of the assets with these keys, as far as there are any."""
    asset, found = tables.asset, dict[str, int]()
    for chunk in _chunks(sorted(keys)):
        rows = connection.execute(select(asset.c.asset_key, asset.c.pk).where(asset.c.asset_key.in_(chunk)))
        found.update((row.asset_key, row.pk) for row in rows)
    return found


def _chunks(items: Sequence[_T]) -> Iterator[Sequence[_T]]:
    return (items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK))

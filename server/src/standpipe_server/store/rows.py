"""Rows of the database as the states that the rules work on, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import RowMapping

from standpipe_protocol.invocation import Expected, ExpectedCheck, Status, VerdictName
from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.lifecycle import next_due
from standpipe_server.broker.state import Finish, InvocationState, ProducerState

STATE_COLUMNS = (
    "status",
    "verdict",
    "reasons",
    "revision",
    "last_position",
    "opened_at",
    "ended_at",
    "last_event_at",
    "lease_expires_at",
    "lease_lost",
    "cancel_requested_at",
    "finish",
    "producers_opened",
    "producers_open",
    "receipt",
    "due_at",
)
"""The columns of an invocation that change after its registration."""

PRODUCER_COLUMNS = (
    "last_seq",
    "numbered",
    "opened",
    "closed",
    "rejected",
    "counts",
    "rejected_counts",
    "ledger",
    "exception",
    "first_rejection",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FixedPart:
    """What never changes of an invocation after its registration, kept in memory between transactions."""

    id: str
    created_at: int
    open_within: float
    settle: float
    lease_seconds: float
    asset_keys: frozenset[str]
    partition_key: str | None
    expected: Expected


def read_fixed_part(row: RowMapping) -> FixedPart:
    return FixedPart(
        id=row["id"],
        created_at=row["created_at"],
        open_within=row["open_within"],
        settle=row["settle"],
        lease_seconds=row["lease_seconds"],
        asset_keys=frozenset(json.loads(row["asset_keys"])),
        partition_key=row["partition_key"],
        expected=_read_expected(row["expected"]),
    )


def read_state(pk: int, fixed: FixedPart, row: RowMapping) -> InvocationState:
    return InvocationState(
        pk=pk,
        id=fixed.id,
        created_at=fixed.created_at,
        open_within=fixed.open_within,
        settle=fixed.settle,
        lease_seconds=fixed.lease_seconds,
        asset_keys=fixed.asset_keys,
        partition_key=fixed.partition_key,
        expected=fixed.expected,
        status=cast("Status", row["status"]),
        verdict=cast("VerdictName | None", row["verdict"]),
        reasons=tuple(json.loads(row["reasons"])),
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
    )


def state_values(state: InvocationState, *, merge_at: int | None) -> dict[str, Any]:
    """The changing columns of an invocation. `merge_at` is when an ended one's small segments are to be merged."""
    return {
        "status": state.status,
        "verdict": state.verdict,
        "reasons": json.dumps(list(state.reasons)),
        "revision": state.revision,
        "last_position": state.last_position,
        "opened_at": state.opened_at,
        "ended_at": state.ended_at,
        "last_event_at": state.last_event_at,
        "lease_expires_at": state.lease_expires_at,
        "lease_lost": state.lease_lost,
        "cancel_requested_at": state.cancel_requested_at,
        "finish": None if state.finish is None else json.dumps(state.finish.to_wire()),
        "producers_opened": state.producers_opened,
        "producers_open": state.producers_open,
        "receipt": None if state.receipt is None else json.dumps(state.receipt),
        "due_at": merge_at if state.ended else next_due(state),
    }


def read_producer(row: RowMapping) -> ProducerState:
    return ProducerState(
        pk=row["pk"],
        name=row["name"],
        last_seq=row["last_seq"],
        numbered=row["numbered"],
        opened=row["opened"],
        closed=row["closed"],
        rejected=row["rejected"],
        counts=json.loads(row["counts"]),
        rejected_counts=json.loads(row["rejected_counts"]),
        ledger=row["ledger"],
        exception=_object(row["exception"]),
        first_rejection=row["first_rejection"],
    )


def producer_values(producer: ProducerState) -> dict[str, Any]:
    return {
        "last_seq": producer.last_seq,
        "numbered": producer.numbered,
        "opened": producer.opened,
        "closed": producer.closed,
        "rejected": producer.rejected,
        "counts": json.dumps(producer.counts),
        "rejected_counts": json.dumps(producer.rejected_counts),
        "ledger": producer.ledger,
        "exception": None if producer.exception is None else json.dumps(producer.exception),
        "first_rejection": producer.first_rejection,
    }


def _read_expected(text: str | None) -> Expected:
    if text is None:
        return Expected()
    wire = json.loads(text)
    return Expected(
        asset_keys=tuple(wire.get("asset_keys", ())),
        checks=tuple(ExpectedCheck(**check) for check in wire.get("checks", ())),
        custom_messages=wire.get("custom_messages"),
    )


def _read_finish(text: str | None) -> Finish | None:
    return None if text is None else Finish(**json.loads(text))


def _object(text: str | None) -> Mapping[str, JsonValue] | None:
    return None if text is None else json.loads(text)

"""What the writer does, one frozen command each: register, beat, cancel, end what is due, delete.

A command runs inside a group's transaction. It loads what it needs, asks the rules, puts the new state back and
answers; it refuses by raising a StoreError before it has put anything back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import zstandard
from sqlalchemy import delete, insert, select, update

from standpipe_protocol.invocation import Control
from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.lifecycle import leases as lifecycle
from standpipe_server.broker.lifecycle import refusals
from standpipe_server.broker.lifecycle.requests import Heartbeat, Registration, effective_lease_seconds
from standpipe_server.broker.outcome import verdict
from standpipe_server.broker.outcome.badge import family_of
from standpipe_server.broker.outcome.expected_progress import Reported, expected_assets
from standpipe_server.broker.outcome.receipt import make_receipt
from standpipe_server.broker.values import ids
from standpipe_server.broker.values.state import InvocationState, ProducerState, replace
from standpipe_server.broker.values.times import seconds
from standpipe_server.store.database import tables
from standpipe_server.store.database.state_rows import read_registered, state_values
from standpipe_server.store.errors import Conflict, Overloaded
from standpipe_server.store.transactions.unit_of_work import UnitOfWork

_FIRST_TOKENS, _LAST_TOKENS = 8, 16
"""Tokens that work for one invocation: each repeated registration gives a new one. The work was launched with one of
the first, and goes on however often it is taken up again."""
_SEARCHED_CHARACTERS = 8192


@dataclass(frozen=True, slots=True)
class Registered:
    id: str
    token: str = field(repr=False)
    created: bool


@dataclass(frozen=True, slots=True)
class HeartbeatResult:
    control: Control
    lease_seconds: float
    lease_expires_at: int | None


@dataclass(frozen=True, slots=True)
class Register:
    registration: Registration
    idempotency_key: str | None
    request_digest: bytes
    pk: int | None = None

    def execute(self, unit: UnitOfWork) -> Registered:
        token = ids.new_token()
        existing = self._existing(unit)
        made = None if existing else self._insert(unit, ids.new_invocation_id(unit.now))
        # Neither: another server was faster with the same key, and has committed by now.
        registered = existing or made or self._existing(unit)
        if registered is None:
            raise Overloaded("The invocation with this Idempotency-Key was deleted just now. Send it again.")
        pk, invocation_id = registered
        self._add_token(unit, pk, token)
        return Registered(invocation_id, token, created=made is not None)

    def _existing(self, unit: UnitOfWork) -> tuple[int, str] | None:
        if self.idempotency_key is None:
            return None
        table = tables.invocation
        statement = select(table.c.pk, table.c.id, table.c.request_digest).where(
            table.c.idempotency_key == self.idempotency_key
        )
        row = unit.connection.execute(statement).first()
        if row is None:
            return None
        if row.request_digest != self.request_digest:
            raise Conflict(
                "idempotency-conflict",
                f"The Idempotency-Key was used for invocation {row.id} with other JSON. Use a new key.",
                {"invocation": row.id},
            )
        return row.pk, row.id

    def _insert(self, unit: UnitOfWork, invocation_id: str) -> tuple[int, str] | None:
        """None when the key is taken after all."""
        registration, context = self.registration, self.registration.context
        lease = None if registration.lease_seconds is None else unit.now + seconds(registration.lease_seconds)
        fixed: dict[str, Any] = {
            "id": invocation_id,
            "idempotency_key": self.idempotency_key,
            "request_digest": self.request_digest,
            "asset_keys": json.dumps(sorted(registration.asset_keys)),
            "expected": None if registration.expected_json is None else json.dumps(registration.expected_json),
            "tags": json.dumps(dict(registration.tags)),
            "launcher": None if registration.launcher_json is None else registration.launcher_json.decode(),
            "retry_of": registration.retry_of,
            "family": None,
            "job_name": context.job_name,
            "run_id": context.run_id,
            "partition_key": context.partition_key,
            "created_at": unit.now,
            "open_within": registration.open_within_seconds,
            "settle": registration.settle_seconds,
            "lease_seconds": effective_lease_seconds(registration),
            "pipes_optional": registration.pipes_optional,
        }
        fixed["family"] = family_of(job_name=context.job_name, asset_keys=fixed["asset_keys"])
        state = replace(read_registered({"pk": 0} | fixed), lease_expires_at=lease)
        changing = state_values(state, merge_at=None)
        pk = unit.insert_unless_taken(tables.invocation, fixed | changing)
        if pk is None:
            return None
        unit.deadlines.append(changing["due_at"])
        packed = zstandard.ZstdCompressor(level=1).compress(registration.context_json)
        unit.insert(tables.invocation_context, {"invocation_pk": pk, "context": packed})
        names = {"kind": "names", "text": _search_text(invocation_id, registration)}
        unit.insert(tables.invocation_text, {"created_at": unit.now, "invocation_pk": pk} | names)
        for asset_pk in unit.asset_pks(registration.asset_keys).values():
            unit.insert(tables.invocation_asset, {"invocation_pk": pk, "asset_pk": asset_pk})
        for name, value in registration.tags.items():
            unit.insert(tables.invocation_tag, {"invocation_pk": pk, "name": name, "value": value})
        unit.add_history(pk, "registered", {"retry_of": registration.retry_of} if registration.retry_of else {})
        return pk, invocation_id

    def _add_token(self, unit: UnitOfWork, pk: int, token: str) -> None:
        table = tables.invocation_token
        row = {"digest": ids.token_digest(token), "invocation_pk": pk, "created_at": unit.now}
        unit.connection.execute(insert(table).values(row))
        statement = select(table.c.digest).where(table.c.invocation_pk == pk).order_by(table.c.created_at.desc())
        outdated = unit.connection.scalars(statement.offset(_LAST_TOKENS)).all()[:-_FIRST_TOKENS]
        if outdated:
            unit.connection.execute(delete(table).where(table.c.digest.in_(outdated)))


@dataclass(frozen=True, slots=True)
class RecordHeartbeat:
    """Records activity of the process: renews the lease; a heartbeat (`start`) begins one."""

    pk: int
    heartbeat: Heartbeat
    start: bool

    def execute(self, unit: UnitOfWork) -> HeartbeatResult:
        state = after = unit.invocation(self.pk)
        if is_from_the_work(unit, state, self.heartbeat.producer):
            after = lifecycle.renew_on_activity(state, now=unit.now, start=self.start)
            if after is not state:
                record_activity(unit, state, after)
        name, numbered = self.heartbeat.producer, self.heartbeat.numbered
        known = None if name is None else unit.find_producer(self.pk, name)
        if name is not None and not after.ended:
            # One that has numbered nothing yet is not written down.
            producer = unit.producer(self.pk, name) if numbered is not None else known
            if producer is not None:
                most = max(producer.numbered, numbered or 0)
                unit.put_producer(self.pk, replace(producer, numbered=most, heard_at=unit.now))
        return HeartbeatResult(control_of(after, known), after.lease_seconds, after.lease_expires_at)


@dataclass(frozen=True, slots=True)
class RenewLease:
    """Renews a running lease of which a third is over, if `speaks` says that a request of the process is under way."""

    pk: int
    speaks: Callable[[UnitOfWork, InvocationState], bool]

    def execute(self, unit: UnitOfWork) -> None:
        state = unit.invocation(self.pk)
        if lifecycle.is_lease_worn(state, now=unit.now) and self.speaks(unit, state):
            unit.put_invocation(lifecycle.renew_lease(state, now=unit.now))


def is_from_the_work(unit: UnitOfWork, state: InvocationState, name: str | None) -> bool:
    """Once a process has opened, a producer that has not is a launcher, which proves nothing about the work."""
    if name is None or state.opened_at is None:
        return True
    producer = unit.find_producer(state.pk, name)
    return producer is not None and producer.opened > 0 and not producer.superseded


@dataclass(frozen=True, slots=True)
class RequestCancel:
    pk: int
    reason: str | None = None

    def execute(self, unit: UnitOfWork) -> None:
        state = unit.invocation(self.pk)
        if state.ended or state.cancel_requested_at is not None:
            return
        unit.put_invocation(replace(state, cancel_requested_at=unit.now))
        unit.add_history(self.pk, "cancel-requested", _because(self.reason))


@dataclass(frozen=True, slots=True)
class Pin:
    """A pinned invocation stays until it is unpinned, or deleted with force."""

    pk: int
    pinned: bool
    reason: str | None = None

    def execute(self, unit: UnitOfWork) -> None:
        unit.put_invocation(unit.invocation(self.pk))
        table = tables.invocation
        before = table.c.pinned_at.is_(None) if self.pinned else table.c.pinned_at.is_not(None)
        change = update(table).where(table.c.pk == self.pk, before)
        changed = unit.connection.execute(change.values(pinned_at=unit.now if self.pinned else None)).rowcount
        if changed:
            unit.add_history(self.pk, "pinned" if self.pinned else "unpinned", _because(self.reason))


@dataclass(frozen=True, slots=True)
class EndDue:
    """Ends an invocation if its deadline has passed.

    `as_of` is when the deadline was seen to have passed; the clock may have been set since. While `in_doubt` says that
    activity of the process may be under way or was refused, the invocation is not lost; other deadlines still count.
    """

    pk: int
    as_of: int | None = None
    in_doubt: Callable[[UnitOfWork, InvocationState], bool] | None = None

    def execute(self, unit: UnitOfWork) -> None:
        state = unit.invocation(self.pk)
        now = unit.now if self.as_of is None else min(self.as_of, unit.now)
        why = lifecycle.due(state, now=now)
        if why == "lease" and self.in_doubt is not None and self.in_doubt(unit, state):
            why = lifecycle.due(replace(state, lease_expires_at=None), now=now)
        if why is None:
            # It was renewed in the meantime, or another server was faster; putting it back sets the next deadline.
            if not state.ended:
                unit.put_invocation(state)
            return
        if why == "lease":
            unit.add_history(self.pk, "lease-expired", {"lease_seconds": state.lease_seconds})
        conclude(unit, replace(state, lease_lost=why == "lease"))


@dataclass(frozen=True, slots=True)
class Delete:
    pk: int
    force: bool

    def execute(self, unit: UnitOfWork) -> None:
        state = unit.invocation(self.pk)
        if not state.ended and not self.force:
            detail = f"Invocation {state.id} is {state.status}; end it first, or delete it with ?force=true."
            raise Conflict("invocation-running", detail)
        pinned_at = tables.invocation.c.pinned_at
        if not self.force and unit.connection.scalar(select(pinned_at).where(tables.invocation.c.pk == self.pk)):
            detail = f"Invocation {state.id} is pinned; unpin it first, or delete it with ?force=true."
            raise Conflict("invocation-pinned", detail)
        for table in tables.OWNED_BY_INVOCATION:
            unit.connection.execute(delete(table).where(table.c.invocation_pk == self.pk))
        unit.connection.execute(delete(tables.invocation).where(tables.invocation.c.pk == self.pk))
        unit.forget(self.pk)


def conclude(unit: UnitOfWork, state: InvocationState) -> None:
    """Computes the verdict: the invocation ends, or, ended already, is revised."""
    producers = unit.all_producers(state.pk)
    keys = expected_assets(state.expected)
    reported = unit.reported(state.pk, keys) if keys else Reported()
    refused = refusals.reason(unit.refusals.of(state.pk))
    decided = verdict.decide_verdict(state, producers, reported, refused=refused)
    again = state.ended
    after = replace(
        state,
        status="ended",
        verdict=decided.name,
        reasons=decided.reasons,
        judged_by=decided.judged_by,
        notes=decided.notes,
        ended_at=state.ended_at if again else unit.now,
        lease_expires_at=None,
        revision=state.revision + 1 if again else state.revision,
        receipt=make_receipt(state, producers, judged_by_launcher=decided.judged_by is not None),
    )
    unit.put_invocation(after)
    if decided.reasons or after.revision:
        details = " ".join(str(reason["detail"]) for reason in decided.reasons)
        unit.put_text(after, "reasons", details.lower()[:_SEARCHED_CHARACTERS])
    codes: list[JsonValue] = [str(reason["code"]) for reason in decided.reasons]
    unit.add_history(
        state.pk,
        "revised" if again else "ended",
        {"verdict": decided.name, "reasons": codes, "revision": after.revision},
    )


def _because(reason: str | None) -> dict[str, JsonValue]:
    return {"reason": reason} if reason else {}


def record_activity(unit: UnitOfWork, before: InvocationState, after: InvocationState) -> None:
    """Puts back the state after activity; the history says when the invocation runs again."""
    unit.put_invocation(after)
    if before.ended and not after.ended:
        unit.add_history(before.pk, "revived", {"revision": after.revision})


def control_of(state: InvocationState, producer: ProducerState | None = None) -> Control:
    superseded = producer is not None and producer.superseded
    return Control(cancel_requested=state.cancel_requested_at is not None, superseded=superseded)


def _search_text(invocation_id: str, registration: Registration) -> str:
    context = registration.context
    words = [
        invocation_id,
        context.job_name or "",
        context.run_id or "",
        context.partition_key or "",
        *sorted(registration.asset_keys)[:100],
        *(f"{name}={value}" for name, value in registration.tags.items()),
    ]
    return " ".join(word for word in words if word).lower()[:_SEARCHED_CHARACTERS]

"""Refused requests in the history: no event, no position, and for the verdict a reason. Stored before the answer."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import select

from standpipe_server.broker.lifecycle import refusals
from standpipe_server.broker.lifecycle.refusals import Refusal
from standpipe_server.store.commands.lifecycle import conclude
from standpipe_server.store.database import tables
from standpipe_server.store.transactions.unit_of_work import UnitOfWork


@dataclass(frozen=True, slots=True)
class Refuse:
    """A request of the invocation was refused."""

    pk: int
    refusal: Refusal

    def execute(self, unit: UnitOfWork) -> None:
        state = unit.invocation(self.pk)
        before = unit.refusals.of(self.pk)
        after = refusals.refuse(before, self.refusal, invocation=state, stored=self._is_stored(unit), now=unit.now)
        if after is before:
            return
        unit.refusals.put(self.pk, after)
        if before.count == after.count or after.count > refusals.MOST_SHOWN:
            return
        unit.add_history(self.pk, "refused", self.refusal.to_wire())
        if state.ended and before.standing != after.standing:
            conclude(unit, state)

    def _is_stored(self, unit: UnitOfWork) -> bool:
        if self.refusal.key is None:
            return False
        table = tables.append_key
        statement = select(table.c.key).where(table.c.invocation_pk == self.pk, table.c.key == self.refusal.key)
        return unit.connection.execute(statement).first() is not None


def take_back(unit: UnitOfWork, pk: int, *, digest: bytes, key: str | None) -> None:
    """Takes back the refusal of a request that is stored now, before the verdict is computed again."""
    before = unit.refusals.of(pk)
    if not before.standing:
        return
    after = refusals.take_back(before, digest=digest, key=key)
    if after is not before:
        unit.refusals.put(pk, after)
        unit.add_history(pk, "refusal-taken-back", {"standing": after.standing})

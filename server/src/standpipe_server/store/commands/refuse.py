"""Refused requests in the history: no event, no position, and for the verdict a reason. Stored before the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from standpipe_server.broker.lifecycle import refusals
from standpipe_server.broker.lifecycle.refusals import Refusal
from standpipe_server.broker.values.state import InvocationState
from standpipe_server.store.commands import lifecycle as commands
from standpipe_server.store.database import tables
from standpipe_server.store.transactions.unit_of_work import UnitOfWork

if TYPE_CHECKING:
    from standpipe_server.store.commands.append import Append


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
        _conclude_again(unit, state, standing=(before.standing, after.standing))

    def _is_stored(self, unit: UnitOfWork) -> bool:
        if self.refusal.key is None:
            return False
        table = tables.append_key
        statement = select(table.c.key).where(table.c.invocation_pk == self.pk, table.c.key == self.refusal.key)
        return unit.connection.execute(statement).first() is not None


def take_back(unit: UnitOfWork, append: Append) -> None:
    """What is stored now may have been refused before; before the verdict is computed again for what is stored."""
    if append.producer is not None:
        return
    before = unit.refusals.of(append.pk)
    if not before.standing:
        return
    after = refusals.take_back(before, digest=append.body_digest, key=append.idempotency_key)
    if after is not before:
        unit.refusals.put(append.pk, after)
        unit.add_history(append.pk, "refusal-taken-back", {"standing": after.standing})


def _conclude_again(unit: UnitOfWork, state: InvocationState, *, standing: tuple[int, int]) -> None:
    if state.ended and standing[0] != standing[1]:
        commands.conclude(unit, state)

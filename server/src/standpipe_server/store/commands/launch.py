"""What a launcher says of its work: on the way, of its attempts, and of its end.

Invariant: what was answered is committed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import func, select, update

from standpipe_protocol.json_text import JsonValue
from standpipe_server.broker.lifecycle.attempts import has_open_children
from standpipe_server.broker.lifecycle.end_reports import merge_end_reports
from standpipe_server.broker.lifecycle.launches import LaunchState, merge_launch
from standpipe_server.broker.values.state import Finish, replace
from standpipe_server.store.commands.lifecycle import conclude
from standpipe_server.store.database import tables
from standpipe_server.store.transactions.unit_of_work import UnitOfWork

_MOST_IN_HISTORY = 1_000
"""Calls of `launch` that an invocation's history holds; later ones change what it shows all the same."""


@dataclass(frozen=True, slots=True)
class FinishInvocation:
    """The launcher's word on the end. What it does not say keeps what an earlier word said.

    `patient`: while a child process of a closed parent is open, does nothing and answers False.
    """

    pk: int
    finish: Finish
    patient: bool = False

    def execute(self, unit: UnitOfWork) -> bool:
        state = unit.invocation(self.pk)
        if self.patient and not state.ended and state.producers_open and has_open_children(unit.all_producers(self.pk)):
            return False
        newest = () if state.attempts is None else state.attempts.newest
        finish = merge_end_reports(state.finish, self.finish, newest=newest)
        if finish is None:
            self._note(unit)
            return True
        if state.ended and state.finish == finish:
            return True
        unit.add_history(self.pk, "finished", finish.to_wire())
        conclude(unit, replace(state, finish=finish))
        return True

    def _note(self, unit: UnitOfWork) -> None:
        """A word about an older attempt is history only; the same one is written down once."""
        detail = self.finish.to_wire() | {"older_attempt": True}
        table = tables.history
        unit.flush_inserts()
        last = select(table.c.detail).where(table.c.invocation_pk == self.pk, table.c.kind == "finished")
        known = unit.connection.scalar(last.order_by(table.c.pk.desc()).limit(1))
        if known is None or json.loads(known) != detail:
            unit.add_history(self.pk, "finished", detail)


@dataclass(frozen=True, slots=True)
class Launch:
    """The launcher's word on the way: where the work is, and in which state."""

    pk: int
    launch: LaunchState

    def execute(self, unit: UnitOfWork) -> None:
        table = tables.invocation
        state = unit.invocation(self.pk)
        text = unit.connection.scalar(select(table.c.platform).where(table.c.pk == self.pk))
        before = None if text is None else json.loads(text)
        after = merge_launch(before, self.launch, now=unit.now)
        if after is None or after == before:
            return
        # Watchers of the invocation are woken by it.
        unit.put_invocation(state)
        change = update(table).where(table.c.pk == self.pk).values(platform=json.dumps(after, separators=(",", ":")))
        unit.connection.execute(change)
        history = tables.history
        mine = (history.c.invocation_pk == self.pk) & (history.c.kind == "launch")
        if (unit.connection.scalar(select(func.count()).select_from(history).where(mine)) or 0) >= _MOST_IN_HISTORY:
            return
        detail: dict[str, JsonValue] = {"state": self.launch.state, **self.launch.places}
        if self.launch.attempt:
            detail["attempt"] = list(self.launch.attempt)
        unit.add_history(self.pk, "launch", detail)

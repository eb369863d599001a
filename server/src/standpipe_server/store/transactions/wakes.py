"""What readers are woken with after a commit, in this process and, on PostgreSQL, in all others."""

from __future__ import annotations

import msgspec

from standpipe_server.store.transactions.unit_of_work import UnitOfWork

NOTIFY_CHANNEL = "standpipe"
"""On PostgreSQL every commit notifies this channel: `pk:last_position:ended` with ended 0 or 1."""


class Wake(msgspec.Struct, frozen=True, gc=False):
    """After a commit: an invocation has changed."""

    pk: int
    last_position: int
    ended: bool


def payloads(unit: UnitOfWork) -> list[str]:
    """What the other servers on this PostgreSQL hear with the commit of this transaction."""
    changed = [f"{state.pk}:{state.last_position}:{int(state.ended)}" for state in unit.changed()]
    return changed + [f"{pk}:0:1" for pk in unit.deleted]

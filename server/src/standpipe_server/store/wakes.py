"""What readers are woken with after a commit, in this process and, on PostgreSQL, in all others."""

from __future__ import annotations

import msgspec

from standpipe_server.store.bulk import notify_all
from standpipe_server.store.unit import UnitOfWork

NOTIFY_CHANNEL = "standpipe"
"""On PostgreSQL every commit notifies this channel: `pk:last_position:ended` with ended 0 or 1."""


class Wake(msgspec.Struct, frozen=True, gc=False):
    """After a commit: an invocation has changed."""

    pk: int
    last_position: int
    ended: bool


def notify(unit: UnitOfWork) -> None:
    """Tells the other servers on this PostgreSQL, with the commit of this transaction."""
    payloads = [f"{state.pk}:{state.last_position}:{int(state.ended)}" for state in unit.changed()]
    payloads += [f"{pk}:0:1" for pk in unit.deleted]
    if payloads:
        notify_all(unit.connection, NOTIFY_CHANNEL, payloads)

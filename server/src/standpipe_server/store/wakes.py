"""Wakes: what tells readers after a commit that an invocation has changed, in this process and in others."""

from __future__ import annotations

import msgspec

NOTIFY_CHANNEL = "standpipe"
"""On PostgreSQL every commit notifies this channel with the payloads of its wakes."""


class Wake(msgspec.Struct, frozen=True, gc=False):
    """After a commit: an invocation has changed."""

    pk: int
    last_position: int
    ended: bool

    @property
    def payload(self) -> str:
        """The notification for other servers: `pk:last_position:ended` with ended 0 or 1."""
        return f"{self.pk}:{self.last_position}:{int(self.ended)}"

"""Invocations and producers as the last transaction left them, so that the next one need not read them again.

Only on SQLite, where one connection writes: it is told (`PRAGMA data_version`) whether any other connection has
committed since it looked last, and then everything is forgotten. On PostgreSQL other servers write, so what is changed
must be locked and read. Used by the writer's thread alone. Invariant: what is remembered is what a read would give.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import Connection

from standpipe_server.broker.values.state import InvocationState, ProducerState
from standpipe_server.store.database.recently_used import RecentlyUsed

_INVOCATIONS = 4_096
_PRODUCERS = 16_384


class LiveStates:
    """The memory of one writer."""

    def __init__(self) -> None:
        self._driver: Any = None
        self._version: int | None = None
        self._forget()

    def begin(self, connection: Connection) -> bool:
        """A transaction has begun on this connection: forgets what another connection may have changed.

        True when another connection may have committed something since the last one.
        """
        driver: Any = connection.connection.driver_connection
        version: int = driver.execute("PRAGMA data_version").fetchone()[0]
        changed = driver is not self._driver or version != self._version
        if changed:
            self._forget()
        self._driver, self._version = driver, version
        return changed

    def invocation(self, pk: int) -> InvocationState | None:
        return self._invocations.get(pk)

    def producer(self, invocation_pk: int, name: str) -> ProducerState | None:
        return self._producers.get((invocation_pk, name))

    def committed(
        self,
        invocations: Iterable[InvocationState],
        producers: Iterable[tuple[int, ProducerState]],
        deleted: Iterable[int],
    ) -> None:
        """The states as a transaction has left them."""
        for state in invocations:
            self._invocations.put(state.pk, state)
        for invocation_pk, producer in producers:
            self._producers.put((invocation_pk, producer.name), producer)
        if deleted:
            # Its producers are not found by its number alone; deletions are rare.
            self._forget()

    def _forget(self) -> None:
        self._invocations: RecentlyUsed[int, InvocationState] = RecentlyUsed(_INVOCATIONS)
        self._producers: RecentlyUsed[tuple[int, str], ProducerState] = RecentlyUsed(_PRODUCERS)

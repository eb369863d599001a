"""What the store remembers between transactions, each part with a reason why it cannot go stale."""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from standpipe_server.broker.intake.decide_append import Known
from standpipe_server.broker.values.state import InvocationState, ProducerState
from standpipe_server.store.database.recently_used import RecentlyUsed


class Caches:
    """The fixed parts of invocations by their row, and the rows of asset keys.

    `reported` is the one memory of what changes: it knows for which position of an invocation it holds.
    """

    def __init__(self) -> None:
        self.fixed: RecentlyUsed[int, InvocationState] = RecentlyUsed(4_096)
        self.assets: RecentlyUsed[str, int] = RecentlyUsed(100_000)
        self.reported = ReportedSoFar()


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


_LARGEST = 200_000
"""Keys of one invocation beyond which it is not remembered any more."""


@dataclass(slots=True)
class _Remembered:
    position: int
    materialized: set[str] = field(default_factory=set[str])
    checked: set[tuple[str, str]] = field(default_factory=set[tuple[str, str]])


@dataclass(slots=True)
class _Addition:
    """What one transaction adds; it counts for those after it only when that is committed."""

    base: _Remembered
    position: int
    is_new: bool
    materialized: set[str] | frozenset[str] = frozenset()
    checked: set[tuple[str, str]] | frozenset[tuple[str, str]] = frozenset()


class ReportedSoFar:
    """The memory that is shared by all transactions of a store."""

    def __init__(self) -> None:
        self._remembered: RecentlyUsed[int, _Remembered] = RecentlyUsed(256)

    def begin(self) -> ReportedInTransaction:
        return ReportedInTransaction(self._remembered)


class ReportedInTransaction:
    """One transaction's view of it."""

    def __init__(self, remembered: RecentlyUsed[int, _Remembered]) -> None:
        self._remembered = remembered
        self._additions: dict[int, _Addition] = {}

    def known(self, pk: int, *, position: int, keys: Iterable[str], checks: Iterable[tuple[str, str]]) -> Known | None:
        """Which of these were reported before the invocation came to `position`; None when that is not remembered."""
        addition = self._addition(pk, position=position)
        if addition is None:
            return None
        base = addition.base
        return Known(
            materialized=frozenset(k for k in keys if k in base.materialized or k in addition.materialized),
            checked=frozenset(c for c in checks if c in base.checked or c in addition.checked),
        )

    def add(
        self,
        pk: int,
        *,
        position: int,
        new_position: int,
        materialized: Set[str],
        checked: Set[tuple[str, str]],
    ) -> None:
        """The invocation went from `position` to `new_position` with these."""
        addition = self._addition(pk, position=position)
        if addition is not None:
            # Most appends add nothing, and then nothing is copied.
            if materialized:
                addition.materialized = addition.materialized | materialized
            if checked:
                addition.checked = addition.checked | checked
            addition.position = new_position

    def committed(self) -> None:
        for pk, addition in self._additions.items():
            base = addition.base
            if addition.materialized or addition.checked:
                base.materialized |= addition.materialized
                base.checked |= addition.checked
            small = len(base.materialized) + len(base.checked) <= _LARGEST
            # No invocation is ever at -1: what has grown too large is void from now on.
            base.position = addition.position if small else -1
            if not small:
                base.materialized, base.checked = set(), set()
            if addition.is_new:
                self._remembered.put(pk, base)

    def _addition(self, pk: int, *, position: int) -> _Addition | None:
        addition = self._additions.get(pk)
        if addition is None:
            base = self._remembered.get(pk) if position else _Remembered(0)
            if base is None or base.position != position:
                return None
            addition = self._additions[pk] = _Addition(base, position, is_new=position == 0)
        return addition if addition.position == position else None

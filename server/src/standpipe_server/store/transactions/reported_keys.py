"""What an invocation has reported so far, remembered between transactions.

A second materialization of a key is rejected, so every append of materializations has to know the earlier ones. Asking
the database costs more than storing them. What is remembered is exact or not used: it holds for one last position of
its invocation, which is read under the row lock, so that another server's append makes it void.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field

from standpipe_server.broker.intake.decide_append import Known
from standpipe_server.store.database.recently_used import RecentlyUsed

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

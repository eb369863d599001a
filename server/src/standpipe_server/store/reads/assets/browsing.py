"""What people look at beside single invocations: counts over time, series of numbers, comparisons.

A part of the store by its subject; every method is a few short transactions, read on the store's reading threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from sqlalchemy import Connection

from standpipe_server.store.commands import take_numbers as numbers
from standpipe_server.store.commands.take_numbers import TakeNumbers
from standpipe_server.store.database import tables
from standpipe_server.store.errors import Overloaded
from standpipe_server.store.events.event_pages import ProducerNames
from standpipe_server.store.reads.assets import number_series as series
from standpipe_server.store.reads.assets import reports as assets
from standpipe_server.store.reads.assets import schema_changes
from standpipe_server.store.reads.cursors import Page
from standpipe_server.store.reads.invocations import comparison as comparing
from standpipe_server.store.reads.invocations import counts
from standpipe_server.store.reads.invocations import last_good as good
from standpipe_server.store.reads.invocations import views as invocations
from standpipe_server.store.reads.invocations.filters import InvocationFilter

_TURNS = 100
"""Of 200 reports each, in one look; the next look goes on."""
_P = ParamSpec("_P")
_R = TypeVar("_R")


class Read(Protocol):
    """Runs a function with a connection on a reading thread."""

    async def __call__(
        self, function: Callable[Concatenate[Connection, _P], _R], /, *args: _P.args, **kwargs: _P.kwargs
    ) -> _R: ...


class Browsing:
    def __init__(self, read: Read, *, write: Callable[[TakeNumbers], Awaitable[bool]], names: ProducerNames) -> None:
        self._read = read
        self._write = write
        self._names = names

    async def count_invocations(self, filters: InvocationFilter, *, width: int, by_badge: bool) -> counts.Counts:
        return await self._read(counts.count_invocations, filters, width=width, by_badge=by_badge)

    async def last_good(
        self, invocation_id: str, *, clean: bool
    ) -> tuple[invocations.InvocationView | None, Sequence[str]]:
        """The last green one like it before it, and in what they are alike. Raises NotFound."""
        return await self._read(good.last_good, invocation_id, clean=clean)

    async def compare(self, invocation_ids: Sequence[str]) -> bytes:
        """Raises NotFound when one of them is not there."""
        return await self._read(comparing.compare_invocations, invocation_ids, names=self._names)

    async def list_labels(self, asset_key: str, *, check_name: str, limit: int, cursor: str | None) -> series.Labels:
        """Raises NotFound and BadCursor."""
        await self.take_numbers(asset_key, of_checks=bool(check_name))
        return await self._read(series.list_labels, asset_key, check_name=check_name, limit=limit, cursor=cursor)

    async def read_series(self, asset_key: str, label: str, wanted: series.SeriesFilter) -> series.Series:
        """Raises NotFound."""
        await self.take_numbers(asset_key, of_checks=bool(wanted.check_name))
        return await self._read(series.read_series, asset_key, label, wanted)

    async def take_numbers(self, asset_key: str, *, of_checks: bool = False) -> None:
        """Takes out what numbers were reported since somebody looked last; of very many a part at a time.

        Raises:
            NotFound: nothing was reported on the asset.
        """
        table = tables.asset_check if of_checks else tables.materialization
        asset_pk = await self._read(assets.asset_pk_of, asset_key)
        if not await self._read(numbers.has_numbers_left, asset_pk, table):
            return
        # Looking must not fail because writing is not possible: then older numbers are shown.
        with contextlib.suppress(Overloaded):
            for _ in range(_TURNS):
                if not await self._write(TakeNumbers(asset_pk, table, self._names)):
                    return

    async def list_schema_changes(self, asset_key: str, *, limit: int, cursor: str | None) -> Page:
        """Raises NotFound."""
        return await self._read(
            schema_changes.list_schema_changes, asset_key, limit=limit, cursor=cursor, names=self._names
        )

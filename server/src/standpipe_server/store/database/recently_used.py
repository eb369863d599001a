"""A bounded memory for what never changes: rows of asset keys, names of producers, fixed parts of invocations."""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class RecentlyUsed(Generic[_Key, _Value]):
    """A bounded mapping that forgets what was used least recently. Safe to use from several threads.

    Without a lock: each step on the dictionary is one step of the interpreter, and what another thread does in between
    (an entry goes, or comes again) makes at worst a miss.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[_Key, _Value] = OrderedDict()

    def get(self, key: _Key) -> _Value | None:
        try:
            self._entries.move_to_end(key)
            return self._entries[key]
        except KeyError:
            return None

    def get_many(self, keys: Iterable[_Key]) -> dict[_Key, _Value]:
        """Those that are remembered; for a thousand keys at once."""
        return {key: value for key in keys if (value := self.get(key)) is not None}

    def put(self, key: _Key, value: _Value) -> None:
        # Away first, so that it comes last.
        self._entries.pop(key, None)
        self._entries[key] = value
        if len(self._entries) > self._size:
            with contextlib.suppress(KeyError):
                self._entries.popitem(last=False)

"""A bounded memory for what never changes: rows of asset keys, names of producers, fixed parts of invocations."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from typing import Generic, TypeVar

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


class RecentlyUsed(Generic[_Key, _Value]):
    """A bounded mapping that forgets what was used least recently. Safe to use from several threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[_Key, _Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: _Key) -> _Value | None:
        with self._lock:
            if key not in self._entries:
                return None
            self._entries.move_to_end(key)
            return self._entries[key]

    def get_many(self, keys: Iterable[_Key]) -> dict[_Key, _Value]:
        """Those that are remembered; for a thousand keys at once."""
        entries = self._entries
        with self._lock:
            known = {key: entries[key] for key in keys if key in entries}
            for key in known:
                entries.move_to_end(key)
        return known

    def put(self, key: _Key, value: _Value) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)

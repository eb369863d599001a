"""What the store remembers between transactions. Only facts that never change are kept, so nothing goes stale."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import Generic, TypeVar

from standpipe_server.store.rows import FixedPart

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

    def put(self, key: _Key, value: _Value) -> None:
        with self._lock:
            self._entries[key] = value
            self._entries.move_to_end(key)
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)


class Caches:
    """The fixed parts of invocations by their row, and the rows of asset keys."""

    def __init__(self) -> None:
        self.fixed: RecentlyUsed[int, FixedPart] = RecentlyUsed(4_096)
        self.assets: RecentlyUsed[str, int] = RecentlyUsed(100_000)

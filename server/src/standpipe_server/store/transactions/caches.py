"""What the store remembers between transactions, each part with a reason why it cannot go stale."""

from __future__ import annotations

from standpipe_server.store.database.recently_used import RecentlyUsed
from standpipe_server.store.database.state_rows import FixedPart
from standpipe_server.store.transactions.reported_keys import ReportedSoFar


class Caches:
    """The fixed parts of invocations by their row, and the rows of asset keys.

    `reported` is the one memory of what changes: it knows for which position of an invocation it holds.
    """

    def __init__(self) -> None:
        self.fixed: RecentlyUsed[int, FixedPart] = RecentlyUsed(4_096)
        self.assets: RecentlyUsed[str, int] = RecentlyUsed(100_000)
        self.reported = ReportedSoFar()

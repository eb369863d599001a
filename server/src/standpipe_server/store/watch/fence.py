"""The fence: up while the database is the one into which this server commits, and down for good once it is not."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from standpipe_server.store.errors import DatabaseLost
from standpipe_server.store.wakes import Wake

_log = logging.getLogger(__name__)


class Fence:
    """Safe to use from any thread. `on_down` is called once, on the thread that noticed."""

    def __init__(self) -> None:
        self.on_down: Callable[[], None] = lambda: None
        self._reason: str | None = None
        self._lock = threading.Lock()

    @property
    def is_down(self) -> bool:
        return self._reason is not None

    def check(self) -> None:
        """Raises DatabaseLost when the fence is down."""
        if self._reason is not None:
            raise DatabaseLost(self._reason)

    def take_down(self, reason: str) -> DatabaseLost:
        """The database is lost, for this `reason` (a sentence); answers what is to be raised for it."""
        with self._lock:
            first = self._reason is None
            if self._reason is None:
                self._reason = reason
            reason = self._reason
        if first:
            _log.critical(
                "%s This server acknowledges nothing more, answers 503, and ends now. What it acknowledged before may "
                'be missing from the database that its next start opens: see "When the database is replaced" in '
                "docs/how-to/run-a-server.md.",
                reason,
            )
            self.on_down()
        return DatabaseLost(reason)


class Watch(Protocol):
    """What a store asks of its kind of database. Everything raises DatabaseLost, and then the fence is down."""

    def attach(self, engine: Engine) -> None:
        """Looks at every connection that this engine opens from now on."""

    def before_commit(self, connection: Connection, *, now: int, writer: int, wakes: Sequence[Wake]) -> None:
        """Runs the last statement of a writer's transaction, which also notifies other servers of `wakes`."""

    def committed(self, writer: int) -> None:
        """A writer's transaction was committed, and its callers are not answered yet.

        Raises:
            OSError: it cannot be seen now whether the database is still the same.
        """

    def explain(self, error: DBAPIError, *, writing: bool) -> None:
        """Raises DatabaseLost when that is why a statement failed; of a writer's transaction, or of a reader's."""

    def look(self, connection: Connection) -> None:
        """Looks while nothing is written; `connection` is a reader's."""

    # The rest is for a database in a file.

    @property
    def epoch_is_old(self) -> bool:
        """Whether `raise_epoch` has to be called in a writer's transaction."""
        return False

    def changed_by_others(self, connection: Connection) -> None:
        """Another connection has committed something since this one looked, where that is noticed."""

    def raise_epoch(self, connection: Connection) -> None:
        """Makes copies of the database from before recognisable as older ones."""

    def may_write_back(self) -> bool:
        """Whether what is committed may be written into the database's own file."""
        return True

    def close(self) -> bool:
        """After the last transaction; False: connections must not be closed, which would write back."""
        return True

    def release(self) -> None:
        """After the last connection."""

"""SQLite: the file at the path is the one that is open, so is its log, and neither was written over.

A file that was moved, removed or replaced has another inode at its path, or none. One that was written over in place
(`cp`, a shell's `>`) has another first page: it holds the database's own number, an epoch that each start and every ten
minutes of writing raise, and SQLite's count of changes. A log that was written over does not fit its index. A copy of
the same minutes that is not a change of the first page behind is not told apart.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import sqlite3
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, OperationalError

from standpipe_server.store.errors import DatabaseLost, Overloaded
from standpipe_server.store.wakes import Wake
from standpipe_server.store.watch.fence import Fence, Watch
from standpipe_server.store.watch.files import DatabaseFiles, Stamp

_log = logging.getLogger(__name__)

_EPOCH_SECONDS = 600.0
# SQLite may be writing what is read.
_LOOKS, _PAUSE_SECONDS = 4, 0.005


class FileWatch(Watch):
    def __init__(self, path: Path, engine: Engine, *, fence: Fence) -> None:
        """`engine` is the writer's; the schema is there."""
        self._path = path
        self._fence = fence
        self._lock = threading.Lock()
        self._written_over = self._restored = False
        self._number = self._epoch = 0
        self._raised_at = time.monotonic()
        self._commits = 0
        try:
            with engine.begin() as connection:
                self.raise_epoch(connection)
        except OperationalError as error:
            # What is stored can be read all the same, and a disk gets room again.
            _log.warning("The database %s takes nothing now: %s", path, error.orig)
        with engine.connect() as connection:
            self._number, self._epoch = _pragma(connection, "application_id"), _pragma(connection, "user_version")
            # Into the file, so that a copy from before this start is behind. Where a reader holds it up, the first look
            # takes what is there.
            with contextlib.suppress(sqlite3.Error):
                _driver(connection).execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        self._files = DatabaseFiles(path)
        self._header = self._files.header()
        self._stamp = Stamp.read(self._header)
        self._seen_commits = self._files.commits()
        self._check_places()

    def attach(self, engine: Engine) -> None:
        @event.listens_for(engine, "do_connect")
        def on_connect(*_: Any) -> None:  # pyright: ignore[reportUnusedFunction]  the decorator took it
            # Another file must not even be opened: SQLite would take the log for its own.
            self._fence.check()
            try:
                self._check_places()
            except OSError as error:
                detail = f"The database file cannot be looked at: {error}. Try again."
                raise Overloaded(detail, retry_after=2) from error

        @event.listens_for(engine, "connect")
        def on_connected(connection: Any, _: Any) -> None:  # pyright: ignore[reportUnusedFunction]  the same
            try:
                self._check_places()
            except BaseException:
                connection.close()
                raise

    # For the writer

    def changed_by_others(self, connection: Connection) -> None:
        self._check_inside(connection)
        self._seen_commits = self._files.commits()

    def before_commit(self, connection: Connection, *, now: int, writer: int, wakes: Sequence[Wake]) -> None:
        self._commits += 1

    def committed(self, writer: int) -> None:
        commits = self._files.commits_if_well(self._header)
        if commits is None:
            self._check_places()
            if why := self._damage():
                self._written_over = True
                raise self._fence.take_down(why)
            self._check_log_places()
            commits = self._files.commits()
        self._seen_commits = commits

    def explain(self, error: DBAPIError, *, writing: bool) -> None:
        with contextlib.suppress(OSError):
            if writing:
                self.committed(0)
            self._check_places()
            if why := self._damage():
                raise DatabaseLost(why)

    def raise_epoch(self, connection: Connection) -> None:
        # What it is then counts once it is seen to be committed.
        if not _pragma(connection, "application_id"):
            # The database's own number is given once.
            _driver(connection).execute(f"PRAGMA application_id={secrets.randbelow(2**31 - 1) + 1}")
        _driver(connection).execute(f"PRAGMA user_version={_pragma(connection, 'user_version') + 1}")
        self._raised_at = time.monotonic()
        # The commit that carries it does not count.
        self._commits = -1

    @property
    def epoch_is_old(self) -> bool:
        return self._commits > 0 and time.monotonic() - self._raised_at >= _EPOCH_SECONDS

    # For others

    def look(self, connection: Connection) -> None:
        self._check_places()
        self._check_inside(connection)
        if why := self._damage():
            self._written_over = not self._restored
            raise self._fence.take_down(why)
        self._check_log_places()
        if self._files.index is not None and (done := self._files.index.misplaced()):
            raise self._fence.take_down(f"The database's file {self._files.index.path} was {done}.")

    def may_write_back(self) -> bool:
        """Whether the log may be written into the file: not into what was written over it, nor from such a log."""
        return not self._written_over and (self._restored or not self._damage())

    def close(self) -> bool:
        # Restored by way of SQLite, the log belongs to it.
        if self.may_write_back() or (not self._written_over and self._files.commits() != self._seen_commits):
            return True
        if self._files.log is not None and not self._files.log.misplaced():
            aside = f"{self._path}-wal.set-aside-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
            Path(self._files.log.path).rename(aside)
            _log.critical("The database's log was set aside as %s: it does not belong to what is there now.", aside)
        return False

    def release(self) -> None:
        self._files.close()

    # Looking

    def _check_places(self) -> None:
        """The file at the path is the one that is open.

        Raises:
            DatabaseLost: it is not, or there is none.
            OSError: the path cannot be looked at.
        """
        if done := self._files.database.misplaced():
            raise self._fence.take_down(f"The database file {self._path} was {done}.")

    def _check_log_places(self) -> None:
        if self._files.log is not None and (done := self._files.log.misplaced()):
            raise self._fence.take_down(f"The database's log {self._files.log.path} was {done}.")

    def _check_inside(self, connection: Connection) -> None:
        """What others committed by way of SQLite is no restored copy."""
        epoch = _pragma(connection, "user_version")
        number = _pragma(connection, "application_id")
        if self._number in (0, number) and epoch >= self._epoch:
            self._number, self._epoch = number, max(epoch, self._epoch)
            return
        self._restored = True
        raise self._fence.take_down(f"Another or an older database was restored into {self._path}.")

    def _damage(self) -> str:
        """What was written over in place, as a sentence; empty when nothing was."""
        fits = True
        with self._lock:
            for look in range(_LOOKS):
                if look:
                    time.sleep(_PAUSE_SECONDS)
                header, fits = self._files.header(), self._files.log_fits()
                stamp = Stamp.read(header)
                if stamp.follows(self._stamp) and fits:
                    self._header, self._stamp = header, stamp
                    return ""
        if fits:
            return f"The database file {self._path} was written over, with an older copy or with something else."
        return f"The database's log {self._path}-wal was written over."


def _driver(connection: Connection) -> Any:
    return connection.connection.driver_connection


def _pragma(connection: Connection, name: str) -> int:
    return int(_driver(connection).execute(f"PRAGMA {name}").fetchone()[0])

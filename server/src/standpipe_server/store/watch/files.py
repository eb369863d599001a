"""The files of an open SQLite database as they are on disk: database, log, and the log's index.

They are read past SQLite, which would answer from its memory. Invariant: nothing here changes a file, and none is
closed before the last connection: to close a file of one's own gives up SQLite's locks on it.
"""

from __future__ import annotations

import errno
import os
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

HEADER_BYTES = 100
# Of SQLite's file format: big-endian, at fixed places of the first page.
_CHANGES, _EPOCH, _NUMBER = 24, 60, 68
# Of its log: a header, then frames of one page each.
_LOG_HEADER_BYTES, _FRAME_HEADER_BYTES = 32, 24
_LOG_SALT, _SALT_BYTES = 16, 8
# Of the log's index: how often something was committed, how many frames of which size the log has, and its salt.
_INDEX_BYTES = 48
_INDEX_COMMITS, _INDEX_PAGE_SIZE, _INDEX_FRAMES, _INDEX_SALT = slice(8, 12), slice(14, 16), slice(16, 20), slice(32, 40)
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ESTALE)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the first page says of the database and of how far it has come."""

    number: int
    epoch: int
    changes: int

    @classmethod
    def read(cls, header: bytes) -> Stamp:
        """Nothing that follows a real one where the page is missing."""
        header = header.ljust(HEADER_BYTES, b"\0")
        number, epoch, changes = (struct.unpack_from(">I", header, place)[0] for place in (_NUMBER, _EPOCH, _CHANGES))
        return cls(number, epoch, changes)

    def follows(self, earlier: Stamp) -> bool:
        # A database has no number until it could first be written to.
        return earlier.number in (0, self.number) and self.epoch >= earlier.epoch and self.changes >= earlier.changes


class OpenFile:
    """A file by its descriptor; its inode is compared with the one at its path."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        opened = os.fstat(self.descriptor)
        self.device, self.inode = opened.st_dev, opened.st_ino

    def misplaced(self) -> str:
        """What became of the path, in a word; empty when the file is there.

        Raises:
            OSError: the path cannot be looked at.
        """
        try:
            at = os.stat(self.path)  # noqa: PTH116  a Path takes half as long again
        except OSError as error:
            if error.errno in _GONE:
                return "moved away or removed"
            raise
        return "" if at.st_ino == self.inode and at.st_dev == self.device else "replaced by another file"


class DatabaseFiles:
    """Opened once SQLite has opened them."""

    def __init__(self, path: Path) -> None:
        self.database = OpenFile(str(path))
        log, index = Path(f"{path}-wal"), Path(f"{path}-shm")
        # None where the file system does not let SQLite keep a log.
        has_log = log.exists() and index.exists()
        self.log = OpenFile(str(log)) if has_log else None
        self.index = OpenFile(str(index)) if has_log else None

    def header(self) -> bytes:
        return os.pread(self.database.descriptor, HEADER_BYTES, 0)

    def commits(self) -> bytes:
        """Something that is another thing after each commit, of this process or of any other, by way of SQLite."""
        return b"" if self.index is None else os.pread(self.index.descriptor, _INDEX_BYTES, 0)[_INDEX_COMMITS]

    def log_fits(self) -> bool:
        """Whether the log holds what its index says."""
        if self.log is None or self.index is None:
            return True
        index = os.pread(self.index.descriptor, _INDEX_BYTES, 0)
        if len(index) < _INDEX_BYTES:
            return False
        return not _frames(index) or (
            os.fstat(self.log.descriptor).st_size >= _log_size(index)
            and os.pread(self.log.descriptor, _SALT_BYTES, _LOG_SALT) == index[_INDEX_SALT]
        )

    def commits_if_well(self, header: bytes) -> bytes | None:
        """`commits` when all is in its place and the header still this one; at once, since every commit waits for it.

        None says that it has to be looked at closely.
        """
        database, log, index_file = self.database, self.log, self.index
        if log is None or index_file is None:
            return None
        try:
            at, log_at = os.stat(database.path), os.stat(log.path)  # noqa: PTH116
        except OSError:
            return None
        if at.st_ino != database.inode or at.st_dev != database.device or log_at.st_ino != log.inode:
            return None
        index = os.pread(index_file.descriptor, _INDEX_BYTES, 0)
        if (
            os.pread(database.descriptor, HEADER_BYTES, 0) != header
            or len(index) < _INDEX_BYTES
            or log_at.st_size < _log_size(index)
            or os.pread(log.descriptor, _SALT_BYTES, _LOG_SALT) != index[_INDEX_SALT]
        ):
            return None
        return index[_INDEX_COMMITS]

    def close(self) -> None:
        for file in (self.database, self.log, self.index):
            if file is not None:
                os.close(file.descriptor)


def _frames(index: bytes) -> int:
    return int.from_bytes(index[_INDEX_FRAMES], sys.byteorder)


def _log_size(index: bytes) -> int:
    page_size = int.from_bytes(index[_INDEX_PAGE_SIZE], sys.byteorder)
    # The one size that two bytes do not hold is kept as 1.
    return _LOG_HEADER_BYTES + _frames(index) * (_FRAME_HEADER_BYTES + (65_536 if page_size == 1 else page_size))

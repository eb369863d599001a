"""A producer's messages on disk: those for which memory has no room, and those that must outlive the process.

One file a producer, `<home>/spool/<invocation>.<producer>.ndjson`, mode 0600 in a 0700 folder, bounded in size. A
process holds the lock of the file that it writes or delivers, so `standpipe deliver` skips a living process's spool.
The invariant: an appended message stays in the file until it is acknowledged, however often it is read.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from standpipe.spool.creation import (
    NEW_SUFFIX,
    SUFFIX,
    create_file,
    file_stem,
    lock_descriptor,
    make_folder,
    open_to_append,
    record_line,
    spool_path,
)
from standpipe.spool.format import RecordReader, SpoolHeader
from standpipe_protocol.json_text import encode_json

SPOOL_BYTES_VARIABLE = "STANDPIPE_SPOOL_BYTES"
DEFAULT_SPOOL_BYTES = 1024 * 1024 * 1024
COMPACT_FROM_BYTES = 16 * 1024 * 1024
"""So much must have been acknowledged before the rest is written anew, unless the file is full."""
COMPACT_REST_BYTES = 2 * 1024 * 1024
"""And no more may be left, since reports wait while it is written."""


def spool_folder(environment: Mapping[str, str]) -> Path:
    return Path(spool_path(environment))


def open_spool(
    header: SpoolHeader, *, environment: Mapping[str, str], opening: tuple[str, int, bytes] | None = None
) -> Spool:
    """A producer's file in its home, as `Spool` makes it, bounded by `STANDPIPE_SPOOL_BYTES`."""
    try:
        limit = int(environment[SPOOL_BYTES_VARIABLE])
    except (KeyError, ValueError):
        limit = -1
    path = spool_folder(environment) / (file_stem(header.bootstrap.invocation, header.producer) + SUFFIX)
    return Spool(path, header=header, max_bytes=limit if limit >= 0 else DEFAULT_SPOOL_BYTES, opening=opening)


class Spool:
    """One producer's file, written and read by the process that owns it. Callers serialise their threads."""

    def __init__(
        self, path: Path, *, header: SpoolHeader, max_bytes: int, opening: tuple[str, int, bytes] | None = None
    ) -> None:
        """Creates the file, for messages from `header.first_seq` on.

        Args:
            opening: path, descriptor and message of an opening, to go on with its file.

        Raises:
            OSError: it cannot be created.
        """
        self._header = header
        self._max_bytes = max_bytes
        first_line = header.to_line()
        if opening is None:
            make_folder(str(path.parent))
            name, descriptor = create_file(str(path.parent), path.name.removesuffix(SUFFIX), first_line)
        else:
            name, descriptor, _ = opening
        self.path = Path(name)
        # Unbuffered: a forked child must not hold bytes that the parent writes too.
        self._file = FileIO(descriptor, "ab")
        # The sizes in the file of what was read and is not acknowledged, oldest first.
        self._read_sizes: deque[int] = deque()
        self.first_seq = header.first_seq or 1
        """The number of the oldest message that is not acknowledged."""
        self.last_seq = self.first_seq - 1
        self._size = self._start = self._acknowledged_offset = self._read_offset = len(first_line)
        if opening is not None:
            self.last_seq = self.first_seq
            size = len(record_line(self.last_seq, opening[2]))
            self._size += size
            self._note_read(size)
        # Of its own, so that the writer's position stays where it is.
        self._reader = self.path.open("rb")

    def append(self, body: bytes, *, reserve: float = 0.0, read: bool = False) -> bool:
        """Adds a message under the next number; False when the file is as large as it may be, or the disk is full.

        Args:
            reserve: the part of the file's bound that this message leaves to others.
            read: the caller has it in memory as well, right after all it has read.
        """
        line = record_line(self.last_seq + 1, body)
        room = self._max_bytes - int(self._max_bytes * reserve)
        if self._size + len(line) > room and not self._make_room(len(line), room):
            return False
        try:
            if not self._size:
                self._begin()
            self._write(line)
        except (OSError, ValueError):  # full, or closed by a close that interrupted this
            return False
        self.last_seq += 1
        if read:
            self._note_read(len(line))
        return True

    def read(self, *, size: int, messages: int) -> list[bytes]:
        """Reads the oldest unread messages, about so many and so large together (one at least). They stay."""
        bodies: list[bytes] = []
        # Via the end, because a seek inside its buffer would leave the bytes of an emptied file in the buffer.
        self._reader.seek(0, os.SEEK_END)
        self._reader.seek(self._read_offset)
        next_seq = self.first_seq + len(self._read_sizes)
        for record in RecordReader(self._reader, expected=next_seq, last=self.last_seq):
            bodies.append(damaged_note("this process's spool file") if record.body is None else record.body)
            self._note_read(record.size)
            size -= record.size
            if size <= 0 or len(bodies) >= messages:
                break
        return bodies

    def unread_beyond(self, seq: int) -> None:
        """Counts what was read beyond this number as unread again."""
        while self.first_seq + len(self._read_sizes) - 1 > seq:
            self._read_offset -= self._read_sizes.pop()

    def acknowledge(self, through: int) -> None:
        """Forgets everything through this number, which was read; gives the disk back what it can."""
        while self._read_sizes and self.first_seq <= through:
            self._acknowledged_offset += self._read_sizes.popleft()
            self.first_seq += 1
        if through >= self.last_seq:
            self._empty(next_seq=through + 1)
        elif self._dead >= COMPACT_FROM_BYTES and self._size - self._acknowledged_offset <= COMPACT_REST_BYTES:
            with contextlib.suppress(OSError):
                self._compact()

    def discard(self) -> None:
        """Deletes the file: everything in it is acknowledged."""
        self.release()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def release(self) -> None:
        """Closes the file; its messages stay for `standpipe deliver`."""
        with contextlib.suppress(OSError):
            self._file.close()
            self._reader.close()

    @property
    def unread_bytes(self) -> int:
        """The size of what is not read yet."""
        return self._size - self._read_offset

    def forget_in_child(self) -> None:
        """After a fork: closes the child's copies, and with them its share in the lock."""
        self._file.close()
        # Below its buffer: a thread of the parent may have held the buffer's own lock at the fork.
        self._reader.raw.close()

    @property
    def _dead(self) -> int:
        return self._acknowledged_offset - self._start

    def _note_read(self, size: int) -> None:
        self._read_offset += size
        self._read_sizes.append(size)

    def _make_room(self, size: int, room: int) -> bool:
        """A full file of which half is acknowledged is written anew without that half."""
        if self._dead >= self._max_bytes // 2 and self._size - self._dead + size <= room:
            with contextlib.suppress(OSError):
                self._compact()
                return True
        return False

    def _empty(self, *, next_seq: int) -> None:
        self._header = replace(self._header, first_seq=next_seq)
        self.first_seq, self.last_seq = next_seq, next_seq - 1
        self._read_sizes.clear()
        # A process killed in between leaves an empty file, and nothing was in it.
        self._size = 0
        with contextlib.suppress(OSError):
            os.ftruncate(self._file.fileno(), 0)
            self._begin()

    def _begin(self) -> None:
        self._write(self._header.to_line())
        self._start = self._acknowledged_offset = self._read_offset = self._size

    def _compact(self) -> None:
        """Writes what is not acknowledged into a new file and puts that in this one's place."""
        temporary = self.path.with_suffix(NEW_SUFFIX)
        header = replace(self._header, first_seq=self.first_seq)
        file = FileIO(open_to_append(str(temporary), os.O_TRUNC), "ab")
        try:
            lock_file(file)
            start = size = _write_all(file, header.to_line())
            self._reader.seek(self._acknowledged_offset)
            while chunk := self._reader.read(1024 * 1024):
                size += _write_all(file, chunk)
            if sys.platform == "win32":
                # Windows renames neither an open file nor onto one.
                self.release()
                file.close()
            temporary.replace(self.path)
            if sys.platform == "win32":
                file = FileIO(open_to_append(str(self.path), 0), "ab")
                lock_file(file)
        except BaseException:
            file.close()
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        moved = self._acknowledged_offset - start
        self.release()
        self._file, self._reader = file, self.path.open("rb")
        self._header, self._size, self._start = header, size, start
        self._acknowledged_offset, self._read_offset = start, self._read_offset - moved

    def _write(self, line: bytes) -> None:
        size = self._size
        try:
            if self._file.write(line) != len(line):
                raise OSError(f"The disk has no room for another message in {self.path}.")
            self._size = size + len(line)
        except BaseException:
            # A full disk may take a part, and an interrupt may come after the write: the next message must not follow
            # half a line, nor one that was not counted.
            self._size = size
            with contextlib.suppress(OSError, ValueError):
                os.ftruncate(self._file.fileno(), size)
            raise


def damaged_note(where: str) -> bytes:
    """The message that takes the number of a damaged one: it is stored as rejected, so the loss shows."""
    reason = f"the message was damaged in {where} and could not be read back"
    return encode_json({"method": "undeliverable", "params": {"method": "unknown", "reason": reason}})


def lock_file(file: BinaryIO | FileIO) -> None:
    """Takes the file's lock without waiting, which ends with the file's closing; raises SpoolInUse."""
    lock_descriptor(file.fileno(), name=str(file.name))


def _write_all(file: FileIO, chunk: bytes) -> int:
    if file.write(chunk) != len(chunk):
        raise OSError("The disk is full.")
    return len(chunk)

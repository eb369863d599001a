"""Messages on disk: what memory has no room for, and what could not be delivered before the process had to end.

One file a producer, `<home>/spool/<invocation>.<producer>.ndjson`, mode 0600 in a 0700 folder, bounded in size: a first
line that says where the messages belong, then one line a message. Whoever works on a file holds its lock, so that
`standpipe deliver` leaves a living process's spool alone. The invariant: the lines of a file are consecutive numbers.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.home import standpipe_home

SPOOL_BYTES_VARIABLE = "STANDPIPE_SPOOL_BYTES"
DEFAULT_SPOOL_BYTES = 1024 * 1024 * 1024
SUFFIX = ".ndjson"

_VERSION = 1
_LINE = b'{"seq":%d,"message":%s}\n'
_BODY_MARK = b',"message":'


class SpoolInUse(OSError):
    """Another process holds the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolHeader:
    """Whose messages a file holds, and where they go. The file is as secret as the token in it."""

    bootstrap: Bootstrap
    producer: str

    def to_line(self) -> bytes:
        b = self.bootstrap
        wire = {
            "spool": _VERSION,
            "url": b.url,
            "invocation": b.invocation,
            "token": b.token,
            "producer": self.producer,
        }
        return json.dumps(wire).encode() + b"\n"

    @classmethod
    def from_line(cls, line: bytes) -> SpoolHeader:
        """Reads a first line.

        Raises:
            ValueError: it is not the first line of a spool file of this version.
        """
        wire: object = json.loads(line)
        match wire:
            case {
                "spool": 1,
                "url": str(url),
                "invocation": str(invocation),
                "token": str(token),
                "producer": str(producer),
            }:
                return cls(bootstrap=Bootstrap(url=url, invocation=invocation, token=token), producer=producer)
            case _:
                raise ValueError("Expected the first line of a spool file of version 1.")


def spool_folder(environment: Mapping[str, str]) -> Path:
    return standpipe_home(environment) / "spool"


def spool_limit(environment: Mapping[str, str]) -> int:
    """How large one file may grow; a number that cannot be read is the default."""
    try:
        return int(environment[SPOOL_BYTES_VARIABLE])
    except (KeyError, ValueError):
        return DEFAULT_SPOOL_BYTES


class Spool:
    """One producer's file, written and read by the process that owns it. Callers bring the lock between threads."""

    def __init__(self, path: Path, *, header: SpoolHeader, max_bytes: int) -> None:
        """Creates the file.

        Raises:
            OSError: it cannot be created.
        """
        self._header = header
        self._max_bytes = max_bytes
        for folder in (path.parent.parent, path.parent):
            # One by one: mkdir gives its mode to the last folder only.
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path, self._file = _create_new(path)
        self._size = 0
        self._write(header.to_line())
        self._read_offset = self._size

    @property
    def drained(self) -> bool:
        return self._read_offset >= self._size

    def append(self, *, seq: int, body: bytes) -> bool:
        """Adds a message; False when the file is as large as it may be, or the disk takes no more."""
        line = _LINE % (seq, body)
        if self._size + len(line) > self._max_bytes:
            return False
        try:
            self._write(line)
        except OSError:
            return False
        return True

    def read(self, *, size: int, messages: int) -> list[bytes]:
        """Takes the oldest unread messages, about so many and so large together (one at least)."""
        bodies: list[bytes] = []
        # A handle of its own, so that the writer's position stays where it is.
        with self.path.open("rb") as file:
            file.seek(self._read_offset)
            while not self.drained and size > 0 and messages > 0:
                line = file.readline()
                if not line:
                    break
                self._read_offset += len(line)
                bodies.append(_body(line))
                size -= len(line)
                messages -= 1
        return bodies

    def prepend(self, *, first_seq: int, bodies: Iterable[bytes]) -> None:
        """Rewrites the file: these messages first, then what was not yet read. Safe on disk when it returns.

        Raises:
            OSError: the disk takes no more; the file is as it was.
        """
        temporary = self.path.with_suffix(".tmp")
        try:
            # Closed before it is renamed: Windows renames neither an open file nor onto one.
            with os.fdopen(_open(temporary, os.O_TRUNC), "wb", buffering=256 * 1024) as file:
                start = size = file.write(self._header.to_line())
                for seq, body in enumerate(bodies, first_seq):
                    size += file.write(_LINE % (seq, body))
                with self.path.open("rb") as old:
                    old.seek(self._read_offset)
                    while chunk := old.read(1024 * 1024):
                        size += file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
        self._file.close()
        temporary.replace(self.path)
        self._file = self.path.open("ab", buffering=0)
        lock_file(self._file)
        self._size, self._read_offset = size, start

    def discard(self) -> None:
        """Deletes the file: everything in it was taken."""
        self._file.close()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def release(self) -> None:
        """Lets go of the file; what is in it stays for `standpipe deliver`."""
        with contextlib.suppress(OSError):
            self._file.close()

    def _write(self, line: bytes) -> None:
        if self._file.write(line) != len(line):
            # A full disk may take a part; a later reader must not find half a line.
            os.truncate(self.path, self._size)
            raise OSError(f"The disk has no room for another message in {self.path}.")
        self._size += len(line)


def read_spool(file: BinaryIO) -> Iterable[tuple[int, bytes]]:
    """The numbered messages after a spool file's first line. A last line cut short by a crash is left out."""
    for line in file:
        if not line.endswith(b"}\n"):
            return
        seq, _, _ = line.removeprefix(b'{"seq":').partition(b",")
        yield int(seq), _body(line)


def ends_cut(file: BinaryIO) -> bool:
    """Whether the last line is incomplete. Leaves the file at its beginning."""
    file.seek(0, os.SEEK_END)
    file.seek(max(file.tell() - 2, 0))
    cut = not file.read().endswith(b"}\n")
    file.seek(0)
    return cut


def lock_file(file: BinaryIO | FileIO) -> None:
    """Takes the file's lock without waiting; it goes with the file's closing.

    Raises:
        SpoolInUse: another process has it.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            # Windows forbids others to read what is locked, so a byte far behind the end is.
            position = file.tell()
            file.seek(0x7FFF0000)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(position)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise SpoolInUse(f"The spool file {file.name} is in use by another process.") from error


def _create_new(path: Path) -> tuple[Path, FileIO]:
    """A new, locked file under this name, or under a numbered one where an earlier file waits for its delivery."""
    for number in range(1, 1000):
        candidate = path if number == 1 else path.with_name(f"{path.stem}.{number}{SUFFIX}")
        with contextlib.suppress(FileExistsError):
            # Unbuffered: a forked child must not hold bytes that the parent writes too.
            file = FileIO(_open(candidate, os.O_EXCL), "ab")
            lock_file(file)
            return candidate, file
    raise FileExistsError(f"There are too many spool files named like {path}; run `standpipe deliver`.")


def _open(path: Path, flags: int) -> int:
    binary: int = getattr(os, "O_BINARY", 0)
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | binary | flags, 0o600)


def _body(line: bytes) -> bytes:
    _, _, rest = line.partition(_BODY_MARK)
    return rest.removesuffix(b"\n").removesuffix(b"}")

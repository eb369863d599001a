"""How a spool file begins: locked, and with its first lines in it before it has its name.

Imports next to nothing, because every process that opens creates one. The invariant: a file with a spool's name has a
whole first line, and its owner's lock for as long as the owner lives.
"""

from __future__ import annotations

import contextlib
import os
import sys
from json import dumps
from zlib import crc32

from standpipe_protocol.bootstrap import spool_folder_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from standpipe_protocol.bootstrap import Bootstrap
    from standpipe_protocol.json_text import JsonValue

VERSION = 2
SUFFIX = ".ndjson"
NEW_SUFFIX = ".new"
_LINE = b'{"seq":%d,"crc":"%08x","message":%s}\n'


class SpoolInUse(OSError):
    """Another process holds the file."""


def spool_path(environment: Mapping[str, str]) -> str:
    """The folder of the spool files; raises OSError where it cannot be determined."""
    try:
        return spool_folder_path(environment)
    except RuntimeError as error:
        raise FileNotFoundError(str(error)) from None


def file_prefix(invocation: str) -> str:
    """What the names of an invocation's files begin with."""
    return f"{invocation}.".replace("/", "_").replace(":", "_")


def file_stem(invocation: str, producer: str) -> str:
    """The name of a producer's file, without its suffix."""
    return file_prefix(invocation) + producer.replace(":", "_")


def header_line(bootstrap: Bootstrap, *, producer: str, first_seq: int) -> bytes:
    """The first line of a file: where its messages belong. As secret as the token in it."""
    wire: dict[str, JsonValue] = {
        "spool": VERSION,
        "url": bootstrap.url,
        "invocation": bootstrap.invocation,
        "token": bootstrap.token,
        "producer": producer,
        "first_seq": first_seq,
    }
    if bootstrap.token_file is not None:
        wire["token_file"] = bootstrap.token_file
    return dumps({**wire, "crc": header_crc(wire)}).encode() + b"\n"


def header_crc(wire: Mapping[str, JsonValue]) -> str:
    return f"{crc32(dumps(wire, sort_keys=True).encode()):08x}"


def record_line(seq: int, body: bytes) -> bytes:
    """One message as a line. The checksum covers its number too."""
    return _LINE % (seq, crc32(body, seq & 0xFFFFFFFF), body)


def make_folder(folder: str) -> None:
    """The spool folder, and the data folder above it, for their owner alone."""
    for one in (os.path.dirname(folder), folder):  # noqa: PTH120
        # One by one: makedirs gives its mode to the last folder only.
        os.makedirs(one, mode=0o700, exist_ok=True)  # noqa: PTH103


def create_file(folder: str, stem: str, first_lines: bytes) -> tuple[str, int]:
    """A new, locked file in an existing folder: its path and descriptor. Raises OSError where it cannot be made, or the
    disk does not take these lines."""
    attempts = 3
    for number in range(1, 1000):
        path = os.path.join(folder, (stem if number == 1 else f"{stem}.{number}") + SUFFIX)  # noqa: PTH118
        if os.path.exists(path):  # noqa: PTH110
            continue  # an earlier file of this producer waits for its delivery
        # Windows renames no open file, so there it has its name at once.
        temporary = path if sys.platform == "win32" else path.removesuffix(SUFFIX) + NEW_SUFFIX
        try:
            return path, _filled(temporary, path, first_lines)
        except (FileExistsError, SpoolInUse):
            # Another thread is making it, or another process delivers it as a dead one's.
            attempts -= 1
            if not attempts:
                raise
    raise FileExistsError(f"There are too many spool files named like {stem} in {folder}; run `standpipe deliver`.")


def open_to_append(path: str, flags: int) -> int:
    binary: int = getattr(os, "O_BINARY", 0)
    return os.open(path, os.O_CREAT | os.O_WRONLY | os.O_APPEND | binary | flags, 0o600)


def lock_descriptor(descriptor: int, *, name: str, shared: bool = False) -> None:
    """Takes a file's lock without waiting, which ends with the file's closing; `shared` beside others that share it.
    Raises SpoolInUse where another process has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # Windows forbids others to read what is locked, so a byte far behind the end is.
            position = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, 0x7FFF0000, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, position, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError as error:
        raise SpoolInUse(f"The spool file {name} is in use by another process.") from error


def is_held(path: str) -> bool:
    """Whether a living process has the lock of a file, as the one that writes it has."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return False
    try:
        lock_descriptor(descriptor, name=path, shared=True)
    except SpoolInUse:
        return True
    finally:
        os.close(descriptor)
    return False


def _filled(temporary: str, path: str, first_lines: bytes) -> int:
    descriptor = open_to_append(temporary, os.O_EXCL)
    try:
        lock_descriptor(descriptor, name=temporary)
        if os.write(descriptor, first_lines) != len(first_lines):
            raise OSError(f"The disk has no room for the first message in {path}.")
        if temporary != path:
            try:
                os.rename(temporary, path)  # noqa: PTH104
            except FileNotFoundError:
                raise SpoolInUse(f"The spool file {temporary} was deleted by another process.") from None
    except BaseException:
        os.close(descriptor)
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise
    return descriptor

"""The format of a spool file: a first line that says where the messages belong, then one checksummed line a message.

One JSON object a line, so that a person can read it and a reader continues after a damaged piece at the next line. The
invariant: the numbers in a file are consecutive, so a number that is missing between two others was damaged.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import BinaryIO
from zlib import crc32

from standpipe.spool.creation import VERSION, header_crc, header_line
from standpipe_protocol.bootstrap import (
    INVOCATION_VARIABLE,
    TOKEN_FILE_VARIABLE,
    URL_VARIABLE,
    Bootstrap,
    BootstrapError,
    server_address,
)
from standpipe_protocol.json_text import decode_json

_SEQ_MARK = b'{"seq":'
_CRC_MARK = b',"crc":"'
_BODY_MARK = b'","message":'
_OLD_BODY_MARK = b',"message":'
# Nothing written here is longer; where damage has eaten the ends of lines the reader must not take in a whole file.
_LONGEST_LINE = 80 * 1024 * 1024
_SHORTEST_LINE = 32


class DamagedSpool(ValueError):
    """A first line that cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolHeader:
    """The producer of a file's messages, and where they go. The file is as secret as the token in it."""

    bootstrap: Bootstrap
    producer: str
    first_seq: int | None = None
    """The number of the first message; files of version 1 do not have it."""
    version: int = VERSION
    unread_token_file: str | None = None
    """The token file of the process that wrote it, where the reader must not read it."""

    def to_line(self) -> bytes:
        return header_line(self.bootstrap, producer=self.producer, first_seq=self.first_seq or 1)

    @classmethod
    def from_line(cls, line: bytes, *, environment: Mapping[str, str] | None = None) -> SpoolHeader:
        """Reads a first line, of this version or of version 1; raises DamagedSpool, or ValueError where it is none. Its
        token file is read only where `environment` names the same server, invocation and token file: elsewhere the path
        may hold another job's token by now."""
        try:
            wire = decode_json(line)
        except ValueError:
            raise DamagedSpool("its first line is damaged: it is no JSON") from None
        match wire:
            case {
                "spool": (1 | 2) as version,
                "url": str(url),
                "invocation": str(invocation),
                "token": str(token),
                "producer": str(producer),
            }:
                plain = {name: value for name, value in wire.items() if name != "crc"}
                if version == VERSION and wire.get("crc") != header_crc(plain):
                    raise DamagedSpool("its first line is damaged: its checksum does not fit")
                first, file = wire.get("first_seq"), wire.get("token_file")
                bootstrap = Bootstrap(url=url.strip(), invocation=invocation.strip(), token=token.strip())
                file = file if isinstance(file, str) else None
                is_own = file is not None and _is_launched_so(bootstrap, token_file=file, environment=environment or {})
                return cls(
                    bootstrap=replace(bootstrap, token_file=file) if is_own else bootstrap,
                    unread_token_file=None if is_own else file,
                    producer=producer,
                    first_seq=first if isinstance(first, int) else None,
                    version=int(version),
                )
            case {"spool": int(version)}:
                raise ValueError(
                    f"it is a spool file of version {version}, and this version of standpipe reads 1 and {VERSION}; "
                    "deliver it with the version that wrote it"
                )
            case _:
                raise ValueError(f"its first line is not that of a spool file of version 1 or {VERSION}")


def _is_launched_so(bootstrap: Bootstrap, *, token_file: str, environment: Mapping[str, str]) -> bool:
    try:
        url = server_address(environment.get(URL_VARIABLE, ""), name=URL_VARIABLE)
    except BootstrapError:
        return False
    invocation, file = environment.get(INVOCATION_VARIABLE, "").strip(), environment.get(TOKEN_FILE_VARIABLE)
    return (url, invocation, file) == (bootstrap.url, bootstrap.invocation, token_file)


@dataclass(frozen=True, slots=True)
class Record:
    """One number of a file: its message, or None where the file is damaged there."""

    seq: int
    body: bytes | None
    size: int
    """Bytes in the file, those of damaged pieces before it included."""


class RecordReader:
    """Reads the messages that follow in a file, in order, and every number that is damaged among them; `expected` is
    the first number and `last` the last one, where they are known."""

    def __init__(
        self, file: BinaryIO, *, version: int = VERSION, expected: int | None, last: int | None = None
    ) -> None:
        self._file = file
        self._parse = _parse_record if version >= VERSION else _parse_old_record
        self._expected = expected
        self._last = last
        self.damaged: list[int] = []
        """Numbers of messages that cannot be read."""
        self.torn = False
        """Whether the last line was cut off when its process or machine died."""

    def __iter__(self) -> Iterator[Record]:
        bad_lines = bad_bytes = 0
        while line := self._file.readline(_LONGEST_LINE):
            parsed = self._parse(line)
            if parsed is None or not self._plausible(parsed[0], bad_bytes):
                if line.endswith(b"\n"):
                    bad_lines += 1
                else:
                    self.torn = True
                bad_bytes += len(line)
                continue
            seq, body = parsed
            if self._expected is None:
                self._expected = max(seq - bad_lines, 1)
            yield from self._gap(seq)
            yield Record(seq, body, bad_bytes + len(line))
            self._expected = seq + 1
            bad_lines = bad_bytes = 0
            self.torn = False
        if self._expected is None:
            self._expected = 1
        yield from self._gap(self._expected + bad_lines if self._last is None else self._last + 1)

    def _plausible(self, seq: int, bad_bytes: int) -> bool:
        """Whether so many messages can have been in the damaged bytes before this one."""
        if self._expected is None:
            return seq >= 1
        return 0 <= seq - self._expected <= bad_bytes // _SHORTEST_LINE + (1 if bad_bytes else 0)

    def _gap(self, until: int) -> Iterator[Record]:
        for seq in range(self._expected or 1, until):
            self.damaged.append(seq)
            yield Record(seq, None, 0)


def _parse_record(line: bytes) -> tuple[int, bytes] | None:
    head, mark, rest = line.partition(_BODY_MARK)
    number, crc_mark, crc = head.removeprefix(_SEQ_MARK).partition(_CRC_MARK)
    if not (mark and crc_mark and rest.endswith(b"}\n") and number.isdigit()):
        return None
    seq, body = int(number), rest[:-2]
    return (seq, body) if b"%08x" % crc32(body, seq & 0xFFFFFFFF) == crc else None


def _parse_old_record(line: bytes) -> tuple[int, bytes] | None:
    """Version 1 has no checksums; a line counts as whole when it is JSON."""
    head, mark, rest = line.partition(_OLD_BODY_MARK)
    number = head.removeprefix(_SEQ_MARK)
    if not (mark and rest.endswith(b"}\n") and number.isdigit()):
        return None
    try:
        json.loads(line)
    except ValueError:
        return None
    return int(number), rest[:-2]

"""`standpipe deliver`: sends what processes of this home could not, from their spool files.

A file goes away when the server has all of it. A message the server has already is not stored twice, because the file
keeps producer and numbers. The invariant: no message leaves a file before it is acknowledged, or refused for good.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from standpipe.delivery import Advance, Rejection, Replace, Retry, Split, Stop, decide_after_append
from standpipe.errors import PipesConfigurationError
from standpipe.spool import SUFFIX, SpoolHeader, SpoolInUse, ends_cut, lock_file, read_spool, spool_folder
from standpipe.transport import Transport

BATCH_MESSAGES = 500
BATCH_BYTES = 512 * 1024
DEFAULT_TRIES = 5

help = "deliver what processes on this machine could not, from their spool files"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """What became of one spool file."""

    path: Path
    delivered: int
    rejected: tuple[Rejection, ...] = ()
    error: str | None = None
    """Why something is left in the file; None when the file is gone."""
    cut: bool = False
    """Whether the process was killed while it wrote its last message, which is lost."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--list", action="store_true", help="say which files wait, send nothing")
    parser.add_argument(
        "--tries", type=int, default=DEFAULT_TRIES, help="attempts in a row before a server is given up (default: 5)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when nothing waits any more, 1 when something does."""
    folder = spool_folder(os.environ)
    files = waiting_files(folder)
    if arguments.list:
        sys.stdout.writelines(f"{path} ({path.stat().st_size} bytes)\n" for path in files)
        return 0
    left = 0
    for path in files:
        outcome = deliver_file(path, environment=os.environ, tries=arguments.tries)
        rejected = f", {len(outcome.rejected)} of them rejected" if outcome.rejected else ""
        sys.stdout.write(f"{path.name}: {outcome.delivered} messages delivered{rejected}\n")
        if outcome.cut:
            sys.stderr.write(f"{path}: the last message was cut when its process was killed; it is lost.\n")
        if outcome.error is not None:
            left += 1
            sys.stderr.write(f"{path}: {outcome.error}\n")
    if not files:
        sys.stdout.write(f"Nothing waits in {folder}.\n")
    return 1 if left else 0


def waiting_files(folder: Path) -> list[Path]:
    """The spool files of a folder, oldest first."""
    try:
        found = [path for path in folder.iterdir() if path.name.endswith(SUFFIX)]
    except OSError:
        return []
    return sorted(found, key=lambda path: path.stat().st_mtime)


def deliver_file(path: Path, *, environment: Mapping[str, str], tries: int = DEFAULT_TRIES) -> FileOutcome:
    """Sends one file's messages and deletes it when all are acknowledged."""
    try:
        with path.open("r+b") as file:
            lock_file(file)
            cut = ends_cut(file)
            header = SpoolHeader.from_line(file.readline())
            transport = Transport(header.bootstrap, environment=environment)
            try:
                outcome = replace(_Delivery(path, header=header, transport=transport, tries=tries).run(file), cut=cut)
            finally:
                transport.close()
    except SpoolInUse as error:
        return FileOutcome(path=path, delivered=0, error=str(error))
    except (OSError, ValueError, PipesConfigurationError) as error:
        return FileOutcome(path=path, delivered=0, error=f"cannot be delivered: {error}")
    if outcome.error is None:
        path.unlink(missing_ok=True)
    return outcome


class _Delivery:
    """One pass over one file."""

    def __init__(self, path: Path, *, header: SpoolHeader, transport: Transport, tries: int) -> None:
        self._path = path
        self._producer = header.producer
        self._offset = 0
        self._transport = transport
        self._tries = tries
        self._delivered = 0
        self._rejected: list[Rejection] = []
        self._batch_messages = BATCH_MESSAGES

    def run(self, file: BinaryIO) -> FileOutcome:
        messages = iter(read_spool(file))
        waiting: list[tuple[int, bytes]] = []
        error: str | None = None
        while error is None and (waiting := waiting or _next_batch(messages)):
            error = self._send(waiting)
        return FileOutcome(path=self._path, delivered=self._delivered, rejected=tuple(self._rejected), error=error)

    def _send(self, waiting: list[tuple[int, bytes]]) -> str | None:
        """Sends the first messages of the list and takes them off; answers why it cannot."""
        attempt = 0
        while True:
            batch = waiting[: self._batch_messages]
            first_seq = batch[0][0] - self._offset
            answer = self._transport.append(
                b"\n".join(line for _, line in batch) + b"\n",
                producer=self._producer,
                first_seq=first_seq,
                numbered=waiting[-1][0] - self._offset,
            )
            match decide_after_append(
                answer, first_seq=first_seq, count=len(batch), attempt=attempt, jitter=1.0, acquainted=False
            ):
                case Advance(through=through, rejections=rejections):
                    self._rejected += rejections
                    taken = through - first_seq + 1
                    self._delivered += taken
                    del waiting[:taken]
                    return None
                case Split():
                    self._batch_messages = max(1, len(batch) // 2)
                case Replace(rejection=rejection):
                    return f"message {batch[0][0]} is refused: {rejection.problem.detail}"
                case Retry(delay=delay, reason=reason):
                    attempt += 1
                    if attempt >= self._tries:
                        return f"not delivered after {attempt} attempts: {reason}"
                    time.sleep(delay)
                case Stop(problem=problem) if problem.name == "sequence-gap" and not self._offset:
                    # What came before died in the memory of a killed process. The rest is not lost for that: it goes in
                    # as a producer of its own, the same at every attempt, and the gap stays visible in the first one's.
                    self._producer += ".spool"
                    self._offset = batch[0][0] - 1
                case Stop(reason=reason):
                    return f"refused: {reason}"


def _next_batch(messages: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    batch: list[tuple[int, bytes]] = []
    size = 0
    for seq, line in islice(messages, BATCH_MESSAGES):
        batch.append((seq, line))
        size += len(line)
        if size >= BATCH_BYTES:
            break
    return batch

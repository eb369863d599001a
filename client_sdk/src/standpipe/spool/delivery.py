"""Delivers the spool files of dead processes. Used by `standpipe deliver`, and by the next process of a host.

A file is deleted when the server has all of it. The file holds producer and numbers, so the server stores no message
twice. The invariant: no message leaves the spool folder before it is acknowledged; a file that can never be delivered
whole is set aside with the reason beside it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from io import BufferedRandom
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from standpipe.delivery_report import Rejection
from standpipe.errors import PipesConfigurationError
from standpipe.http.decisions import Advance, Answer, NoAnswer, Replace, Retry, Split, Stop, undeliverable_note
from standpipe.http.retry_state import RetryState
from standpipe.http.transport import Transport
from standpipe.runtime import clock
from standpipe.spool.creation import SUFFIX, SpoolInUse
from standpipe.spool.format import DamagedSpool, RecordReader, SpoolHeader
from standpipe.spool.set_aside import set_aside
from standpipe.spool.spool_file import damaged_note, lock_file
from standpipe_protocol.problems import Problem

BATCH_MESSAGES = 500
BATCH_BYTES = 512 * 1024
DEFAULT_TRIES = 5
_TAIL_BYTES = 64 * 1024
_FINAL = ("unauthorized", "not-found", "invocation-ended")
"""Answers of a Standpipe server that no later try changes."""
_open_files: set[BufferedRandom] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOutcome:
    """What became of one spool file."""

    path: Path
    delivered: int = 0
    rejected: tuple[Rejection, ...] = ()
    damaged: tuple[int, ...] = ()
    """Numbers of messages that are damaged on disk. A note is sent in the place of each."""
    torn: bool = False
    """Whether the process was killed while it wrote its last message, which is lost."""
    error: str | None = None
    """Why something is left in the file; None when the file is gone."""
    set_aside: Path | None = None
    """Where the file is now, when it cannot be delivered whole."""
    in_use: bool = False
    """Whether a living process has it."""
    may_change: bool = False
    """Whether another try may succeed: the server was away."""


def waiting_files(folder: Path, *, prefix: str = "") -> list[Path]:
    """The spool files whose names begin with `prefix`, in the order of delivery: oldest first, but those that end with
    `closed` after the others, since an invocation whose producers have all closed may end `succeeded` and accept
    nothing more."""
    files: list[tuple[bool, float, Path]] = []
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.name.startswith(prefix) and path.name.endswith(SUFFIX):
                with contextlib.suppress(OSError):
                    files.append((_ends_closed(path), path.stat().st_mtime, path))
    return [path for *_, path in sorted(files)]


def forget_in_child() -> None:
    """After a fork: closes the files that are being delivered, which are the parent's."""
    for file in list(_open_files):
        # The descriptor below the buffer: the buffer's own lock may be held by a thread that the child lacks.
        file.raw.close()
    _open_files.clear()


def deliver_file(
    path: Path,
    *,
    environment: Mapping[str, str],
    tries: int = DEFAULT_TRIES,
    stopping: Callable[[], bool] = lambda: False,
) -> FileOutcome:
    """Sends one file's messages, and deletes it when all are acknowledged. So many failures in a row (`tries`) end the
    attempt, and so does `stopping`, which is called between requests."""
    try:
        with path.open("r+b") as file, _registered(file):
            lock_file(file)
            if not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise SpoolInUse(f"The spool file {path} was just written anew by its process.")
            outcome = FileOutcome(path=path)
            if first_line := file.readline():
                header = SpoolHeader.from_line(first_line, environment=environment)
                with contextlib.closing(Transport(header.bootstrap, environment=environment)) as transport:
                    delivery = _Delivery(path, header=header, transport=transport, tries=tries, stopping=stopping)
                    outcome = delivery.run(file)
    except SpoolInUse as error:
        return FileOutcome(path=path, error=str(error), in_use=True)
    except DamagedSpool as error:
        reason = f"{error}, so that it is not known where its messages belong. A first line written anew makes it whole"
        return _put_aside(FileOutcome(path=path), reason)
    except (OSError, ValueError, PipesConfigurationError) as error:
        return FileOutcome(path=path, error=f"cannot be delivered: {error}")
    if outcome.error is None and outcome.damaged:
        return _put_aside(outcome, f"damaged on disk: {numbers(outcome.damaged)}; all others were delivered")
    if outcome.error is None:
        path.unlink(missing_ok=True)
    elif outcome.set_aside is not None:
        return _put_aside(outcome, outcome.error)
    return outcome


def numbers(seqs: tuple[int, ...]) -> str:
    """`messages 3, 7-9`."""
    runs: list[list[int]] = []
    for seq in seqs:
        if runs and runs[-1][1] == seq - 1:
            runs[-1][1] = seq
        else:
            runs.append([seq, seq])
    listed = ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs[:50])
    more = f" and {len(runs) - 50} more pieces" if len(runs) > 50 else ""
    return f"{'message' if len(seqs) == 1 else 'messages'} {listed}{more}"


@contextlib.contextmanager
def _registered(file: BufferedRandom) -> Generator[None]:
    _open_files.add(file)
    try:
        yield
    finally:
        _open_files.discard(file)


class _Delivery:
    """One pass over one file."""

    def __init__(
        self, path: Path, *, header: SpoolHeader, transport: Transport, tries: int, stopping: Callable[[], bool]
    ) -> None:
        self._path, self._header, self._transport = path, header, transport
        self._tries, self._stopping = tries, stopping
        self._producer = header.producer
        self._offset = self._delivered = self._known = 0
        self._is_final = self._may_change = False
        self._rejected: list[Rejection] = []
        # The first answer says how much of the file the server has already, so the first request is a small one.
        self._retries = RetryState(batch_messages=1, most_messages=BATCH_MESSAGES)

    def run(self, file: BinaryIO) -> FileOutcome:
        reader = RecordReader(file, version=self._header.version, expected=self._header.first_seq)
        messages = self._messages(reader)
        waiting: list[tuple[int, bytes]] = []
        error: str | None = None
        while error is None and (waiting := waiting or _next_batch(messages)):
            error = self._send(waiting)
        return FileOutcome(
            path=self._path,
            delivered=self._delivered,
            rejected=tuple(self._rejected),
            damaged=tuple(reader.damaged),
            torn=reader.torn,
            error=error,
            set_aside=self._path if self._is_final else None,
            may_change=self._may_change,
        )

    def _messages(self, reader: RecordReader) -> Iterator[tuple[int, bytes]]:
        for record in reader:
            if record.seq - self._offset > self._known:
                yield record.seq, record.body or damaged_note(f"the spool file {self._path.name}")
            else:
                self._delivered += 1

    def _send(self, waiting: list[tuple[int, bytes]]) -> str | None:
        """Sends the first messages of the list and removes them; returns why it cannot."""
        while True:
            if self._stopping():
                return "not delivered before the process that delivered it ended"
            batch = waiting[: self._retries.batch_messages]
            first_seq = batch[0][0] - self._offset
            answer = self._transport.append(
                b"\n".join(line for _, line in batch) + b"\n",
                producer=self._producer,
                first_seq=first_seq,
                numbered=waiting[-1][0] - self._offset,
            )
            now = clock.monotonic()
            self._retries, decision = self._retries.after_append(
                answer, first_seq=first_seq, count=len(batch), now=now, jitter=1.0
            )
            match decision:
                case Advance(through=through, rejections=rejections):
                    self._rejected += rejections
                    self._known = max(self._known, through, _stored_through(answer))
                    done = sum(seq - self._offset <= self._known for seq, _ in waiting)
                    self._delivered += done
                    del waiting[:done]
                    return None
                case Split():
                    pass  # the next batch is smaller
                case Replace(rejection=rejection):
                    seq, body = batch[0]
                    self._rejected.append(rejection)
                    waiting[0] = (seq, undeliverable_note(body, rejection.problem))
                case Retry(reason=reason):
                    if self._retries.failures >= self._tries:
                        self._may_change = True
                        return f"not delivered after {self._retries.failures} tries: {reason}"
                    clock.sleep(max(self._retries.retry_at - now, 0.0))
                case Stop(problem=problem) if problem.name == "sequence-gap" and not self._offset:
                    # Earlier messages died in the memory of a killed process. The rest is delivered as a producer of
                    # its own, the same at every try, and the gap stays visible in the first producer's numbers.
                    self._producer += ".spool"
                    self._offset = batch[0][0] - 1
                    self._known = 0
                case Stop(problem=problem, reason=reason):
                    # A proxy answers 401 and 404 too; only a problem of the server's own is final.
                    has_problem = isinstance(answer, Answer) and answer.problem is not None
                    self._is_final = has_problem and problem.name in _FINAL
                    return self._refused(problem, reason)

    def _refused(self, problem: Problem, reason: str) -> str:
        file = self._header.unread_token_file
        if file is None or problem.name != "unauthorized":
            return f"refused: {reason}"
        return (
            f"refused: {reason.rstrip('.')}. The file {file!r} may hold a newer token; `standpipe deliver` with this "
            "file's path reads it where STANDPIPE_URL, STANDPIPE_INVOCATION and STANDPIPE_TOKEN_FILE are those of the "
            "process that reported"
        )


def _stored_through(answer: Answer | NoAnswer) -> int:
    through = answer.body.get("accepted_through") if isinstance(answer, Answer) and answer.body is not None else 0
    return through if isinstance(through, int) else 0


def _next_batch(messages: Iterator[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
    batch: list[tuple[int, bytes]] = []
    size = 0
    for seq, line in islice(messages, BATCH_MESSAGES):
        batch.append((seq, line))
        size += len(line)
        if size >= BATCH_BYTES:
            break
    return batch


def _ends_closed(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(size - _TAIL_BYTES, 0))
        last = file.read().rstrip(b"\n").rpartition(b"\n")[2]
    return b'"message":{"method":"closed"' in last


def _put_aside(outcome: FileOutcome, reason: str) -> FileOutcome:
    try:
        return replace(outcome, error=reason, set_aside=set_aside(outcome.path, reason))
    except OSError as error:
        return replace(outcome, error=f"{reason}; it could not be set aside: {error}", set_aside=None)

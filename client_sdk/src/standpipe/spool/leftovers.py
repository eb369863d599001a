"""Spool files that other processes of this host left, delivered by one that lives.

A producer delivers those of dead processes beside its own work, on a thread that is bounded in files and time. Before
the end of an invocation is reported, its launcher and its producers deliver what its other processes left: of a dead
process everything; of a living one its opening only, since it delivers the rest itself. Both may send the opening at
once: its number makes the second one a retry. The invariant: no file of a living process is changed, and no error here
reaches the program.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

# All of it at once: what a signal interrupts in the middle of a close must not be an import.
from standpipe.errors import PipesConfigurationError
from standpipe.http.client import import_httpx
from standpipe.http.decisions import Retry, method_of
from standpipe.http.retry_state import RetryState
from standpipe.http.transport import Transport
from standpipe.runtime import clock
from standpipe.runtime.threads import BackgroundThread, sending
from standpipe.spool.creation import SUFFIX, file_prefix, file_stem, is_held, spool_path
from standpipe.spool.delivery import FileOutcome, deliver_file, forget_in_child, waiting_files
from standpipe.spool.format import RecordReader, SpoolHeader
from standpipe.spool.marks import tidy_marks
from standpipe.spool.set_aside import SET_ASIDE_DAYS, tidy
from standpipe.spool.spool_file import spool_folder

MOST_FILES = 100
MOST_SECONDS = 120.0
TRIES = 2
LAUNCHER_SECONDS = 10.0

_log = logging.getLogger("standpipe.outbox")


class Leftovers:
    """Owns the thread that delivers what waits in this home's spool folder."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._stopping = False
        self._imported = threading.Event()
        self._thread = BackgroundThread(self._run, name="standpipe-leftovers")

    def start(self) -> None:
        """Starts the thread if a dead process left a file in the folder."""
        try:
            with os.scandir(spool_path(self._environment)) as entries:
                left = any(entry.name.endswith(SUFFIX) and not is_held(entry.path) for entry in entries)
        except OSError:
            return
        if left:
            # Without a further thread another process delivers them.
            self._thread.start()

    def wait_until_imported(self, timeout: float) -> None:
        """As for every background thread: a fork amid an import would leave its lock held in the child."""
        if self._thread.is_alive:
            self._imported.wait(timeout)

    def stop(self, *, timeout: float) -> None:
        """Ends the thread after the request in hand, and joins it; what it has not sent stays where it is."""
        self._stopping = True
        self._thread.join(timeout)

    def deliver_others(self, invocation: str, *, own: str, seconds: float) -> bool:
        """Delivers what other producers of an invocation left; False when some of it still waits."""
        # The thread may hold one of their files.
        self.stop(timeout=seconds)
        try:
            return deliver_openings(invocation, environment=self._environment, seconds=seconds, own=own)
        except Exception:
            _log.exception("What other processes left in the spool folder could not be delivered.")
            return False

    def forget_in_child(self) -> None:
        """After a fork: the file in hand is the parent's, and its lock must not live on in the child."""
        forget_in_child()

    def _run(self) -> None:
        with sending():
            try:
                self._deliver()
            except Exception:
                _log.exception("What earlier processes left in the spool folder could not be delivered.")

    def _deliver(self) -> None:
        try:
            import_httpx()
        finally:
            self._imported.set()
        folder = spool_folder(self._environment)
        tidy_marks(environment=self._environment, now=clock.wall())
        for path in tidy(folder, now=clock.wall()):
            _log.warning("%s was set aside %d days ago or longer, and is deleted.", path, SET_ASIDE_DAYS)
        until = clock.monotonic() + MOST_SECONDS

        def over() -> bool:
            return self._stopping or clock.monotonic() > until

        for path in waiting_files(folder)[:MOST_FILES]:
            if over():
                return
            _log_outcome(deliver_file(path, environment=self._environment, tries=TRIES, stopping=over))


def deliver_openings(
    invocation: str,
    *,
    environment: Mapping[str, str],
    seconds: float = LAUNCHER_SECONDS,
    own: str | None = None,
) -> bool:
    """Delivers what the invocation's processes other than `own` left; False when some of it still waits after so many
    `seconds` of a server that is away. What is refused for good waits no more."""
    prefix = file_prefix(invocation)
    # The producer's own file, and the numbered ones after it.
    mine = None if own is None else f"{file_stem(invocation, own)}."

    def is_others(name: str) -> bool:
        return name.startswith(prefix) and name.endswith(SUFFIX) and not (mine and name.startswith(mine))

    try:
        folder = spool_path(environment)
        # Without what it takes to read one.
        with os.scandir(folder) as entries:
            if not any(is_others(entry.name) for entry in entries):
                return True
    except OSError:
        return True
    until = clock.monotonic() + clock.bounded(seconds)
    files = [file for file in waiting_files(Path(folder), prefix=prefix) if is_others(file.name)]

    def over() -> bool:
        return clock.monotonic() > until

    with sending():
        # Openings first: they are small, and the server cannot miss a producer of which it has no opening. Each file is
        # tried, also after one that could not be delivered.
        living = [_deliver_opening(file, environment=environment, over=over) for file in files if is_held(str(file))]
        dead = [_deliver_file(file, environment=environment, over=over) for file in files]
        return all(living) and all(dead)


def _deliver_file(path: Path, *, environment: Mapping[str, str], over: Callable[[], bool]) -> bool:
    while True:
        outcome = deliver_file(path, environment=environment, tries=TRIES, stopping=over)
        if outcome.error is None or outcome.in_use or outcome.set_aside is not None:
            _log_outcome(outcome)
            return True
        if not path.exists():
            # Its owner had all of it acknowledged in between.
            return True
        if over() or not outcome.may_change:
            return False


def _deliver_opening(path: Path, *, environment: Mapping[str, str], over: Callable[[], bool]) -> bool:
    """Sends the first message of a file, if that is an opening, as its owner would."""
    try:
        with path.open("rb") as file:
            header = SpoolHeader.from_line(file.readline(), environment=environment)
            record = next(iter(RecordReader(file, expected=1)), None) if header.first_seq == 1 else None
        if record is None or record.body is None or method_of(record.body) != "opened":
            return True
        transport = Transport(header.bootstrap, environment=environment)
    except (OSError, ValueError, PipesConfigurationError):
        # Its owner has changed or deleted it, as it does once the server has the opening.
        return True
    retries = RetryState()
    with contextlib.closing(transport):
        while True:
            answer = transport.append(record.body + b"\n", producer=header.producer, first_seq=1, numbered=1)
            now = clock.monotonic()
            retries, decision = retries.after_append(answer, first_seq=1, count=1, now=now, jitter=1.0, hurried=True)
            if not isinstance(decision, Retry):
                return True
            if over():
                return False
            clock.sleep(max(retries.retry_at - now, 0.0))


def _log_outcome(outcome: FileOutcome) -> None:
    if outcome.set_aside is not None:
        _log.warning("A spool file was set aside, as %s: %s", outcome.set_aside, outcome.error)
    elif outcome.error is None and outcome.delivered:
        _log.info("Delivered %d messages that an earlier process left in %s.", outcome.delivered, outcome.path)

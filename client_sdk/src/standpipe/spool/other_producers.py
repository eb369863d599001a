"""Delivers the spool files of an invocation's other processes, before a launcher or a producer reports the end.

Of a dead process everything; of a living one its opening only, since it delivers the rest itself. Both may send the
opening at once: its number makes the second one a retry. The invariant: no file of a living process is changed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from pathlib import Path

# All of it at once: what a signal interrupts in the middle of a close must not be an import.
from standpipe.errors import PipesConfigurationError
from standpipe.http.decisions import Retry, method_of
from standpipe.http.retry_state import RetryState
from standpipe.http.transport import Transport
from standpipe.runtime import clock
from standpipe.runtime.threads import sending
from standpipe.spool.creation import SUFFIX, file_prefix, file_stem, is_held, spool_path
from standpipe.spool.delivery import FileOutcome, deliver_file, waiting_files
from standpipe.spool.format import RecordReader, SpoolHeader

TRIES = 2
LAUNCHER_SECONDS = 10.0

_log = logging.getLogger("standpipe.outbox")


def deliver_openings(
    invocation: str,
    *,
    environment: Mapping[str, str],
    seconds: float = LAUNCHER_SECONDS,
    own: str | None = None,
) -> bool:
    """Delivers what the invocation's other processes left; False when some of it still waits.

    What is refused for good waits no more.

    Args:
        seconds: how long a server that is away is waited for.
        own: the producer that calls.
    """
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
            log_outcome(outcome)
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
    try:
        while True:
            answer = transport.append(record.body + b"\n", producer=header.producer, first_seq=1, numbered=1)
            now = clock.monotonic()
            retries, decision = retries.after_append(answer, first_seq=1, count=1, now=now, jitter=1.0, hurried=True)
            if not isinstance(decision, Retry):
                return True
            if over():
                return False
            clock.sleep(max(retries.retry_at - now, 0.0))
    finally:
        transport.close()


def log_outcome(outcome: FileOutcome) -> None:
    if outcome.set_aside is not None:
        _log.warning("A spool file was set aside, as %s: %s", outcome.set_aside, outcome.error)
    elif outcome.error is None and outcome.delivered:
        _log.info("Delivered %d messages that an earlier process left in %s.", outcome.delivered, outcome.path)

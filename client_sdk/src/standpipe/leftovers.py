"""What dead processes of this host left on disk: the next one delivers it, beside its own work.

Bounded in files and time, on a thread of its own that nobody waits for. The invariant: it takes no file that a living
process holds, and nothing that goes wrong here reaches the program.
"""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from standpipe.sender_threads import mark_sender_thread, unmark_sender_thread
from standpipe_protocol.home import standpipe_home

if TYPE_CHECKING:
    from pathlib import Path

    from standpipe.spool_delivery import FileOutcome
    from standpipe_protocol.bootstrap import Bootstrap

MOST_FILES = 100
MOST_SECONDS = 120.0
TRIES = 2

_log = logging.getLogger("standpipe.outbox")


class Leftovers:
    """The thread that delivers what waits in this home's spool folder, if anything does."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._stopping = False
        self._imported = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Looks into the folder, and only if there is something in it starts the thread."""
        try:
            folder = standpipe_home(self._environment) / "spool"
            waits = any(path.name.endswith(".ndjson") for path in folder.iterdir())
        except OSError:
            return
        if waits:
            thread = threading.Thread(target=self._run, name="standpipe-leftovers", daemon=True)
            # Where the process gets no further thread another one will deliver them.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread = thread

    def wait_until_imported(self, timeout: float) -> None:
        """As for every background thread: a fork amid an import would leave its lock held in the child."""
        if self._thread is not None and self._thread.is_alive():
            self._imported.wait(timeout)

    def stop(self) -> None:
        """Ends it after the request in hand; what it has not sent stays where it is."""
        self._stopping = True

    def forget_in_child(self) -> None:
        """After a fork: the file in hand is the parent's, and its lock must not live on in the child."""
        if self._thread is not None and self._imported.is_set():
            from standpipe.spool_delivery import forget_in_child

            forget_in_child()

    def _run(self) -> None:
        mark_sender_thread()
        try:
            try:
                from standpipe.set_aside import SET_ASIDE_DAYS, tidy
                from standpipe.spool import spool_folder
                from standpipe.spool_delivery import deliver_file, waiting_files
                from standpipe.transport import import_httpx

                import_httpx()
            finally:
                self._imported.set()
            folder = spool_folder(self._environment)
            for path in tidy(folder, now=time.time()):
                _log.warning("%s was set aside %d days ago or longer, and is deleted.", path, SET_ASIDE_DAYS)
            until = time.monotonic() + MOST_SECONDS
            for path in waiting_files(folder)[:MOST_FILES]:
                if self._ends(until):
                    return
                _say(deliver_file(path, environment=self._environment, tries=TRIES, stopping=lambda: self._ends(until)))
        except Exception:
            _log.exception("What earlier processes left in the spool folder could not be delivered.")
        finally:
            unmark_sender_thread()

    def _ends(self, until: float) -> bool:
        return self._stopping or time.monotonic() > until


def deliver_left_by_children(bootstrap: Bootstrap, *, environment: Mapping[str, str], seconds: float) -> bool:
    """Delivers what dead processes of this invocation left on disk; False when something of it still waits.

    What a living process holds is its own to deliver, and what is refused for good waits no more.
    """
    from standpipe.spool import spool_folder
    from standpipe.spool_delivery import waiting_files

    until = time.monotonic() + seconds

    def over() -> bool:
        return time.monotonic() > until

    files = [f for f in waiting_files(spool_folder(environment)) if f.name.startswith(f"{bootstrap.invocation}.")]
    mark_sender_thread()
    try:
        # Each is tried, also after one that could not be delivered.
        done = [_deliver_until(path, environment=environment, over=over) for path in files]
        return all(done)
    finally:
        unmark_sender_thread()


def _deliver_until(path: Path, *, environment: Mapping[str, str], over: Callable[[], bool]) -> bool:
    from standpipe.spool_delivery import deliver_file

    while True:
        outcome = deliver_file(path, environment=environment, tries=TRIES, stopping=over)
        if outcome.error is None or outcome.in_use or outcome.set_aside is not None:
            _say(outcome)
            return True
        if over() or not outcome.may_change:
            return False


def _say(outcome: FileOutcome) -> None:
    if outcome.set_aside is not None:
        _log.warning("A spool file was set aside, as %s: %s", outcome.set_aside, outcome.error)
    elif outcome.error is None and outcome.delivered:
        _log.info("Delivered %d messages that an earlier process left in %s.", outcome.delivered, outcome.path)

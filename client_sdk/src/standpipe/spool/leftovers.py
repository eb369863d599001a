"""Spool files that dead processes of this host left: the next process delivers them, beside its own work.

On a thread of its own, bounded in files and time. The invariant: it takes no file that a living process holds, and no
error of it reaches the program.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

from standpipe.http.client import import_httpx
from standpipe.runtime import clock
from standpipe.runtime.threads import BackgroundThread, sending
from standpipe.spool.creation import SUFFIX, is_held, spool_path
from standpipe.spool.delivery import deliver_file, forget_in_child, waiting_files
from standpipe.spool.marks import tidy_marks
from standpipe.spool.other_producers import deliver_openings, log_outcome
from standpipe.spool.set_aside import SET_ASIDE_DAYS, tidy
from standpipe.spool.spool_file import spool_folder

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_FILES = 100
MOST_SECONDS = 120.0
TRIES = 2

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
            log_outcome(deliver_file(path, environment=self._environment, tries=TRIES, stopping=over))

"""What dead processes of this host left on disk: the next one delivers it, beside its own work.

Bounded in files and time, on a thread of its own that nobody waits for. The invariant: it takes no file that a living
process holds, and nothing that goes wrong here reaches the program.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from typing import TYPE_CHECKING

from standpipe.runtime import clock
from standpipe.runtime.sender_threads import mark_sender_thread, unmark_sender_thread
from standpipe.runtime.threads import background_thread
from standpipe.spool.creation import SUFFIX, is_held, spool_path
from standpipe.spool.marks import tidy_marks
from standpipe.spool.other_producers import deliver_openings, log_outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

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
        """Looks into the folder, and only if a dead process left something in it starts the thread."""
        try:
            with os.scandir(spool_path(self._environment)) as entries:
                left = any(entry.name.endswith(SUFFIX) and not is_held(entry.path) for entry in entries)
        except OSError:
            return
        if left:
            # Where the process gets no further thread another one will deliver them.
            with contextlib.suppress(RuntimeError):
                thread = background_thread(self._run, name="standpipe-leftovers")
                thread.start()
                self._thread = thread

    def wait_until_imported(self, timeout: float) -> None:
        """As for every background thread: a fork amid an import would leave its lock held in the child."""
        if self._thread is not None and self._thread.is_alive():
            self._imported.wait(timeout)

    def stop(self, *, timeout: float = 0.0) -> None:
        """Ends it after the request in hand; what it has not sent stays where it is."""
        self._stopping = True
        if self._thread is not None:
            self._thread.join(clock.bounded(timeout))

    def deliver_others(self, invocation: str, *, own: str, seconds: float) -> bool:
        """Delivers what other producers of an invocation left; False when something of it still waits."""
        # It may have one of their files in hand.
        self.stop(timeout=seconds)
        try:
            return deliver_openings(invocation, environment=self._environment, seconds=seconds, own=own)
        except Exception:
            _log.exception("What other processes left in the spool folder could not be delivered.")
            return False

    def forget_in_child(self) -> None:
        """After a fork: the file in hand is the parent's, and its lock must not live on in the child."""
        if self._thread is not None and self._imported.is_set():
            from standpipe.spool.delivery import forget_in_child

            forget_in_child()

    def _run(self) -> None:
        mark_sender_thread()
        try:
            try:
                from standpipe.http.client import import_httpx
                from standpipe.spool.delivery import deliver_file, waiting_files
                from standpipe.spool.set_aside import SET_ASIDE_DAYS, tidy
                from standpipe.spool.spool_file import spool_folder

                import_httpx()
            finally:
                self._imported.set()
            folder = spool_folder(self._environment)
            tidy_marks(environment=self._environment, now=clock.wall())
            for path in tidy(folder, now=clock.wall()):
                _log.warning("%s was set aside %d days ago or longer, and is deleted.", path, SET_ASIDE_DAYS)
            until = clock.monotonic() + MOST_SECONDS
            for path in waiting_files(folder)[:MOST_FILES]:
                if self._ends(until):
                    return
                log_outcome(
                    deliver_file(path, environment=self._environment, tries=TRIES, stopping=lambda: self._ends(until))
                )
        except Exception:
            _log.exception("What earlier processes left in the spool folder could not be delivered.")
        finally:
            unmark_sender_thread()

    def _ends(self, until: float) -> bool:
        return self._stopping or clock.monotonic() > until

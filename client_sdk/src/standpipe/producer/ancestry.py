"""The parent of a process: the nearest process above it that has the invocation open, as a producer's id.

A process that opens leaves its mark in its environment, for the processes that it starts, and in the data folder for
multiprocessing workers that it started before. A mark is a hint: a process that inherits one and never opens is not
missed. The invariant: a mark is read for its own invocation only, and no process is its own parent.
"""

from __future__ import annotations

import os
import sys
import threading

from standpipe.spool.marks import Mark, read_mark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

PARENT_VARIABLE = "STANDPIPE_PARENT"
"""`<invocation>/<producer>/<process id>/<its start>`, of several invocations with commas between them."""
MOST_ENTRIES = 32
_lock = threading.RLock()


class OwnMark:
    """The mark of one producer of this process, from its opening to its end."""

    def __init__(self, invocation: str, producer: str, *, environment: Mapping[str, str]) -> None:
        self._entry = f"{invocation}/{producer}/{_identity()}"
        self._file: Mark | None = None
        if "multiprocessing.process" in sys.modules:
            name, text = _file_name(invocation, os.getpid()), f"{producer}/{_start('self')}"
            self._file = Mark(name, environment=environment, text=text)
        with _lock:
            entries = _entries(os.environ)
            if len(entries) < MOST_ENTRIES:
                os.environ[PARENT_VARIABLE] = ",".join([*entries, self._entry])

    def release(self) -> None:
        """The producer is closed: what this process starts from now on is not its child. Idempotent."""
        with _lock:
            entries = _entries(os.environ)
            if self._entry in entries:
                entries.remove(self._entry)
                if entries:
                    os.environ[PARENT_VARIABLE] = ",".join(entries)
                else:
                    del os.environ[PARENT_VARIABLE]
        if self._file is not None:
            self._file.release()

    def forget_in_child(self) -> None:
        """After a fork: the mark is the parent's. It stays in the environment, since this process is a child."""
        if self._file is not None:
            self._file.forget_in_child()


def find_parent(invocation: str, *, environment: Mapping[str, str]) -> str | None:
    """The producer of the nearest process above this one that has the invocation open; None where none is known."""
    own = _identity()
    for entry in reversed(_entries(environment)):
        of, _, rest = entry.partition("/")
        producer, _, identity = rest.partition("/")
        # Another producer of this very process, now or before an `exec`, is not above it.
        if of == invocation and producer and identity != own:
            return producer
    process = sys.modules.get("multiprocessing.process")
    parent = None if process is None else process.parent_process()
    if parent is None or parent.pid is None:
        return None
    producer, _, start = (read_mark(_file_name(invocation, parent.pid), environment=environment) or "").partition("/")
    # In another container that shares the data folder the same number may be another process's.
    return producer if producer and start == _start(str(parent.pid)) else None


def _entries(environment: Mapping[str, str]) -> list[str]:
    return [entry for entry in environment.get(PARENT_VARIABLE, "").split(",") if entry]


def _identity() -> str:
    """This process, distinct from later ones with its number."""
    return f"{os.getpid()}/{_start('self')}"


def _start(pid: str) -> str:
    """When a process started, in the kernel's ticks; empty where the kernel does not say."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  without pathlib
            # The name of the program, in parentheses, may hold anything.
            return file.read().rpartition(b")")[2].split()[19].decode()
    except (OSError, IndexError):
        return ""


def _file_name(invocation: str, pid: int) -> str:
    return f"{invocation}.{pid}"

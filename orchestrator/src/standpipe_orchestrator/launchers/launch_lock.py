"""A file that says whether a launched command, or the process that supervises it, still lives on this machine.

`<home>/launches/<invocation id>` is locked by the process that supervises the command. A detached command inherits the
lock: the kernel releases it when the last of them is gone, however they ended, and no process id can be taken for
another's. The file names the claims that were tried from this disk, so that a claim made elsewhere is never judged
here.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import IO, Literal, Self

from standpipe.orchestration import monotonic, sleep
from standpipe_orchestrator.reading.execution_errors import PipesLaunchError
from standpipe_orchestrator.sessions.pipes_session import PipesSession
from standpipe_protocol.bootstrap import HOME_VARIABLE

ACQUIRE_SECONDS = 2.0
"""A process that only looks holds the lock for a moment."""
_PAUSE_SECONDS = 0.02
_MOST_BYTES = 64 * 1024

Life = Literal["held", "free", "elsewhere"]


def lock_path(home: Path, invocation_id: str) -> Path:
    return home / "launches" / invocation_id


def open_log(path: Path) -> IO[bytes]:
    """Where a runner writes what it cannot report: beside its lock, and removed with it when it is empty."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return os.fdopen(os.open(_log_of(path), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")


def log_end(path: Path, *, limit: int = 2000) -> str:
    with contextlib.suppress(OSError):
        return _log_of(path).read_text(encoding="utf-8", errors="replace")[-limit:].strip()
    return ""


class LaunchLock:
    """A lock that is held until `release()` or the end of this process and of all that inherited it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path, *, seconds: float | None = None) -> Self | None:
        """The lock, or None where another process still has it after so many seconds.

        Raises:
            PipesLaunchError: nothing can be locked there, so no process has it.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        deadline = monotonic() + (ACQUIRE_SECONDS if seconds is None else seconds)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                locked = _try_lock(descriptor)
            except OSError as error:
                os.close(descriptor)
                raise PipesLaunchError(
                    f"The command was not started: its lock {str(path)!r} cannot be locked ({error}). Set "
                    f"{HOME_VARIABLE} to a folder on a disk of this machine."
                ) from error
            # The process that held it may have removed the file since it was opened here.
            if locked and _is(path, descriptor):
                return cls(path, descriptor)
            os.close(descriptor)
            if monotonic() >= deadline:
                return None
            sleep(_PAUSE_SECONDS)

    def note(self, claim: str) -> None:
        """Writes down a claim that is about to be made."""
        os.write(self.descriptor, claim.encode() + b"\n")

    def has_noted(self, claim: str) -> bool:
        """Whether the claim was tried from this disk."""
        os.lseek(self.descriptor, 0, os.SEEK_SET)
        return _names(self.descriptor, claim)

    def release(self, *, remove: bool = True) -> None:
        """Removes the file, unless the end of the work is still to be reported."""
        if remove:
            with contextlib.suppress(OSError):
                self.path.unlink()
                if not _log_of(self.path).stat().st_size:
                    _log_of(self.path).unlink()
        os.close(self.descriptor)


def claim_launch(session: PipesSession, lock: LaunchLock) -> bool:
    """Whether the work is this process's to launch; its claim is noted in the lock first."""
    claim = secrets.token_hex(16)
    lock.note(claim)
    facts = {"claim": claim, "host": socket.gethostname(), "pid": os.getpid(), "lock": str(lock.path)}
    return session.launch.claim(facts)


def life(path: Path, *, claim: str | None) -> Life:
    """What the lock says of the command that was launched under a claim, or of a launch that is under way.

    Args:
        claim: None while none is stored.

    Returns:
        `elsewhere` where nothing can be seen from here: the claim was made on another disk, its file is gone, or
        nothing can be locked there.
    """
    try:
        descriptor = os.open(path, os.O_RDWR)
    except OSError:
        return "elsewhere"
    try:
        if claim is not None and not _names(descriptor, claim):
            return "elsewhere"
        # The lock goes with the descriptor.
        return "free" if _try_lock(descriptor) else "held"
    except OSError:
        return "elsewhere"
    finally:
        os.close(descriptor)


def _names(descriptor: int, claim: str) -> bool:
    return claim.encode() in os.read(descriptor, _MOST_BYTES).split(b"\n")


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + ".log")


def _try_lock(descriptor: int) -> bool:
    """Raises:
    OSError: not every file system has locks, and the kernel may be out of them.
    """
    from filelock import lock_descriptor

    # On Windows a lock is not inherited. The broker's one claim still keeps the command from starting twice.
    return sys.platform == "win32" or lock_descriptor(descriptor, blocking=False)


def _is(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False

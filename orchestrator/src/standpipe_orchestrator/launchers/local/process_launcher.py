"""Commands as child processes, each in a process group of its own.

On POSIX signals go to the whole group, so that what a shell has started gets them too. On Windows the group is asked
with CTRL_BREAK_EVENT, which Python programs see as a KeyboardInterrupt-like end, and only the child itself is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from standpipe_orchestrator.launchers.arguments import no_such_folder, program_of
from standpipe_orchestrator.launchers.output_streams import PipeStream
from standpipe_orchestrator.launchers.protocol import (
    EndedJob,
    Job,
    JobDescription,
    JobEnd,
    OutputStream,
    StopReason,
    Work,
)
from standpipe_orchestrator.reading.execution_errors import PipesLaunchError
from standpipe_orchestrator.sessions.exit_status import wait_for_status

PLATFORM = "subprocess"


def local_environment(work: Work) -> dict[str, str]:
    """The environment of a command on this machine."""
    # Python writes to a pipe in blocks; what it prints should be seen when it prints it.
    return {"PYTHONUNBUFFERED": "1", **work.inherit(os.environ)}


@dataclass(frozen=True, kw_only=True)
class SubprocessLauncher:
    """Starts commands as children of this process.

    Attributes:
        environment: of the command, without the invocation's variables; `local_environment` when not given.
        cwd: the command's folder.
        hold_open: descriptors that the command, and what it starts, holds open too.
    """

    environment: Mapping[str, str] | None = field(default=None, repr=False)
    cwd: str | os.PathLike[str] | None = None
    hold_open: Sequence[int] = ()
    name: str = PLATFORM
    supervises: bool = False

    def launch(self, work: Work) -> Job:
        command = work.command
        environment = local_environment(work) if self.environment is None else self.environment
        try:
            process = subprocess.Popen(
                command if isinstance(command, str) else [os.fspath(word) for word in command],
                shell=isinstance(command, str),
                env={**environment, **work.bootstrap},
                cwd=None if self.cwd is None else Path(self.cwd),
                # In a group of its own the child may not read from the terminal: it would be stopped for it.
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                pass_fds=self.hold_open,
                process_group=None if sys.platform == "win32" else 0,
                creationflags=subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
            )
        except Exception as error:
            raise PipesLaunchError(self._why_not(work, error)) from error
        return ChildProcess(process)

    def take_up(self, work: Work, *, job_id: str | None) -> Job:
        return EndedJob(JobEnd(outcome="unknown", detail=_CHILD_OF_ANOTHER))

    def _why_not(self, work: Work, error: Exception) -> str:
        program = program_of(work.command)
        if self.cwd is not None and not Path(self.cwd).is_dir():
            return no_such_folder(work.command, os.fspath(self.cwd))
        match error:
            case FileNotFoundError():
                return f"The command {program!r} could not be started: there is no such program, or not on its PATH."
            case PermissionError():
                return f"The command {program!r} could not be started: it is not executable for this user."
            case _:
                return f"The command {program!r} could not be started: {error}."


class ChildProcess:
    """A command that this process has started."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._description = JobDescription(
            platform=PLATFORM, job_id=str(process.pid), node=socket.gethostname(), at=datetime.now(UTC)
        )
        self._ended = False

    def poll(self, wait: float) -> JobEnd:
        # Waits to the end: Popen's waiting with a time-out looks again and again, with pauses of up to 50 ms.
        exit_code = wait_for_status(self._process)
        self._ended = True
        if exit_code is None:
            return JobEnd(outcome="unknown", detail=_NO_STATUS)
        return JobEnd(exit_code=exit_code)

    def terminate(self, reason: StopReason) -> None:
        """Asks the group to end, as Ctrl-C does, or where the invocation was cancelled as a service manager does."""
        if self._ended:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform != "win32":
                os.killpg(self._process.pid, signal.SIGTERM if reason == "cancelled" else signal.SIGINT)
            elif reason == "cancelled":
                self._process.terminate()  # nothing can ask so
            else:
                self._process.send_signal(signal.CTRL_BREAK_EVENT)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform != "win32":
                os.killpg(self._process.pid, signal.SIGKILL)
            elif not self._ended:
                self._process.kill()

    def output(self) -> Sequence[OutputStream]:
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None  # noqa: S101, PT018  asked for when it was started
        return (PipeStream("stdout", stdout), PipeStream("stderr", stderr))

    def describe(self) -> JobDescription:
        return self._description

    def close(self) -> None:
        """Nothing is left of a child that was waited for."""


_CHILD_OF_ANOTHER = "The command was a child of a process that is gone, so how it ended cannot be learned."
_NO_STATUS = (
    "The command has ended, and its exit status is not known: other code in the process that launched it has taken it. "
    "Does that process wait for all of its children, or ignore SIGCHLD?"
)

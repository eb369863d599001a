"""A test double of a platform: its jobs are processes of this machine, and what the platform does is said in advance.

A job is a folder named after its invocation, so any process that has the folder takes the job up. The invariant: of
several wrappers of one job, the first one to create `pid` runs the command.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from standpipe.orchestration import monotonic, sleep
from standpipe_orchestrator.launchers.output_streams import FileStream
from standpipe_orchestrator.launchers.protocol import (
    JobDescription,
    JobEnd,
    OutputStream,
    StopReason,
    Work,
)
from standpipe_orchestrator.reading.execution_errors import PipesLaunchError

_START_SECONDS = 30.0
_WRAPPER = """
set -C
echo $$ > pid || exit 0
set +C
trap : TERM INT
"$@" > stdout 2> stderr
echo $? > exit.part
mv exit.part exit
"""


@dataclass(slots=True, kw_only=True)
class SimulatedPlatform:
    """A launcher on a platform that is simulated.

    Attributes:
        folder: where the platform has its jobs.
        queued_polls: so many polls a job is `queued` before it is `running`.
        failing_polls: so many polls fail, as where a platform is out of reach.
        lost_answer: whether the launch of a job raises after the job was started.
        end: said of every job that ended, in the place of its exit code.
        calls: what was called, for assertions.
        processes: the jobs' that this process has started.
    """

    folder: Path
    queued_polls: int = 0
    failing_polls: int = 0
    lost_answer: bool = False
    end: JobEnd | None = None
    calls: list[str] = field(default_factory=list[str])
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict[str, "subprocess.Popen[bytes]"])
    name: str = "simulated"
    supervises: bool = False

    def launch(self, work: Work) -> SimulatedJob:
        self.calls.append("launch")
        words = [work.command] if isinstance(work.command, str) else [os.fspath(word) for word in work.command]
        if not isinstance(work.command, str) and shutil.which(words[0]) is None:
            raise PipesLaunchError(f"The platform has no program {words[0]!r}.")
        job = SimulatedJob(self, self.folder / work.invocation_id)
        job.folder.mkdir(parents=True, exist_ok=True)
        self.processes[work.invocation_id] = subprocess.Popen(
            ["/bin/sh", "-c", _WRAPPER, "sh", *(["/bin/sh", "-c"] if isinstance(work.command, str) else []), *words],
            env=work.inherit(os.environ),
            cwd=job.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        job.wait_for_start()
        if self.lost_answer:
            self.lost_answer = False
            raise ConnectionError("the platform's answer was lost")
        return job

    def take_up(self, work: Work, *, job_id: str | None) -> SimulatedJob | None:
        self.calls.append("take_up")
        job = SimulatedJob(self, self.folder / work.invocation_id)
        return None if job.pid is None else job


class SimulatedJob:
    """A job of the platform, started by this process or by an earlier one."""

    def __init__(self, platform: SimulatedPlatform, folder: Path) -> None:
        self.folder = folder
        self._platform = platform
        self._polls = 0

    @property
    def _process(self) -> subprocess.Popen[bytes] | None:
        return self._platform.processes.get(self.folder.name)

    @property
    def pid(self) -> int | None:
        """Of the wrapper, which leads the job's process group; None until it has started."""
        text = _text(self.folder / "pid")
        return int(text) if text.endswith("\n") else None

    def wait_for_start(self) -> None:
        deadline = monotonic() + _START_SECONDS
        while self.pid is None:
            if monotonic() >= deadline:
                raise PipesLaunchError(f"The job in {self.folder} has not started within {_START_SECONDS:g} s.")
            sleep(0.01)

    def poll(self, wait: float) -> JobEnd | None:
        self._polls += 1
        if self._platform.failing_polls > 0:
            self._platform.failing_polls -= 1
            raise ConnectionError("the platform is out of reach")
        runs = self._runs()
        text = _text(self.folder / "exit")
        if text.endswith("\n"):
            code = int(text)
            # A shell says 128 and more of a signal.
            return self._platform.end or JobEnd(exit_code=128 - code if code > 128 else code)
        return None if runs else JobEnd(outcome="unknown", detail="The job is gone and has left no exit code.")

    def terminate(self, reason: StopReason) -> None:
        self._platform.calls.append(f"terminate: {reason}")
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        self._platform.calls.append("kill")
        if not _text(self.folder / "exit"):
            self._signal(signal.SIGKILL)

    def output(self) -> Sequence[OutputStream]:
        ended = self._has_ended
        return tuple(FileStream(name, self.folder / name, ended=ended) for name in ("stdout", "stderr"))

    def describe(self) -> JobDescription:
        queued = self._polls < self._platform.queued_polls
        began = datetime.fromtimestamp((self.folder / "pid").stat().st_mtime, UTC)
        return JobDescription(
            state="queued" if queued else "running",
            platform=self._platform.name,
            job_id=self.folder.name,
            node=None if queued else socket.gethostname(),
            image="simulated:1",
            at=None if queued else began,
        )

    def close(self) -> None:
        self._platform.calls.append("close")
        if (process := self._process) is not None:
            process.wait(_START_SECONDS)

    def _has_ended(self) -> bool:
        return bool(_text(self.folder / "exit")) or not self._runs()

    def _runs(self) -> bool:
        if (process := self._process) is not None:
            return process.poll() is None
        try:
            os.kill(self.pid or 0, 0)
        except ProcessLookupError:
            return False
        return True

    def _signal(self, number: int) -> None:
        pid = self.pid
        if pid is not None and self._runs():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, number)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""

"""A command that outlives the orchestrator: a runner supervises it, and this side sees to it that there is one.

The invariant: nothing is decided here that a process which was killed could have decided otherwise: whether to launch
follows from the broker's stored claim, whether the command lives from its lock, what it reported from its events.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from standpipe.orchestration import spool_path
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.discovery import default_client
from standpipe_orchestrator.client.launch_claims import EARLY_EVENTS, launch_facts
from standpipe_orchestrator.launchers.launch_lock import life, lock_path, log_end, open_log
from standpipe_orchestrator.launchers.local.process_launcher import PLATFORM, local_environment
from standpipe_orchestrator.launchers.local.runner import Instructions
from standpipe_orchestrator.launchers.protocol import Job, JobDescription, JobEnd, OutputStream, StopReason, Work
from standpipe_orchestrator.launchers.supervision import LEAVE_SECONDS, Settings
from standpipe_orchestrator.reading.execution_errors import PipesLaunchError
from standpipe_protocol.bootstrap import HOME_VARIABLE, SPOOL_FOLDER_VARIABLE, home_path
from standpipe_protocol.home import standpipe_home
from standpipe_protocol.json_text import JsonValue

Standing: TypeAlias = Literal["held", "elsewhere", "gone", "unclaimed"]
"""Of a command: it lives here; it was launched where it cannot be seen; it is dead; its launch is not claimed yet."""

RUNNERS = 3
"""So many are started for one command, when they die before they have claimed its launch."""


@dataclass(frozen=True, kw_only=True)
class DetachedLauncher:
    """Starts commands that outlive this process.

    Attributes:
        client: the broker; this process's own when not given.
    """

    cwd: str | os.PathLike[str] | None
    settings: Settings
    lease_seconds: float | None
    client: BrokerClient | None
    name: str = PLATFORM
    supervises: bool = True

    def launch(self, work: Work) -> Job:
        job = DetachedJob(self, work)
        job.start_runner()
        return job

    def take_up(self, work: Work, *, job_id: str | None) -> Job | None:
        job = DetachedJob(self, work)
        return None if job.look() == "unclaimed" else job

    @property
    def broker(self) -> BrokerClient:
        return default_client() if self.client is None else self.client

    def start_runner(self, work: Work, *, lock: Path) -> subprocess.Popen[bytes]:
        """Starts a process that claims the launch and runs the command.

        Raises:
            PipesLaunchError: it could not be started.
        """
        broker = self.broker
        instructions = Instructions(
            invocation=work.invocation_id,
            url=broker.url,
            api_key=broker.api_key,
            bootstrap=work.bootstrap,
            lock=str(lock),
            command=work.command,
            env=local_environment(work),
            cwd=None if self.cwd is None else os.fspath(self.cwd),
            lease_seconds=self.lease_seconds,
            # This side forwards the output, and asks the runner to end the command.
            settings=replace(self.settings, forward_stdio=False, forward_termination=True),
        )
        text = instructions.to_text()
        try:
            with open_log(lock) as log:
                runner = subprocess.Popen(
                    # -P: what lies in the folder of the command must not shadow a module.
                    [sys.executable, "-P", "-m", "standpipe_orchestrator.launchers.local.runner"],
                    stdin=subprocess.PIPE,
                    stdout=log,
                    stderr=log,
                    # What is relative in it lies below the folder in which this process first asked, not this one.
                    env={
                        **os.environ,
                        HOME_VARIABLE: home_path(os.environ),
                        SPOOL_FOLDER_VARIABLE: spool_path(os.environ),
                    },
                    # Neither Ctrl-C in the terminal nor what ends this process's group is for it.
                    start_new_session=True,
                )
        except OSError as error:
            raise PipesLaunchError(f"The process that runs the command could not be started: {error}.") from error
        assert runner.stdin is not None  # noqa: S101  asked for above
        with contextlib.suppress(BrokenPipeError), runner.stdin as stdin:
            stdin.write(text.encode())
        return runner


class DetachedJob:
    """A command that a runner supervises, started by this process or by an earlier one."""

    def __init__(self, launcher: DetachedLauncher, work: Work) -> None:
        self._launcher = launcher
        self._work = work
        self._lock = lock_path(standpipe_home(os.environ).absolute(), work.invocation_id)
        self._runner: subprocess.Popen[bytes] | None = None
        self._started = 0
        self._claim: Mapping[str, JsonValue] | None = None

    def start_runner(self) -> None:
        self._runner = self._launcher.start_runner(self._work, lock=self._lock)
        self._started += 1

    def poll(self, wait: float) -> JobEnd | None:
        if self._runner is not None and self._runner.poll() is None:
            return None
        match self.look():
            case "held":
                return None
            case "elsewhere":
                return JobEnd()  # nothing can be seen of it from here
            case "gone":
                return JobEnd(outcome="unknown", detail=_GONE)
            case "unclaimed" if self._started < RUNNERS:
                self.start_runner()
                return None
            case "unclaimed":
                detail = f"{RUNNERS} processes that were to run the command ended at once. {log_end(self._lock)}"
                return JobEnd(outcome="not-launched", detail=detail)

    def look(self) -> Standing:
        facts = self._claim_facts()
        if facts is None:
            return "held" if life(self._lock, claim=None) == "held" else "unclaimed"
        claim, lock = facts.get("claim"), facts.get("lock")
        if not isinstance(claim, str) or not isinstance(lock, str):
            return "elsewhere"
        state = life(Path(lock), claim=claim)
        return "gone" if state == "free" else state

    def terminate(self, reason: StopReason) -> None:
        if self._runner is not None:
            self._runner.terminate()

    def kill(self) -> None:
        """Asks the runner, which kills the command after its time."""
        self.terminate("interrupted")

    def output(self) -> Sequence[OutputStream]:
        return ()

    def describe(self) -> JobDescription:
        return JobDescription(platform=PLATFORM)

    def close(self) -> None:
        runner = self._runner
        if runner is None:
            return
        # Once the invocation has ended a runner has nothing left to do. One that stays is meant to.
        with contextlib.suppress(subprocess.TimeoutExpired):
            runner.wait(LEAVE_SECONDS)
        runner.returncode = 0 if runner.returncode is None else runner.returncode

    def _claim_facts(self) -> Mapping[str, JsonValue] | None:
        if self._claim is None:
            events = self._launcher.broker.events
            page = events.read(self._work.invocation_id, methods=["log"], limit=EARLY_EVENTS)
            self._claim = launch_facts(page.items)
        return self._claim


_GONE = (
    "The command and the process that ran it are gone from their machine without a word of how they ended: killed, "
    "or the machine was restarted."
)

"""What a launcher is: it starts a command on one platform and follows it there. It knows nothing of the broker.

A launcher is a `Launcher`, and what it has started is a `Job`. Common to all, and above them, are the invocation,
claims, time-outs, cancels, captured output and the verdict. `standpipe_orchestrator.testing` tries a launcher. The
invariant: a launcher starts at most one job for an invocation, also when the process that asked was killed and asks
again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Protocol, TypeAlias

from standpipe_orchestrator.client.invocation_operations import LaunchState
from standpipe_orchestrator.sessions.child_environment import child_environment
from standpipe_protocol.process_end import Attempt, Cause, Outcome

Command: TypeAlias = "str | Sequence[str | os.PathLike[str]]"
"""The words of a command, or one text for the shell."""
StopReason: TypeAlias = Literal["cancelled", "interrupted", "timeout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What a launcher is to start.

    Attributes:
        invocation_id: a good name for the job, since `take_up` finds it again by that name.
        command: what to run.
        env: the variables that the caller asked for.
        bootstrap: the three variables by which the work reports; the token among them is a secret.
    """

    invocation_id: str
    command: Command
    env: Mapping[str, str] = field(repr=False)
    bootstrap: Mapping[str, str] = field(repr=False)

    @property
    def variables(self) -> dict[str, str]:
        """All variables that the work needs beside those of its platform."""
        return {**self.env, **self.bootstrap}

    def inherit(self, environment: Mapping[str, str]) -> dict[str, str]:
        """The variables for a process on this machine, which inherits an environment without its secrets."""
        return {**child_environment(environment, self.env), **self.bootstrap}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobEnd:
    """How a job ended, in the words of its platform. Without any of them nothing can be seen of the job from here.

    Attributes:
        exit_code: negative for a signal, where the platform says so.
        outcome: where no exit code says it: "unknown" when nothing says how it ended.
        cause: why the platform ended it, such as `Cause(code="out-of-memory", detail="OOMKilled")`.
        detail: a sentence for people, where there is something to explain.
    """

    exit_code: int | None = None
    outcome: Outcome | None = None
    cause: Cause | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDescription:
    """Where a job is, as the platform shows it.

    Attributes:
        at: when it came to this state; now when not given.
        url: the job's own page on its platform.
        attempt: its number, where the platform starts jobs again.
    """

    state: LaunchState = "running"
    platform: str | None = None
    job_id: str | None = None
    node: str | None = None
    image: str | None = None
    url: str | None = None
    attempt: Attempt | None = None
    at: datetime | None = None


class OutputStream(Protocol):
    """One stream of a job's output, from its first byte; a thread reads it until its end."""

    @property
    def name(self) -> str:
        """ "stdout" or "stderr"."""
        ...

    def read(self, wait: float | None) -> bytes | None:
        """The next bytes, b"" at the end, or None when none came within `wait` seconds. It may return None earlier."""
        ...

    def close(self) -> None: ...


class Job(Protocol):
    """Something that was started. One thread calls `poll` and `describe`; the others may be called from any thread."""

    def poll(self, wait: float) -> JobEnd | None:
        """How it ended, or None while it runs.

        Args:
            wait: seconds that it may wait for the end. A launcher that cannot wait answers at once. One that surely
                hears of the end may wait for longer.
        """
        ...

    def terminate(self, reason: StopReason) -> None:
        """Asks it to end. What has ended already is left alone."""
        ...

    def kill(self) -> None:
        """Ends it at once, with all that it started."""
        ...

    def output(self) -> Sequence[OutputStream]:
        """Its output from the beginning, also when it was taken up; empty where the work captures its own."""
        ...

    def describe(self) -> JobDescription:
        """Where it is, as far as `poll` has learned; asks the platform nothing."""
        ...

    def close(self) -> None:
        """Removes what the platform keeps of a job that has ended. Called once its end is stored, or it is left."""
        ...


class Launcher(Protocol):
    """A way to run commands on one platform."""

    @property
    def name(self) -> str:
        """Of the launcher, as the history shows it."""
        ...

    @property
    def supervises(self) -> bool:
        """Whether the job itself captures output, keeps to time-outs, heeds cancels and finishes the invocation."""
        ...

    def launch(self, work: Work) -> Job:
        """Starts the work, once. Called on a thread of its own, so that no signal handler interrupts it.

        Raises:
            PipesLaunchError: it could not be started and does not run; the message is a sentence for people.
            Exception: any other says that too.
        """
        ...

    def take_up(self, work: Work, *, job_id: str | None) -> Job | None:
        """The job that an earlier process started for the same invocation, running or ended.

        Args:
            job_id: as `describe` gave it then; None where that process was killed before it was stored.

        Returns:
            None only where the platform would know of such a job: there never was one, and it may be launched now.
            Where the platform forgets jobs, an `EndedJob` whose outcome is "unknown".
        """
        ...


class EndedJob:
    """A job of which only the end is known."""

    def __init__(self, end: JobEnd, *, description: JobDescription | None = None) -> None:
        self._end = end
        self._description = description or JobDescription()

    def poll(self, wait: float) -> JobEnd:
        return self._end

    def terminate(self, reason: StopReason) -> None:
        """It has ended."""

    def kill(self) -> None:
        """It has ended."""

    def output(self) -> Sequence[OutputStream]:
        return ()

    def describe(self) -> JobDescription:
        return self._description

    def close(self) -> None:
        """Nothing is left of it."""

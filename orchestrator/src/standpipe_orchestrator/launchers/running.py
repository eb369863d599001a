"""Work while it runs: an iterator over its results, and the finished invocation afterwards.

The invariant: afterwards the work has ended and the broker knows how, also where it was cancelled, took too long or
could not start, and where the user interrupted it or stopped iterating.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import PipesMode, require_pipes_mode
from standpipe_orchestrator.client.launch_claims import require_key
from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.launchers.arguments import require_command, require_seconds
from standpipe_orchestrator.launchers.finish_report import FinishReport
from standpipe_orchestrator.launchers.protocol import Command, Launcher, Work
from standpipe_orchestrator.launchers.supervision import Settings, Supervision
from standpipe_orchestrator.reading.completed_invocation import PipesClientCompletedInvocation
from standpipe_orchestrator.reading.execution_errors import (
    PipesExecutionError,
    PipesLaunchError,
    PipesResultsIncomplete,
    execution_error,
)
from standpipe_orchestrator.sessions.opening import open_pipes_session
from standpipe_orchestrator.sessions.pipes_session import PipesSession
from standpipe_orchestrator.sessions.run_context import RunContext, require_context
from standpipe_orchestrator.values.results import PipesResult
from standpipe_protocol.invocation import Expected


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """Everything about one run of a command.

    Raises:
        TypeError, ValueError: an argument is wrong; nothing was registered.
    """

    launcher: Launcher
    command: Command
    env: Mapping[str, str] = field(repr=False)
    settings: Settings
    context: RunContext = None
    extras: Mapping[str, object] | None = None
    expected: Expected | Mapping[str, object] | None = None
    tags: Mapping[str, str] | None = None
    retry_of: str | None = None
    lease_seconds: float | None = None
    key: str | None = None
    pipes: PipesMode = "required"
    client: BrokerClient | None = None

    def __post_init__(self) -> None:
        require_command(self.command)
        require_context(self.context)
        require_seconds("lease_seconds", self.lease_seconds)
        require_pipes_mode(self.pipes)
        if self.key is not None:
            require_key(self.key)

    def open_session(self) -> AbstractContextManager[PipesSession]:
        """Registers the invocation, or takes up the one of the key."""
        return open_pipes_session(
            self.context,
            self.extras,
            client=self.client,
            expected=self.expected,
            tags=self.tags,
            launcher={"name": self.launcher.name, "command": _words(self.command)},
            retry_of=self.retry_of,
            lease_seconds=self.lease_seconds,
            pipes=self.pipes,
            key=self.key,
            forward_stdio=self.settings.forward_stdio,
            require_success=False,
        )


class RunningWork:
    """An iterator over the results of launched work, as they are reported; it can be gone through once.

    Args:
        session: opens the invocation; the request's own way when not given.

    Attributes:
        session: the session, once the iteration has begun.
    """

    def __init__(self, request: RunRequest, *, session: AbstractContextManager[PipesSession] | None = None) -> None:
        self._request = request
        self._opening = session
        self._results = self._run()
        self._completed: PipesClientCompletedInvocation | None = None
        self.session: PipesSession | None = None
        self._supervision: Supervision | None = None

    @property
    def completed(self) -> PipesClientCompletedInvocation:
        """The finished invocation.

        Raises:
            RuntimeError: the iteration is not over.
        """
        if self._completed is None:
            raise RuntimeError("The command has not ended: go through its results first, `completed` comes after them.")
        return self._completed

    def to_end(self) -> PipesClientCompletedInvocation:
        """Goes through all results; what `run` of a client answers and raises."""
        with self:
            for _ in self:
                pass
        return self.completed

    def close(self) -> None:
        """Ends the work when it still runs."""
        self._results.close()

    def __iter__(self) -> Iterator[PipesResult]:
        return self._results

    def __next__(self) -> PipesResult:
        return next(self._results)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def _report(self) -> FinishReport:
        return FinishReport() if self._supervision is None else self._supervision.report

    def _run(self) -> Generator[PipesResult]:
        request = self._request
        try:
            with self._opening or request.open_session() as session:
                self.session = session
                work = Work(
                    invocation_id=session.invocation_id,
                    command=_words(request.command),
                    env=request.env,
                    bootstrap=session.get_bootstrap_env_vars(),
                )
                self._supervision = Supervision(session, request.launcher, work, request.settings)
                yield from self._supervision.supervise()
            yield from session.stream_results()
        except PipesResultsIncomplete as error:
            self._completed = error.completed
            if self.session is None or error.completed is None:
                raise
            yield from self.session.stream_results()
            because = "; ".join(part for part in (self._report.because, self.session.reading.trouble) if part)
            raise self._error(error.completed, because=because, kind=PipesResultsIncomplete) from None
        except (BrokerError, TimeoutError) as error:
            if self.session is None:
                raise
            ended = self._report.because or f"The command ended with exit code {self._report.exit_code}"
            because = f"{ended}, and how its invocation ended could not be learned: {error}"
            raise self._error(self.session.completed(), because=because) from error
        self._completed = session.completed()
        if session.invocation.verdict != "succeeded":
            kind = PipesLaunchError if self._report.outcome == "not-launched" else PipesExecutionError
            raise self._error(self._completed, because=self._report.because, kind=kind)

    def _error(
        self,
        completed: PipesClientCompletedInvocation,
        *,
        because: str | None,
        kind: type[PipesExecutionError] = PipesExecutionError,
    ) -> PipesExecutionError:
        return execution_error(
            completed,
            exit_code=self._report.exit_code,
            stderr_tail=self._report.stderr_tail,
            because=because,
            kind=kind,
        )


def _words(command: Command) -> str | list[str]:
    return command if isinstance(command, str) else [os.fspath(word) for word in command]


RunningSubprocess = RunningWork
"""The former name."""

"""One command while it runs: an iterator over its results, and the finished invocation afterwards.

Whatever happens (the command ends, is cancelled, takes too long, cannot start; the user interrupts, or stops iterating)
the command is gone afterwards and the broker has been told what was seen.
"""

from __future__ import annotations

import os
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import PipesMode
from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.launchers.arguments import no_such_folder, program_of
from standpipe_orchestrator.launchers.beside import Beside
from standpipe_orchestrator.launchers.capture import StreamCapture
from standpipe_orchestrator.launchers.child import Child, Command
from standpipe_orchestrator.launchers.endings import Seen, Stop, describe_end
from standpipe_orchestrator.reading.completed_invocation import PipesClientCompletedInvocation
from standpipe_orchestrator.reading.execution_errors import (
    PipesExecutionError,
    PipesLaunchError,
    PipesResultsIncomplete,
    execution_error,
)
from standpipe_orchestrator.sessions.opening import is_interrupt, open_pipes_session
from standpipe_orchestrator.sessions.pipes_session import PipesSession
from standpipe_orchestrator.sessions.run_context import RunContext, logger_of
from standpipe_orchestrator.values.results import PipesResult
from standpipe_protocol.invocation import Expected
from standpipe_protocol.json_text import JsonValue

OUTPUT_SECONDS = 5.0
"""How long output is waited for after the end: what the command started may hold its streams open for ever."""
REASON_CHARACTERS = 4096

LOOK_SECONDS = 1.0
"""Windows delivers Ctrl-C only between two waits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """Everything about one launch."""

    context: RunContext
    command: Command
    extras: Mapping[str, object] | None
    env: Mapping[str, str] = field(repr=False)
    cwd: str | os.PathLike[str] | None
    expected: Expected | Mapping[str, object] | None
    tags: Mapping[str, str] | None
    retry_of: str | None
    lease_seconds: float | None
    key: str | None
    pipes: PipesMode
    timeout: float | None
    client: BrokerClient | None
    forward_termination: bool
    forward_stdio: bool
    termination_timeout_seconds: float
    cancel_grace_seconds: float


class RunningSubprocess:
    """An iterator over the results of a command, as they are reported; it can be gone through once.

    Attributes:
        session: the session, once the iteration has begun.
    """

    def __init__(self, launch: Launch) -> None:
        self._launch = launch
        self._results = self._run()
        self._completed: PipesClientCompletedInvocation | None = None
        self.session: PipesSession | None = None

    @property
    def completed(self) -> PipesClientCompletedInvocation:
        """The finished invocation.

        Raises:
            RuntimeError: the iteration is not over.
        """
        if self._completed is None:
            raise RuntimeError("The command has not ended: go through its results first, `completed` comes after them.")
        return self._completed

    def close(self) -> None:
        """Ends the command when it still runs."""
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

    def _run(self) -> Generator[PipesResult]:
        seen = Seen()
        try:
            with self._open() as session:
                self.session = session
                seen = yield from self._supervise(session)
                self._finish(session, seen)
            yield from session.stream_results()
        except PipesResultsIncomplete as error:
            self._completed = error.completed
            if self.session is None or error.completed is None:
                raise
            yield from self.session.stream_results()
            raise execution_error(
                error.completed,
                exit_code=seen.exit_code,
                stderr_tail=seen.stderr_tail,
                because="; ".join(part for part in (seen.because, self.session.trouble) if part),
                kind=PipesResultsIncomplete,
            ) from None
        except (BrokerError, TimeoutError) as error:
            if self.session is None:
                raise
            ended = f"The command ended with exit code {seen.exit_code}" if seen.because is None else seen.because
            raise execution_error(
                self.session.completed(),
                exit_code=seen.exit_code,
                stderr_tail=seen.stderr_tail,
                because=f"{ended}, and how its invocation ended could not be learned: {error}",
            ) from error
        self._completed = session.completed()
        if session.invocation.verdict != "succeeded":
            raise execution_error(
                self._completed,
                exit_code=seen.exit_code,
                stderr_tail=seen.stderr_tail,
                because=seen.because,
                kind=PipesLaunchError if seen.outcome == "not-launched" else PipesExecutionError,
            )

    def _open(self) -> AbstractContextManager[PipesSession]:
        launch = self._launch
        return open_pipes_session(
            launch.context,
            launch.extras,
            client=launch.client,
            expected=launch.expected,
            tags=launch.tags,
            launcher={"name": "subprocess", "command": _shown(launch.command)},
            retry_of=launch.retry_of,
            lease_seconds=launch.lease_seconds,
            pipes=launch.pipes,
            key=launch.key,
            forward_stdio=launch.forward_stdio,
            require_success=False,
        )

    def _finish(self, session: PipesSession, seen: Seen) -> None:
        session.finish(
            exit_code=seen.exit_code, reason=seen.reason(REASON_CHARACTERS), outcome=seen.outcome, cause=seen.cause
        )

    def _keep_open(self) -> tuple[int, ...]:
        """Descriptors that the command holds open beside its streams."""
        return ()

    def _supervise(self, session: PipesSession) -> Generator[PipesResult, None, Seen]:
        """Starts the command, gives its results, and returns how it ended; it is gone when this returns or raises."""
        launch = self._launch
        captures: list[StreamCapture] = []

        def capture(started: Child) -> None:
            for pipe, stream in ((started.stdout, "stdout"), (started.stderr, "stderr")):
                captures.append(StreamCapture(pipe, stream=stream, report=session.report, forward=launch.forward_stdio))

        child = Child(
            launch.command,
            env={**launch.env, **session.get_bootstrap_env_vars()},
            cwd=launch.cwd,
            on_start=capture,
            on_exit=session.wake,
            keep_open=self._keep_open(),
        )
        stop: Stop | None = None
        try:
            try:
                child.start()
            except Exception as error:
                return self._not_started(child, captures, error)
            with Beside(session) as beside:
                beside.start(pid=child.pid, started_at=child.started_at)
                stop = yield from self._until_over(session, child)
        except BaseException as error:
            self._after_exception(session, child, error)
            because, cancelled = f"The orchestrator was stopped by {type(error).__name__}.", is_interrupt(error)
            stop = Stop(because, outcome="cancelled") if cancelled else Stop(because, code="platform-error")
            self._tell_stopped(session, self._seen(child, captures, stop), cancelled=cancelled)
            raise
        return self._seen(child, captures, stop)

    def _not_started(self, child: Child, captures: list[StreamCapture], error: Exception) -> Seen:
        if not child.started:
            return Seen(because=_why_not(self._launch, error), outcome="not-launched")
        # It runs, and what reads its output does not, so nothing that it prints would be known.
        child.end(grace_seconds=self._launch.termination_timeout_seconds)
        for pipe in (child.stdout, child.stderr)[len(captures) :]:
            pipe.close()
        return self._seen(child, captures, Stop(str(error), code="platform-error"))

    def _until_over(self, session: PipesSession, child: Child) -> Generator[PipesResult, None, Stop | None]:
        """Gives results until the command has ended, by itself or because it had to; then the answer says why."""
        launch = self._launch
        deadline = None if launch.timeout is None else time.monotonic() + launch.timeout
        terminate_at: float | None = None

        def over() -> bool:
            return child.ended or (terminate_at is None and session.cancel_requested.is_set())

        while True:
            moments = [moment for moment in (deadline, terminate_at) if moment is not None]
            left = min([LOOK_SECONDS, *(max(moment - time.monotonic(), 0.0) for moment in moments)])
            yield from session.stream_results(wait=left, implicit_materializations=False, or_until=over)
            if child.ended:
                because = "The command ended by itself after its cancel was requested."
                return None if terminate_at is None else Stop(because, outcome="cancelled")
            now = time.monotonic()
            if terminate_at is None and session.cancel_requested.is_set():
                # Only what has opened hears of it, and may finish what it is at.
                terminate_at = now + (launch.cancel_grace_seconds if session.opened.is_set() else 0.0)
            if terminate_at is not None and now >= terminate_at:
                child.end(grace_seconds=launch.termination_timeout_seconds, ask=child.terminate)
                return Stop("The command was ended because its invocation was cancelled.", outcome="cancelled")
            if deadline is not None and now >= deadline:
                child.end(grace_seconds=launch.termination_timeout_seconds)
                return Stop(f"The command was ended because it took longer than {launch.timeout:g} s.", code="timeout")

    def _after_exception(self, session: PipesSession, child: Child, error: BaseException) -> None:
        launch = self._launch
        try:
            if isinstance(error, KeyboardInterrupt) and not launch.forward_termination and child.started:
                # Upstream waits for it too; what was only about to start is ended.
                child.wait()
                return
            if child.started and not child.ended:
                logger_of(session.context).info("[pipes] execution interrupted, sending SIGINT to subprocess.")
            child.end(grace_seconds=launch.termination_timeout_seconds)
        except BaseException:
            # A second Ctrl-C leaves, and takes the command along.
            child.kill()
            raise

    def _tell_stopped(self, session: PipesSession, seen: Seen, *, cancelled: bool) -> None:
        try:
            if cancelled:
                session.cancel()
            self._finish(session, seen)
        except BrokerError as error:
            logger_of(session.context).warning("[pipes] the broker could not be told of the interruption: %s", error)

    def _seen(self, child: Child, captures: list[StreamCapture], stop: Stop | None) -> Seen:
        deadline = time.monotonic() + OUTPUT_SECONDS
        for capture in captures:
            if not capture.join(max(deadline - time.monotonic(), 0.0)):
                logger_of(self._launch.context).warning(
                    "[pipes] the command has ended, but something it started still holds its output open; what that "
                    "writes from now on is not captured."
                )
                capture.abandon()
        # Without a second one there was no thread left to read it.
        tail = captures[1].tail() if len(captures) > 1 else ""
        return describe_end(child, stop=stop, stderr_tail=tail)


def _why_not(launch: Launch, error: Exception) -> str:
    program = program_of(launch.command)
    if launch.cwd is not None and not Path(launch.cwd).is_dir():
        return no_such_folder(launch.command, os.fspath(launch.cwd))
    match error:
        case FileNotFoundError():
            return f"The command {program!r} could not be started: there is no such program, or not on its PATH."
        case PermissionError():
            return f"The command {program!r} could not be started: it is not executable for this user."
        case _:
            return f"The command {program!r} could not be started: {error}."


def _shown(command: Command) -> JsonValue:
    return command if isinstance(command, str) else [os.fspath(word) for word in command]

"""What is common to all launchers while work runs: results, time-outs, cancels, captured output, the finish, taking up.

`supervise` picks one of three ways. A job without a key is launched and supervised here. One with a key is launched
once: the process that has the launch lock claims the launch at the broker, or takes up what a process launched that is
gone. A job that supervises itself is only followed. The invariant: the job has ended when a way returns or raises, and
a broker that can be reached knows how, but for a job that another process supervises.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Literal

from standpipe.orchestration import monotonic
from standpipe_orchestrator.errors import BrokerError
from standpipe_orchestrator.launchers.arguments import program_of, require_seconds
from standpipe_orchestrator.launchers.capture import StreamCapture, reported_bytes
from standpipe_orchestrator.launchers.finish_report import FinishReport, Stop, finish_report
from standpipe_orchestrator.launchers.job_control import JobControl
from standpipe_orchestrator.launchers.job_thread import LAUNCH_SECONDS, JobThread
from standpipe_orchestrator.launchers.launch_lock import LaunchLock, claim_launch, lock_path
from standpipe_orchestrator.launchers.protocol import EndedJob, Job, JobEnd, Launcher, OutputStream, Work
from standpipe_orchestrator.reading.execution_errors import PipesLaunchError
from standpipe_orchestrator.sessions.opening import is_interrupt
from standpipe_orchestrator.sessions.pipes_session import PipesSession
from standpipe_orchestrator.sessions.run_context import logger_of
from standpipe_orchestrator.values.results import PipesResult
from standpipe_protocol.home import standpipe_home
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonObject

OUTPUT_SECONDS = 5.0
"""How long output is waited for after the end: what the work started may hold its streams open for ever."""
LOOK_SECONDS = 1.0
"""Windows delivers Ctrl-C only between two waits."""
CLAIMED_ELSEWHERE_SECONDS = 10.0
"""How long a job is looked for that another machine has claimed and may be about to launch."""
SHORTEST_LAUNCH_SECONDS = 30.0
"""Below the time-out of the work, if that is longer."""
LEAVE_SECONDS = 10.0
_LONGEST_BECAUSE = 2500


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How work of any launcher is supervised; see `PipesLauncherClient`."""

    timeout: float | None = None
    forward_termination: bool = True
    forward_stdio: bool = True
    termination_timeout_seconds: float = 20.0
    cancel_grace_seconds: float = 30.0

    def __post_init__(self) -> None:
        require_seconds("timeout", self.timeout)
        require_seconds("termination_timeout_seconds", self.termination_timeout_seconds, zero=True)
        require_seconds("cancel_grace_seconds", self.cancel_grace_seconds, zero=True)


@dataclass(slots=True)
class Supervision:
    """One launch under way.

    Attributes:
        report: how the work ended, as far as is known.
    """

    session: PipesSession
    launcher: Launcher
    work: Work
    settings: Settings
    report: FinishReport = field(default_factory=FinishReport)

    def supervise(self) -> Generator[PipesResult]:
        """Launches the work, or takes it up; gives its results while it runs, and finishes its invocation."""
        if self.launcher.supervises:
            yield from self._follow()
        elif self.session.key is None:
            yield from self._run(self._launch, captured=None)
        else:
            yield from self._run_once()

    # Work that is supervised here.

    def _run(self, launch: Callable[[], Job], *, captured: dict[str, int] | None) -> Generator[PipesResult]:
        """Supervises a job to its end.

        Args:
            captured: how many bytes of each stream were captured before; None where no process can take it up.
        """
        session, captures = self.session, list[StreamCapture]()
        streams: Sequence[OutputStream] = ()

        def capture(job: Job) -> None:
            nonlocal streams
            streams = job.output()
            for stream in streams:
                after = None if captured is None else captured.get(stream.name, 0)
                forward = self.settings.forward_stdio
                captures.append(StreamCapture(stream, report=session.launch.report, forward=forward, after=after))

        def note_change() -> None:
            session.reading.wake()
            control.note_change()

        job = JobThread(launch, on_launch=capture, on_change=note_change)
        control = JobControl(session, job)
        stop: Stop | None = None
        try:
            try:
                job.start(seconds=self._launch_seconds())
            except Exception as error:
                if not job.launched:
                    job.kill()  # what a launch that has not come back starts now or later
                    if not job.launched:
                        self._finish(FinishReport(because=self._why_not_launched(error), outcome="not-launched"))
                        return
                # It was launched too late, or it runs and nothing reads its output.
                job.stop(grace_seconds=self.settings.termination_timeout_seconds, reason="interrupted")
                for stream in streams[len(captures) :]:
                    stream.close()
                stop = Stop(str(error), cause_code="platform-error")
            else:
                with control:
                    stop = yield from self._until_over(job, resumed=captured is not None)
        except BaseException as error:
            self._after_exception(job, error)
            because, cancelled = f"The orchestrator was stopped by {type(error).__name__}.", is_interrupt(error)
            stop = Stop(because, outcome="cancelled") if cancelled else Stop(because, cause_code="platform-error")
            reported = self._finish_stopped(self._ended(job, captures, stop), cancelled=cancelled)
            job.leave(close=job.ended and reported)
            raise
        self._finish(self._ended(job, captures, stop))
        # Where the end could not be reported the job stays on its platform, and may be taken up.
        job.leave(close=job.ended)

    def _until_over(self, job: JobThread, *, resumed: bool) -> Generator[PipesResult, None, Stop | None]:
        """Gives results until the job has ended, by itself or because it had to; then the answer says why."""
        session, settings = self.session, self.settings
        deadline = self._deadline(job, resumed=resumed)
        terminate_at: float | None = None

        def over() -> bool:
            return job.ended or (terminate_at is None and session.reading.cancel_requested.is_set())

        while True:
            moments = [moment for moment in (deadline, terminate_at) if moment is not None]
            left = min([LOOK_SECONDS, *(max(moment - monotonic(), 0.0) for moment in moments)])
            yield from session.stream_results(wait=left, implicit_materializations=False, or_until=over)
            if job.ended:
                because = "The command ended by itself after its cancel was requested."
                return None if terminate_at is None else Stop(because, outcome="cancelled")
            now = monotonic()
            if terminate_at is None and session.reading.cancel_requested.is_set():
                # Only what has opened learns of it, and may finish what it is at.
                terminate_at = now + (settings.cancel_grace_seconds if session.reading.opened.is_set() else 0.0)
            if terminate_at is not None and now >= terminate_at:
                job.stop(grace_seconds=settings.termination_timeout_seconds, reason="cancelled")
                return Stop("The command was ended because its invocation was cancelled.", outcome="cancelled")
            if deadline is not None and now >= deadline:
                job.stop(grace_seconds=settings.termination_timeout_seconds, reason="timeout")
                because = f"The command was ended because it took longer than {settings.timeout:g} s."
                return Stop(because, cause_code="timeout")

    def _launch_seconds(self) -> float:
        # A busy machine takes its time to start a process, which is none of the work's.
        return LAUNCH_SECONDS if self.settings.timeout is None else max(self.settings.timeout, SHORTEST_LAUNCH_SECONDS)

    def _deadline(self, job: JobThread, *, resumed: bool) -> float | None:
        if self.settings.timeout is None:
            return None
        began = None if job.description is None else job.description.at
        # The platform's clock is another one, so it counts only where an earlier process launched the job.
        passed = (datetime.now(UTC) - began).total_seconds() if resumed and began is not None else 0.0
        return monotonic() + self.settings.timeout - max(0.0, passed)

    def _after_exception(self, job: JobThread, error: BaseException) -> None:
        try:
            if isinstance(error, KeyboardInterrupt) and not self.settings.forward_termination and job.launched:
                # Upstream waits for it too; what was only about to start is ended.
                job.wait()
                return
            if job.launched and not job.ended:
                logger_of(self.session.context).info("[pipes] execution interrupted, the job is asked to end.")
            job.stop(grace_seconds=self.settings.termination_timeout_seconds, reason="interrupted")
        except BaseException:
            # A second Ctrl-C leaves, and takes the job along.
            job.kill()
            raise

    def _launch(self) -> Job:
        try:
            return self.launcher.launch(self.work)
        except PipesLaunchError:
            raise
        except Exception:
            # The platform may have started it before its answer was lost.
            job = self.launcher.take_up(self.work, job_id=None)
            if job is None:
                raise
            return job

    def _why_not_launched(self, error: Exception) -> str:
        if isinstance(error, PipesLaunchError):
            return str(error)
        return f"The command {program_of(self.work.command)!r} could not be launched: {error!r}."

    def _finish_stopped(self, report: FinishReport, *, cancelled: bool) -> bool:
        """Whether the end could be reported."""
        try:
            if cancelled:
                self.session.cancel()
            self._finish(report)
        except BrokerError as error:
            log = logger_of(self.session.context)
            log.warning("[pipes] the interruption could not be reported to the broker: %s", error)
            return False
        return True

    def _finish(self, report: FinishReport) -> None:
        self.report = report
        self.session.launch.finish(
            exit_code=report.exit_code, reason=report.reason, outcome=report.outcome, cause=report.cause
        )

    def _ended(self, job: JobThread, captures: Sequence[StreamCapture], stop: Stop | None) -> FinishReport:
        deadline = monotonic() + OUTPUT_SECONDS
        for capture in captures:
            if not capture.join(max(deadline - monotonic(), 0.0)):
                logger_of(self.session.context).warning(
                    "[pipes] the command has ended, but something it started still holds its output open; what that "
                    "writes from now on is not captured."
                )
                capture.abandon()
        tails = [capture.tail() for capture in captures if capture.name == "stderr"]
        return finish_report(job.end, stop=stop, stderr_tail="".join(tails))

    # Work of a key, which is launched once.

    def _run_once(self) -> Generator[PipesResult]:
        session, path = self.session, lock_path(standpipe_home(os.environ).absolute(), self.session.invocation_id)
        while not isinstance(lock := self._acquire(path), LaunchLock):
            # Another process supervises it; where that is one of this machine this one goes on when that is killed.
            try:
                yield from self._results_of_another()
            except BaseException as error:
                self._stop_following(None, error)
                raise
            if session.reading.over and self._is_over(lost=lock == "elsewhere"):
                self.report = self._learned()
                return
        try:
            if self._is_over() or (session.invocation.ended and session.launch.facts is None):
                self.report = self._learned()
            elif claim_launch(session, lock):
                yield from self._run(self._launch, captured={})
            else:
                events = session.client.events.iterate(session.invocation_id, methods=["log_external_stream"])
                yield from self._run(partial(self._take_up, lock), captured=reported_bytes(events))
        finally:
            lock.release(remove=session.invocation.ended)

    def _acquire(self, path: Path) -> LaunchLock | Literal["held", "elsewhere"]:
        """The lock of the launch, or where the process is that may have launched the work."""
        try:
            return LaunchLock.acquire(path, seconds=0.0) or "held"
        except PipesLaunchError as error:
            if self.session.launch.claim({"lock": str(path)}):
                self._finish(FinishReport(because=str(error), outcome="not-launched"))
            return "elsewhere"

    def _take_up(self, lock: LaunchLock) -> Job:
        """The job that another process claimed; launches it where that process was killed before it could."""
        session = self.session
        claim = (session.launch.facts or {}).get("claim")
        job_id = (session.refresh().platform or {}).get("job_id")
        deadline = monotonic() + CLAIMED_ELSEWHERE_SECONDS
        while True:
            job = self.launcher.take_up(self.work, job_id=job_id if isinstance(job_id, str) else None)
            if job is not None:
                return job
            if job_id is not None or session.reading.opened.is_set() or session.invocation.opened_at is not None:
                return EndedJob(JobEnd(outcome="unknown", detail=_GONE))
            if isinstance(claim, str) and lock.has_noted(claim):
                # This process has the lock, so the one that claimed is gone.
                return self._launch()
            if monotonic() >= deadline:
                return EndedJob(JobEnd(outcome="unknown", detail=_NEVER_LAUNCHED))
            time.sleep(LOOK_SECONDS)

    # Work that supervises itself, here or on another machine.

    def _follow(self) -> Generator[PipesResult]:
        session = self.session
        job = JobThread(self._find_or_launch, on_change=session.reading.wake)
        try:
            try:
                job.start()
            except PipesLaunchError as error:
                session.launch.finish(reason=str(error), outcome="not-launched")
            while not (session.reading.over and self._is_over(lost=job.ended)):
                # It ended without a report, unless the report came right after the look.
                if job.end is not None and job.end.outcome is not None and not session.refresh().ended:
                    session.launch.finish(reason=job.end.detail, outcome=job.end.outcome)
                yield from self._results_of_another()
        except BaseException as error:
            self._stop_following(job, error)
            raise
        finally:
            job.leave(close=True)
        self.report = self._learned()

    def _find_or_launch(self) -> Job:
        invocation = self.session.invocation
        if _is_final(invocation):
            return EndedJob(JobEnd())
        job = self.launcher.take_up(self.work, job_id=None)
        if job is not None:
            return job
        if invocation.ended:
            return EndedJob(JobEnd())
        try:
            return self.launcher.launch(self.work)
        except Exception as error:
            raise PipesLaunchError(self._why_not_launched(error)) from error

    def _is_over(self, *, lost: bool = False) -> bool:
        """Whether the invocation has ended for good, or is lost and that counts."""
        invocation = self.session.refresh()
        return _is_final(invocation) or (lost and invocation.ended)

    def _stop_following(self, job: JobThread | None, error: BaseException) -> None:
        session, settings = self.session, self.settings
        if session.reading.over:
            return
        log = logger_of(session.context)
        if isinstance(error, KeyboardInterrupt) and not settings.forward_termination:
            session.wait()
            return
        try:
            session.cancel()
            if job is not None:
                job.terminate("interrupted")
            log.info("[pipes] execution interrupted, the command is being ended.")
            session.wait(settings.cancel_grace_seconds + settings.termination_timeout_seconds + LEAVE_SECONDS)
        except (BrokerError, TimeoutError) as second:
            log.warning("[pipes] the end of the interrupted command could not be learned: %s", second)

    def _results_of_another(self) -> Generator[PipesResult]:
        session = self.session
        if session.reading.over:
            time.sleep(LOOK_SECONDS)
        yield from session.stream_results(
            wait=LOOK_SECONDS, implicit_materializations=False, or_until=lambda: session.reading.over
        )

    def _learned(self) -> FinishReport:
        """How it ended, as the process that supervised it reported."""
        invocation, detail = self.session.refresh(), self._finish_detail()
        tail = self.session.reading.stderr_tail
        # The reason says why the work was ended, if it was, and then the end of stderr, which is known here.
        because = str(detail.get("reason") or "").removesuffix(tail.strip()).strip()
        return FinishReport(
            exit_code=invocation.exit_code,
            stderr_tail=tail,
            because=because if 0 < len(because) <= _LONGEST_BECAUSE else None,
            outcome="not-launched" if invocation.outcome == "not-launched" else None,
        )

    def _finish_detail(self) -> JsonObject:
        """The last report of a launcher on how the work ended; empty where there was none."""
        for item in reversed(self.session.client.invocations.history(self.session.invocation_id)):
            detail = item.get("detail")
            if item.get("change") == "finished" and isinstance(detail, dict):
                return detail
        return {}


def _is_final(invocation: Invocation) -> bool:
    """Whether an invocation has ended for good.

    Work that was silent for too long is lost, and may run all the same: its next report, or its end, takes the verdict
    back. What is lost after its end was reported stays lost.
    """
    reported = invocation.outcome is not None or invocation.exit_code is not None
    return invocation.ended and (reported or invocation.verdict != "lost")


_GONE = "The job is gone from its platform without a word of how it ended."
_NEVER_LAUNCHED = (
    "The launch was claimed by a process on another machine, and its platform knows of no job: that process was "
    "killed before it launched anything, or the job is gone."
)

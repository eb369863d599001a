"""A job from its launch to its end, on a thread of its own, and the ways to end it from another one."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable

from standpipe.orchestration import monotonic
from standpipe_orchestrator.launchers.protocol import Job, JobDescription, JobEnd, StopReason

POLL_SECONDS = 1.0
"""The longest pause between two looks at a job whose launcher does not wait itself."""
FIRST_PAUSE_SECONDS = 0.02
OUT_OF_REACH_SECONDS = 600.0
"""How long a platform may fail to answer before the end of its job counts as not known."""
KILLED_SECONDS = 10.0
LAUNCH_SECONDS = 600.0
"""How long a launch may take."""
INTERRUPTED_LAUNCH_SECONDS = 30.0
"""How long a launch may take that is to be ended."""
_log = logging.getLogger("standpipe_orchestrator.pipes")


class JobThread:
    """Launches one job and waits for its end.

    A signal handler of Python's raises on the main thread, and in the middle of a launch that would leave a job which
    no code knows of; on this thread the launch always comes to its end. The invariant: after `stop` or `kill` nothing
    runs, and nothing will be started, also when they were interrupted themselves. A launch that does not come back is
    given up, and what it starts later is killed. The main thread waits for bare locks: a handler that raises can leave
    the lock within an Event locked.

    Args:
        launch: starts the job, or takes it up.
        on_launch: called once, on this thread, when there is a job; before `start` returns.
        on_change: called on this thread when the job's description has changed, and when it has ended.

    Attributes:
        job: None until it was launched.
        end: how the job ended; None until then.
        description: of the job, as it was last.
    """

    def __init__(
        self,
        launch: Callable[[], Job],
        *,
        on_launch: Callable[[Job], None] = lambda job: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._launch = launch
        self._on_launch = on_launch
        self._on_change = on_change
        self.job: Job | None = None
        self.end: JobEnd | None = None
        self.description: JobDescription | None = None
        self._failure: BaseException | None = None
        self._given_up = self._abandoned = False
        self._left = False
        self._begun = False
        self._deciding = threading.Lock()
        self._launched, self._over = _Gate(), _Gate()
        # Released by others to shorten a pause.
        self._pause = threading.Lock()
        self._pause.acquire()
        self._thread = threading.Thread(target=self._run, name="standpipe-job", daemon=True)

    def start(self, *, seconds: float = LAUNCH_SECONDS) -> None:
        """Launches the job, once.

        Raises:
            RuntimeError: it was launched, and `on_launch` failed.
            TimeoutError: the launch has not come back within so many seconds.
            Exception: what the launcher raised.
        """
        self._thread.start()
        if not self._launched.wait(seconds):
            raise TimeoutError(f"the launch has not come back within {seconds:g} s")
        if self._failure is not None:
            raise self._failure

    @property
    def launched(self) -> bool:
        return self.job is not None

    @property
    def ended(self) -> bool:
        """Whether it was launched and runs no more."""
        return self.end is not None

    def wait(self, timeout: float | None = None) -> JobEnd | None:
        """Waits for the end, once `start` was called; None when it did not come in time, or nothing was launched."""
        self._over.wait(timeout)
        return self.end

    def terminate(self, reason: StopReason) -> None:
        """Asks the job to end."""
        job = self.job
        if job is not None and self.end is None:
            _try("ended", lambda: job.terminate(reason))
            self._hurry()

    def kill(self) -> None:
        """Ends the job at once; what has not been launched will not be. An interrupt of this is raised afterwards."""
        interrupted: BaseException | None = None
        deadline = monotonic() + INTERRUPTED_LAUNCH_SECONDS
        while True:
            try:
                job = self._give_up(max(0.0, deadline - monotonic()))
                break
            except BaseException as error:  # while it is being launched, which takes a moment
                interrupted = error
        if job is not None:
            # Also when it has ended: what it started in the background may have ignored the signal.
            _try("killed", job.kill)
            self._hurry()
        if interrupted is not None:
            raise interrupted

    def stop(self, *, grace_seconds: float, reason: StopReason) -> JobEnd | None:
        """Asks, waits for `grace_seconds`, then kills; returns the end, None when nothing was launched."""
        try:
            if self._give_up(INTERRUPTED_LAUNCH_SECONDS) is None:
                return None
            self.terminate(reason)
            self.wait(grace_seconds)
        finally:
            # Also when the user does not want to wait any longer.
            self.kill()
        return self.wait(KILLED_SECONDS)

    def leave(self, *, close: bool) -> None:
        """Looks at the job no more.

        Args:
            close: whether its platform need not keep it.
        """
        self._left = True
        self._hurry()
        if self._thread.is_alive():
            self._thread.join(KILLED_SECONDS)
        if close and self.job is not None:
            _try("closed", self.job.close)

    def _give_up(self, seconds: float) -> Job | None:
        """Sees to it that nothing is launched from now on; gives what has been, also within so many seconds."""
        with self._deciding:
            self._given_up = True
        if self._begun and not self._launched.wait(seconds):
            self._abandoned = True
        return self.job

    def _hurry(self) -> None:
        with contextlib.suppress(RuntimeError):  # it is released already
            self._pause.release()

    def _run(self) -> None:
        try:
            with self._deciding:
                self._begun = not self._given_up
            if self._begun:
                self.job = self._launch()
                if self._abandoned:
                    _try("killed", self.job.kill)
                self.description = self.job.describe()
                self._call_on_launch(self.job)
        except BaseException as error:
            self._failure = error
        finally:
            self._launched.open()
        if self.job is not None:
            self.end = self._follow(self.job)
        self._over.open()
        if self.job is not None:
            self._on_change()

    def _call_on_launch(self, job: Job) -> None:
        try:
            self._on_launch(job)
        except Exception as error:
            # Of another kind than that of work which could not be launched: this one runs.
            raise RuntimeError(f"The work was started, and what had to follow failed: {error}") from error

    def _follow(self, job: Job) -> JobEnd | None:
        pause, failing_since = FIRST_PAUSE_SECONDS, None
        while not self._left:
            began = monotonic()
            try:
                if (end := job.poll(POLL_SECONDS)) is not None:
                    self.description = job.describe()
                    return end
                description, failing_since = job.describe(), None
            except Exception as error:
                if failing_since is None:
                    _log.warning("[pipes] the platform cannot be asked for the job, and is asked again: %s", error)
                    failing_since = began
                if began - failing_since > OUT_OF_REACH_SECONDS:
                    detail = (
                        f"The platform could not be asked for {OUT_OF_REACH_SECONDS:g} s how the job ended: {error}"
                    )
                    return JobEnd(outcome="unknown", detail=detail)
            else:
                if description != self.description:
                    self.description = description
                    self._on_change()
            if self._pause.acquire(timeout=max(0.0, pause - (monotonic() - began))):
                pause = FIRST_PAUSE_SECONDS
            else:
                pause = min(pause * 1.5, POLL_SECONDS)
        return None


class _Gate:
    """Opened once, by one thread, for another that waits."""

    def __init__(self) -> None:
        self._is_open = False
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        self._is_open = True
        self._lock.release()

    def wait(self, timeout: float | None) -> bool:
        # Looked at first: a wait that was interrupted below keeps the lock, and had it only because the gate was open.
        if not self._is_open and self._lock.acquire(timeout=-1 if timeout is None else timeout):
            self._lock.release()
        return self._is_open


def _try(what: str, call: Callable[[], None]) -> None:
    try:
        call()
    except Exception as error:
        _log.warning("[pipes] the job could not be %s: %s", what, error)

"""A child process in a process group of its own: started, waited for, and ended with all that it started.

On POSIX signals go to the whole group, so that what a shell has started hears them too. On Windows the group is asked
with CTRL_BREAK_EVENT, which Python programs see as a KeyboardInterrupt-like end, and only the child itself is killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TypeAlias

from standpipe_orchestrator.sessions.exit_status import kept_statuses, wait_for_status

Command: TypeAlias = "str | Sequence[str | os.PathLike[str]]"
"""The words of a command, or one text for the shell."""


class Child:
    """A child process.

    It is started and waited for by a thread of its own. A signal handler of Python's raises on the main thread, and in
    the middle of `Popen` that would leave a process which nobody knows of; here there is always one who does, and
    `end` ends it. The invariant: after `end` or `kill` nothing runs, and nothing will be started, also when they were
    interrupted themselves. What the main thread waits for are bare locks: a handler that raises can leave the lock
    within an Event locked, for whoever sets it next.

    Args:
        command: a sequence of words, or one text for the shell.
        on_start: called once, on the child's thread, when there is a process; before `start` returns.
        on_exit: called once, on the child's thread, when the process has ended.
        keep_open: descriptors that the command, and what it starts, holds open too.
    """

    def __init__(
        self,
        command: Command,
        *,
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None,
        on_start: Callable[[Child], None] = lambda child: None,
        on_exit: Callable[[], None] = lambda: None,
        keep_open: Sequence[int] = (),
    ) -> None:
        self._command = command
        self._env = dict(env)
        self._cwd = cwd
        self._on_start = on_start
        self._on_exit = on_exit
        self._keep_open = tuple(keep_open)
        self._exit_code: int | None = None
        self._ended = False
        self._started_at: datetime | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._failure: BaseException | None = None
        self._given_up = False
        self._starting = threading.Lock()
        # Released once by the child's thread: when `start` may return, and when nothing runs any more.
        self._undecided = threading.Lock()
        self._undecided.acquire()
        self._alive = threading.Lock()
        self._alive.acquire()
        # Popen's own waiting with a time-out looks again and again, with pauses of up to 50 ms.
        self._thread = threading.Thread(target=self._run, name="standpipe-child", daemon=True)

    def start(self) -> None:
        """Starts it, once.

        Raises:
            OSError: it could not be started.
            ValueError: no system takes such a command.
            RuntimeError: it was started, and `on_start` failed.
        """
        self._thread.start()
        self._undecided.acquire()
        if self._failure is not None:
            raise self._failure

    @property
    def started(self) -> bool:
        return self._process is not None

    @property
    def pid(self) -> int:
        return self._running().pid

    @property
    def started_at(self) -> datetime | None:
        return self._started_at

    @property
    def ended(self) -> bool:
        """Whether it was started and runs no more."""
        return self._ended

    @property
    def exit_code(self) -> int | None:
        """Negative for a signal. None until it has ended, and then where its status is not known: see `exit_status`."""
        return self._exit_code

    @property
    def stdout(self) -> IO[bytes]:
        pipe = self._running().stdout
        assert pipe is not None  # noqa: S101  asked for by `_open`
        return pipe

    @property
    def stderr(self) -> IO[bytes]:
        pipe = self._running().stderr
        assert pipe is not None  # noqa: S101  asked for by `_open`
        return pipe

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for the end, once `start` was called; None when it did not come in time, or nothing was started."""
        # Looked at first: whoever was interrupted below keeps the lock, and had it only because all was over.
        if not self._ended and self._alive.acquire(timeout=-1 if timeout is None else timeout):
            self._alive.release()
        return self._exit_code

    def interrupt(self) -> None:
        """Asks the group to end, as Ctrl-C does."""
        process = self._process
        if process is not None and not self._ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sys.platform == "win32":
                    process.send_signal(signal.CTRL_BREAK_EVENT)
                else:
                    os.killpg(process.pid, signal.SIGINT)

    def terminate(self) -> None:
        """Asks the group to end, as a service manager does; on Windows, where nobody can ask so, ends the child."""
        process = self._process
        if process is not None and not self._ended:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sys.platform == "win32":
                    process.terminate()
                else:
                    os.killpg(process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Ends the group at once; what has not been started will not be. Who interrupts this is heard afterwards."""
        interrupted: BaseException | None = None
        while True:
            try:
                process = self._give_up()
                break
            except BaseException as error:  # while it is being started, which takes a moment
                interrupted = error
        if process is not None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sys.platform == "win32":
                    if not self._ended:
                        process.kill()
                else:
                    os.killpg(process.pid, signal.SIGKILL)
        if interrupted is not None:
            raise interrupted

    def end(self, *, grace_seconds: float, ask: Callable[[], None] | None = None) -> int | None:
        """Asks, waits for `grace_seconds`, then kills; returns the exit code, None when nothing was started.

        Args:
            ask: how; `interrupt` when not given.
        """
        try:
            if self._give_up() is None:
                return None
            (ask or self.interrupt)()
            self.wait(grace_seconds)
        finally:
            # Also when the child has ended: what it started in the background may have ignored the signal. And also
            # when the user does not want to wait any longer.
            self.kill()
        return self.wait(10.0)

    def _give_up(self) -> subprocess.Popen[bytes] | None:
        """Sees to it that nothing is started from now on; gives what has been."""
        with self._starting:
            self._given_up = True
            return self._process

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError("The child process has not been started.")
        return self._process

    def _run(self) -> None:
        with kept_statuses:
            try:
                with self._starting:
                    if not self._given_up:
                        self._process = self._open()
                        self._started_at = datetime.now(UTC)
                        self._call_on_start()
            except BaseException as error:
                self._failure = error
            finally:
                self._undecided.release()
            if self._process is not None:
                self._exit_code = wait_for_status(self._process)
                self._ended = True
        self._alive.release()
        if self._process is not None:
            self._on_exit()

    def _call_on_start(self) -> None:
        try:
            self._on_start(self)
        except Exception as error:
            # Of another kind than that of a command which could not be started: this one runs.
            raise RuntimeError(f"A process was started, and what had to follow failed: {error}") from error

    def _open(self) -> subprocess.Popen[bytes]:
        command = self._command
        return subprocess.Popen(
            command if isinstance(command, str) else [os.fspath(word) for word in command],
            shell=isinstance(command, str),
            env=self._env,
            cwd=None if self._cwd is None else Path(self._cwd),
            # In a group of its own the child may not read from the terminal: it would be stopped for it.
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=self._keep_open,
            process_group=None if sys.platform == "win32" else 0,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
        )

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
from pathlib import Path
from typing import IO, TypeAlias

Command: TypeAlias = "str | Sequence[str | os.PathLike[str]]"
"""The words of a command, or one text for the shell."""


def require_words(command: Command) -> None:
    """Raises:
    TypeError: the command holds something that is no word.
    ValueError: it holds nothing.
    """
    if isinstance(command, str):
        words: Sequence[object] = [command] if command.strip() else []
    else:
        words = command
    if not words:
        raise ValueError("The command is empty; expected the words of a command, or one text for the shell.")
    for number, word in enumerate(words):
        if not isinstance(word, (str, os.PathLike)):
            found_nothing = " Did shutil.which() find nothing?" if word is None else ""
            raise TypeError(f"Word {number} of the command is {word!r}; expected a string or a path.{found_nothing}")


class Child:
    """A running child process; `exit_code` is None until it ended."""

    def __init__(
        self,
        command: Command,
        *,
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None,
        on_exit: Callable[[], None],
        keep_open: Sequence[int] = (),
    ) -> None:
        """Starts it.

        Args:
            command: a sequence of words, or one text for the shell.
            on_exit: called once, on a thread of its own, when the process has ended.
            keep_open: descriptors that the command, and what it starts, holds open too.

        Raises:
            OSError: it could not be started.
        """
        self._exit_code: int | None = None
        self._ended = threading.Event()
        self._process = subprocess.Popen(
            command if isinstance(command, str) else [os.fspath(word) for word in command],
            shell=isinstance(command, str),
            env=dict(env),
            cwd=None if cwd is None else Path(cwd),
            # In a group of its own the child may not read from the terminal: it would be stopped for it.
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=tuple(keep_open),
            process_group=None if sys.platform == "win32" else 0,
            creationflags=subprocess.CREATE_NEW_PROCESS_GROUP if sys.platform == "win32" else 0,
        )
        # Popen's own waiting with a time-out looks again and again, with pauses of up to 50 ms.
        self._waiter = threading.Thread(
            target=self._wait, args=(on_exit,), name=f"standpipe-wait-{self._process.pid}", daemon=True
        )
        self._waiter.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        return self._exit_code

    @property
    def stdout(self) -> IO[bytes]:
        assert self._process.stdout is not None  # noqa: S101  asked for above
        return self._process.stdout

    @property
    def stderr(self) -> IO[bytes]:
        assert self._process.stderr is not None  # noqa: S101  asked for above
        return self._process.stderr

    def wait(self, timeout: float | None = None) -> int | None:
        """Waits for the end; None when it did not come in time."""
        self._ended.wait(timeout)
        return self._exit_code

    def interrupt(self) -> None:
        """Asks the group to end, as Ctrl-C does."""
        if self._exit_code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sys.platform == "win32":
                    self._process.send_signal(signal.CTRL_BREAK_EVENT)
                else:
                    os.killpg(self._process.pid, signal.SIGINT)

    def terminate(self) -> None:
        """Asks the group to end, as a service manager does; on Windows, where nobody can ask so, ends the child."""
        if self._exit_code is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                if sys.platform == "win32":
                    self._process.terminate()
                else:
                    os.killpg(self._process.pid, signal.SIGTERM)

    def kill(self) -> None:
        """Ends the group at once."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if sys.platform == "win32":
                if self._exit_code is None:
                    self._process.kill()
            else:
                os.killpg(self._process.pid, signal.SIGKILL)

    def end(self, *, grace_seconds: float, ask: Callable[[], None] | None = None) -> int | None:
        """Asks, waits for `grace_seconds`, then kills; returns the exit code.

        Args:
            ask: how; `interrupt` when not given.
        """
        try:
            (ask or self.interrupt)()
            self.wait(grace_seconds)
        finally:
            # Also when the child has ended: what it started in the background may have ignored the signal. And also
            # when the user does not want to wait any longer.
            self.kill()
        return self.wait(10.0)

    def _wait(self, on_exit: Callable[[], None]) -> None:
        self._exit_code = self._process.wait()
        self._ended.set()
        on_exit()

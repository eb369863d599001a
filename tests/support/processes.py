"""Real processes with their output kept, a bounded life, and no way to outlive the test that started them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

from tests.support.fork_server import ForkedProcess, ForkServer
from tests.support.waiting import PATIENCE, wait_until

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("STANDPIPE_TEST_PYTHON") or sys.executable
"""What runs the external programs: `scripts/test` names one of each version in turn. Servers run on the tests' own."""

_DROPPED_PREFIXES = ("STANDPIPE_", "DAGSTER_", "COVERAGE_", "PYTEST_")
_DROPPED = frozenset(
    {
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "http_proxy",
        "https_proxy",
        "all_proxy",
        "no_proxy",
        "PYTHONPATH",
        "PYTHONWARNINGS",
        "PYTHONUNBUFFERED",
    }
)


def child_environment(
    extra: Mapping[str, str | None] | None = None, *, home: Path | None = None, warnings: str = ""
) -> dict[str, str]:
    """This process's environment without what would leak into a child: other servers' addresses, proxies, paths.

    Args:
        extra: added last; None removes a variable.
        home: becomes `STANDPIPE_HOME`.
        warnings: becomes `PYTHONWARNINGS`, when given.
    """
    environment = {
        name: value
        for name, value in os.environ.items()
        if name not in _DROPPED and not name.startswith(_DROPPED_PREFIXES)
    }
    environment["PYTHONUNBUFFERED"] = "1"
    if home is not None:
        environment["STANDPIPE_HOME"] = str(home)
    if warnings:
        environment["PYTHONWARNINGS"] = warnings
    for name, value in (extra or {}).items():
        if value is None:
            environment.pop(name, None)
        else:
            environment[name] = value
    return environment


def complaints(written: str) -> str:
    """What a program complains of. That no answer came for seconds is no fault of it where a machine is busy."""
    return "".join(line for line in written.splitlines(keepends=True) if "has not answered within" not in line)


def run(
    command: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 60.0,
    input: str | None = None,
    check: bool = True,
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end and returns what it wrote.

    Raises:
        AssertionError: it took longer than `timeout`, or (with `check`) its exit code is not 0; the output is shown.
    """
    words = [str(word) for word in command]
    environment = child_environment() if env is None else dict(env)
    try:
        done = subprocess.run(
            words,
            env=environment,
            cwd=cwd,
            timeout=timeout,
            input=input,
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{words} did not end within {timeout:g} s.\n{_told(late.stdout, late.stderr)}") from None
    if check and done.returncode != 0:
        raise AssertionError(f"{words} ended with {done.returncode}.\n{_told(done.stdout, done.stderr)}")
    return done


def run_python(
    *arguments: str | Path, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Runs a program by `PYTHON` with `arguments`; fails the test when its exit code is not 0."""
    return run([PYTHON, *arguments], env=env, cwd=cwd, timeout=timeout)


def resident_mib(pid: int) -> float:
    """The memory that a process holds at this moment, in MiB."""
    return int(run(["ps", "-o", "rss=", "-p", str(pid)]).stdout) / 1024


class Process:
    """A process that runs beside the test, in a process group of its own. Use it as a context manager.

    Its stdout and stderr go to one file, so that no pipe can fill up; `output()` reads it at any time.
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        keep_stdin_open: bool = False,
        stdin: int | None = None,
        fork_server: ForkServer | None = None,
    ) -> None:
        """Starts it: `python -m MODULE …` as a fork where there is a `fork_server`, anything else by itself."""
        self.command = [str(word) for word in command]
        self.log = log
        self._popen: subprocess.Popen[bytes] | ForkedProcess
        environment = child_environment() if env is None else dict(env)
        with log.open("ab") as sink:
            if fork_server is not None:
                _, _, module, *arguments = self.command
                self._popen = fork_server.fork(
                    module, arguments, log=sink.fileno(), env=environment, cwd=cwd or Path.cwd()
                )
                return
            self._popen = subprocess.Popen(
                self.command,
                env=environment,
                cwd=cwd,
                stdin=subprocess.PIPE if keep_stdin_open else subprocess.DEVNULL if stdin is None else stdin,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._popen.poll()

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def wait(self, *, timeout: float = PATIENCE) -> int:
        """Waits for its own end and returns the exit code."""
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.command} did not end within {timeout:g} s.\n{self.output()}") from None

    def wait_for_output(self, text: str, *, timeout: float = PATIENCE) -> str:
        """Waits until `text` stands in the output; returns all of it."""

        def seen() -> str:
            found = self.output()
            if text not in found and self.exit_code is not None:
                found = self.output()  # what it wrote between the two looks
                if text not in found:
                    raise AssertionError(f"{self.command} ended with {self.exit_code} before {text!r} came.\n{found}")
            return found if text in found else ""

        return wait_until(
            seen, what=lambda: f"{text!r} in the output of {self.command}:\n{self.output()}", timeout=timeout
        )

    def close_stdin(self) -> None:
        if self._popen.stdin is not None:
            self._popen.stdin.close()

    def signal(self, number: int) -> None:
        """Sends a signal to the process itself, as soon as its main thread waits, after a second at the latest.

        Python looks for signals between two steps: one that comes after a look and before a wait is seen after that.
        """
        with contextlib.suppress(AssertionError):
            wait_until(lambda: not self._computes(), what="its main thread to wait", timeout=1.0, interval=0.005)
        if self.exit_code is None:
            self._popen.send_signal(number)

    def _computes(self) -> bool:
        """Whether its main thread runs; False where the system does not say."""
        with contextlib.suppress(OSError):
            return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "R"
        return False

    def stop(self, *, timeout: float = 15.0) -> int:
        """SIGTERM, and SIGKILL to its whole group when it is still there after `timeout`. Returns the exit code."""
        self.close_stdin()
        self.signal(signal.SIGTERM)
        try:
            return self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            return self.kill9()
        finally:
            self._kill_group()

    def kill9(self) -> int:
        """SIGKILL to the whole group: no goodbye. Returns the exit code."""
        self.close_stdin()
        if self.exit_code is None:
            self._kill_group()
        return self._popen.wait(10)

    def _kill_group(self) -> None:
        if self.exit_code is not None:
            # What is left of the group keeps its number from being given out again, but not when nothing is left.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, 0)
                return
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return  # nothing is left in it

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _told(stdout: object, stderr: object) -> str:
    def text(value: object) -> str:
        return value.decode(errors="replace") if isinstance(value, bytes) else str(value or "")

    return f"--- stdout\n{text(stdout)}\n--- stderr\n{text(stderr)}"

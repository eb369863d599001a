"""Server processes that begin as a fork of one in which everything is imported, which is most of the work of a start.

The room holds both sides: `ForkServer`, in the test run, and the program that forks, which never has a second thread. A
forked server is a process like any other, with a session, a log, signals and an exit status of its own; it has not
started an interpreter, and its command line is that of the program that forks. Tests for which that matters carry the
mark `own_interpreter`.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

_MOST_BYTES = 1 << 20
_START_SECONDS = 60.0
_WARM_UP = (
    "standpipe_server.cli",
    "standpipe_server.serving",
    "standpipe_server.store.database.schema_upgrade",
    "alembic.command",
    "alembic.autogenerate",
    "psycopg",
    "uvicorn.loops.uvloop",
    "uvicorn.protocols.http.httptools_impl",
    "uvicorn.lifespan.on",
)


class ForkedProcess:
    """A forked process, with those parts of `subprocess.Popen` that `tests.support.processes.Process` needs."""

    stdin = None

    def __init__(self, command: Sequence[str], *, pid: int, status: int) -> None:
        self._command = command
        self._status = status
        self._code: int | None = None
        self.pid = pid

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self._code

    def wait(self, timeout: float | None = None) -> int:
        if self._code is None:
            if not _readable(self._status, timeout=timeout):
                raise subprocess.TimeoutExpired(self._command, timeout or 0)
            code = os.read(self._status, 16)
            os.close(self._status)
            # Nothing at all: the program that forks has ended before it could say more.
            self._code = int(code) if code else -signal.SIGKILL
        return self._code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)


def _readable(*descriptors: int, timeout: float | None = None) -> set[int]:
    """Those that can be read, or have ended. `select` knows no descriptor beyond 1,023, and a long run has more."""
    poller = select.poll()
    for descriptor in descriptors:
        poller.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poller.poll(None if timeout is None else timeout * 1_000)}


class ForkServer:
    """Forks processes that run a module as a program; they end with it, and it ends with this process."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._popen = subprocess.Popen(
                # Warnings are errors in servers of the tests; so they are here, where their modules are imported.
                [sys.executable, "-W", "error", "-m", "tests.support.fork_server", str(theirs.fileno())],
                cwd=Path(__file__).parents[2],
                env={name: value for name, value in os.environ.items() if not name.startswith(("STANDPIPE_", "PYTHON"))}
                | {"PYTHONUNBUFFERED": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        ours.settimeout(_START_SECONDS)
        self._socket = ours
        atexit.register(self.close)

    def fork(
        self, module: str, arguments: Sequence[str], *, log: int, env: Mapping[str, str], cwd: Path
    ) -> ForkedProcess:
        """A new process that runs `python -m module arguments`; `log` is a descriptor for what it writes."""
        mine, theirs = os.pipe()
        asked = json.dumps({"module": module, "arguments": list(arguments), "env": dict(env), "cwd": str(cwd)}).encode()
        try:
            socket.send_fds(self._socket, [asked], [log, theirs])
        finally:
            os.close(theirs)
        pid = int(self._socket.recv(64))
        return ForkedProcess([module, *arguments], pid=pid, status=mine)

    def close(self) -> None:
        atexit.unregister(self.close)
        self._socket.close()
        self._popen.wait(30)


# ---------------------------------------------------------------------------------------------------------------------
# The program that forks.


@dataclass(slots=True)
class _Start:
    """What a forked child is to be."""

    module: str
    arguments: list[str]
    env: dict[str, str]
    cwd: str
    descriptors: list[int] = field(default_factory=list[int])


def _serve(connection: socket.socket) -> _Start | None:
    """Forks for each request. Returns in each child, with what it is to run, and None when there is nothing to do."""
    children: dict[int, int] = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    # Any handler: without one there would be nothing to wake up for.
    signal.signal(signal.SIGCHLD, _child_ended)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    while True:
        readable = _readable(connection.fileno(), woken)
        if woken in readable:
            os.read(woken, 4096)
            _reap(children)
        if connection.fileno() in readable:
            asked, descriptors, _, _ = socket.recv_fds(connection, _MOST_BYTES, 2)
            if not asked:
                break
            start = _Start(**json.loads(asked), descriptors=descriptors)
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                return start
            os.close(descriptors[0])
            children[pid] = descriptors[1]
            connection.send(str(pid).encode())
    for pid in children:
        # What it has started itself, and itself: it may not have a group of its own yet.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    return None


def _child_ended(number: int, frame: FrameType | None) -> None:
    return


def _reap(children: dict[int, int]) -> None:
    """Tells the exit status of children that have ended."""
    for pid in list(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            descriptor = children.pop(pid)
            with contextlib.suppress(BrokenPipeError):
                os.write(descriptor, str(os.waitstatus_to_exitcode(status)).encode())
            os.close(descriptor)


def _become(start: _Start) -> None:
    """Makes this process what `subprocess` would have made: session, descriptors, environment, folder, arguments."""
    os.setsid()
    log = start.descriptors[0]
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.closerange(3, 1024)
    os.environ.clear()
    os.environ.update(start.env)
    os.chdir(start.cwd)
    # Python up to 3.12 lets the main thread keep the number that it had before the fork.
    vars(threading.main_thread())["_native_id"] = threading.get_native_id()
    sys.argv = [start.module, *start.arguments]
    sys.path[0] = start.cwd


def _main() -> None:
    import gc
    import importlib
    import runpy

    for name in _WARM_UP:
        importlib.import_module(name)
    # A child's collector leaves alone what was here before it, and so does not copy all of it.
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as connection:
        start = _serve(connection)
        if start is not None:
            connection.detach()
    if start is not None:
        _become(start)
        runpy.run_module(start.module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    _main()

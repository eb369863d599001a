"""A forked process is what a started one is: output, environment, folder, session, signals and exit status."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.fork_server import ForkServer
from tests.support.processes import Process, child_environment
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="servers are forked on Linux only")
PROGRAM = """
import os, signal, sys, threading
print(sys.argv[1:], os.getcwd(), os.environ["STANDPIPE_HOME"], os.getsid(0) == os.getpid(), flush=True)
print(threading.main_thread().native_id == os.getpid(), flush=True)
print(sorted(name for name in os.listdir("/proc/self/fd")), file=sys.stderr, flush=True)
match sys.argv[1]:
    case "leaves":
        sys.exit(7)
    case "raises":
        raise ValueError("no orders")
    case "waits":
        threading.Event().wait(600)
"""


@pytest.fixture
def start(fork_server: ForkServer, tmp_path: Path) -> Callable[[str], Process]:
    """Starts the program as a module, in a folder of its own."""
    (tmp_path / "forked_program.py").write_text(PROGRAM)

    def fork(what: str) -> Process:
        env = child_environment(home=tmp_path / "home")
        command = [sys.executable, "-m", "forked_program", what]
        return Process(command, log=tmp_path / "log", env=env, cwd=tmp_path, fork_server=fork_server)

    return fork


def test_it_has_arguments_folder_environment_and_session_of_its_own_and_no_descriptor_of_others(
    start: Callable[[str], Process], tmp_path: Path
) -> None:
    process = start("leaves")
    assert process.wait() == 7
    assert process.exit_code == 7
    first, second, third = process.output().splitlines()
    assert first == f"['leaves'] {tmp_path} {tmp_path / 'home'} True"
    assert second == "True"
    # The fourth is the listing's own.
    assert third == "['0', '1', '2', '3']"


def test_an_exception_ends_it_with_a_traceback(start: Callable[[str], Process]) -> None:
    process = start("raises")
    assert process.wait() == 1
    assert "ValueError: no orders" in process.output()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_signal_ends_it_and_is_its_exit_code(start: Callable[[str], Process], number: int) -> None:
    with start("waits") as process:
        process.wait_for_output("waits")
        assert process.exit_code is None
        process.signal(number)
        assert process.wait() == -number


def test_it_ends_with_what_it_was_forked_from(tmp_path: Path) -> None:
    (tmp_path / "forked_program.py").write_text(PROGRAM)
    server = ForkServer()
    command = [sys.executable, "-m", "forked_program", "waits"]
    process = Process(
        command, log=tmp_path / "log", env=child_environment(home=tmp_path), cwd=tmp_path, fork_server=server
    )
    process.wait_for_output("waits")
    server.close()
    wait_until(lambda: process.exit_code is not None, what="the forked process to end")
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)

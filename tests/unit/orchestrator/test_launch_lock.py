"""The lock of a launched command: held while it or its runner lives, free after both, judged on its own disk."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from standpipe_orchestrator import PipesLaunchError
from standpipe_orchestrator.launchers.launch_lock import LaunchLock, life, lock_path
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no lock that a child inherits")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return lock_path(tmp_path / "home", "inv_x")


def acquired(path: Path) -> LaunchLock:
    lock = LaunchLock.acquire(path)
    assert lock is not None
    return lock


def test_one_holds_it_and_the_next_may_when_it_was_released(path: Path) -> None:
    lock = acquired(path)
    assert LaunchLock.acquire(path) is None
    assert life(path, claim=None) == "held"
    lock.release()
    assert not path.exists()
    assert life(path, claim=None) == "elsewhere"
    acquired(path).release()


def test_what_inherited_it_holds_it_on(path: Path) -> None:
    lock = acquired(path)
    lock.note("mine")
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, pass_fds=(lock.descriptor,)) as child:
        os.close(lock.descriptor)  # as the kernel does when its runner is killed
        assert life(path, claim="mine") == "held"
        assert child.stdin is not None
        child.stdin.close()
    wait_until(lambda: life(path, claim="mine") == "free", what="the lock to be free")


def test_a_claim_that_was_not_made_from_this_disk_is_not_judged_here(path: Path) -> None:
    lock = acquired(path)
    lock.note("one")
    lock.note("another")
    os.close(lock.descriptor)
    assert [life(path, claim=claim) for claim in ("one", "another", "on", "other", None)] == [
        "free",
        "free",
        "elsewhere",
        "elsewhere",
        "free",
    ]


def test_nobody_else_may_read_it(path: Path) -> None:
    lock = acquired(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    lock.release()


def test_nothing_is_said_to_be_held_where_the_file_system_has_no_locks(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    path.parent.mkdir(parents=True)
    before = list(Path("/dev/fd").iterdir())
    with pytest.raises(PipesLaunchError, match="cannot be locked"):
        LaunchLock.acquire(path)
    assert life(path, claim=None) == "elsewhere"
    assert len(list(Path("/dev/fd").iterdir())) == len(before)

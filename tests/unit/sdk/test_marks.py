"""Marks of living processes: held, read, and cleared away when nobody holds them any more."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import pytest

from standpipe.cli import main
from standpipe.spool.marks import FOLDER, STALE_SECONDS, LaunchMark, Mark, is_launched_here, read_mark
from tests.support.processes import run_python


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_launch_is_here_as_long_as_its_launcher_holds_the_mark(home: Path) -> None:
    assert not is_launched_here("inv_1", environment=os.environ)
    mark = LaunchMark("inv_1", environment=os.environ)
    assert is_launched_here("inv_1", environment=os.environ)
    assert not is_launched_here("inv_2", environment=os.environ)
    second = LaunchMark("inv_1", environment=os.environ)
    second.release()
    assert is_launched_here("inv_1", environment=os.environ)
    mark.release()
    mark.release()
    assert not is_launched_here("inv_1", environment=os.environ)
    assert list((home / FOLDER).iterdir()) == []


def test_the_mark_of_a_killed_launcher_says_nothing(home: Path) -> None:
    launcher = "mark = LaunchMark('inv_1', environment=os.environ)\nos._exit(0)"
    run_python("-c", f"import os\nfrom standpipe.spool.marks import LaunchMark\n{launcher}", env=dict(os.environ))
    assert len(list((home / FOLDER).iterdir())) == 1
    assert not is_launched_here("inv_1", environment=os.environ)


def test_what_a_mark_says_is_read_while_it_is_held(home: Path) -> None:
    mark = Mark("inv_1.7", environment=os.environ, text="py-1/4711")
    assert read_mark("inv_1.7", environment=os.environ) == "py-1/4711"
    mark.release()
    assert read_mark("inv_1.7", environment=os.environ) is None


def test_where_nothing_can_be_written_there_is_no_mark(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    environment = {"STANDPIPE_HOME": str(tmp_path / "file")}
    LaunchMark("inv_1", environment=environment).release()
    assert not is_launched_here("inv_1", environment=environment)


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
def test_old_marks_that_nobody_holds_are_cleared_away(home: Path) -> None:
    held = Mark("held", environment=os.environ)
    for name in ("old", "new"):
        Mark(name, environment=os.environ).forget_in_child()  # as the end of its process does
    for name in ("held", "old"):
        long_ago = time.time() - STALE_SECONDS - 60
        os.utime(home / FOLDER / name, (long_ago, long_ago))
    assert main(["deliver"]) == 0
    assert sorted(path.name for path in (home / FOLDER).iterdir()) == ["held", "new"]
    held.release()

"""Life signs of a real process against the real server: who is silent for whatever reason is lost, and comes back."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.processes import PYTHON, Process, child_environment
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import register


@pytest.mark.skipif(sys.platform == "win32", reason="the C library is reached in another way there")
def test_a_call_that_holds_the_interpreter_longer_than_the_lease_is_lost_and_comes_back(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    # PyDLL calls keep the interpreter's lock, as a regular expression or an extension that computes may.
    script = """
import ctypes
from standpipe import open_pipes
with open_pipes() as context:
    assert context.flush(30)
    ctypes.PyDLL(None).sleep(4)
    context.report_custom_message("back")
"""
    job = register(shared_sqlite_server, launcher={"kind": "test"}, lease_seconds=1)
    environment = child_environment(dict(job.registered["env"]), home=tmp_path)
    with Process([PYTHON, "-c", script], log=tmp_path / "log", env=environment) as process:
        wait_until(lambda: job.read()["verdict"] == "lost", what="the lease to run out")
        assert process.wait() == 0
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "succeeded"
    changes = [item["change"] for item in shared_sqlite_server.http.get(f"{job.path}/history").json()["items"]]
    # A batch that closes, too, only changes the verdict.
    assert set(changes[changes.index("lease-expired") :]) & {"revived", "revised"}


def test_a_computation_in_python_that_never_pauses_keeps_its_lease(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    script = """
import time
from standpipe import open_pipes
with open_pipes() as context:
    assert context.flush(30)
    end = time.monotonic() + 4
    while time.monotonic() < end:
        sum(range(1000))
"""
    job = register(shared_sqlite_server, launcher={"kind": "test"}, lease_seconds=1.5)
    environment = child_environment(dict(job.registered["env"]), home=tmp_path)
    with Process([PYTHON, "-c", script], log=tmp_path / "log", env=environment) as process:
        assert process.wait() == 0
    assert job.finish(exit_code=0)["verdict"] == "succeeded"
    changes = [item["change"] for item in shared_sqlite_server.http.get(f"{job.path}/history").json()["items"]]
    assert "lease-expired" not in changes


def test_cancelled_work_that_stops_is_cancelled(shared_sqlite_server: Server, tmp_path: Path) -> None:
    script = """
import time
from standpipe import open_pipes
with open_pipes() as context:
    for step in range(100_000):
        context.report_custom_message(step)
        time.sleep(0.01)
"""
    job = register(shared_sqlite_server, launcher={"kind": "test"}, lease_seconds=60)
    environment = child_environment(dict(job.registered["env"]), home=tmp_path)
    with Process([PYTHON, "-c", script], log=tmp_path / "log", env=environment) as process:
        wait_until(lambda: len(job.events()) > 3, what="its reports")
        shared_sqlite_server.http.post(f"{job.path}/cancel")
        assert process.wait() == 1
        assert "PipesCancelled" in process.output()
    ended = job.finish(exit_code=1)
    assert ended["verdict"] == "cancelled"
    assert job.events()[-1]["params"]["exception"]["name"] == "PipesCancelled"

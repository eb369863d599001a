"""The client against the real server: what was reported is in the history, whatever happens in between."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.processes import PYTHON, Process, child_environment, complaints, run, run_python
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, register

needs_fork = pytest.mark.skipif(sys.platform == "win32", reason="this platform has no fork")

REPORT = """
import sys
from standpipe import open_pipes
with open_pipes() as context:
    context.report_asset_materialization(metadata={"rows": 3, "ratio": float("nan")}, data_version="1")
    context.report_asset_check("not_empty", True, severity="WARN", metadata={"n": 3})
    context.report_custom_message({0: "x" * 20_000})
    context.log.warning("careful", extra={"order": 7})
    if "fail" in sys.argv:
        raise ValueError("no orders")
"""


def environment(job: Job, home: Path) -> dict[str, str]:
    return child_environment(dict(job.registered["env"]), home=home)


def reasons(ended: dict[str, object]) -> object:
    return ended["verdict"], ended["reasons"]


def test_a_clean_job_succeeds_with_everything_it_reported(shared_sqlite_server: Server, tmp_path: Path) -> None:
    job = register(
        shared_sqlite_server, context={"asset_keys": ["orders"], "extras": {"a": 1}}, launcher={"kind": "test"}
    )
    done = run_python("-c", REPORT, env=environment(job, tmp_path / "job-home"))
    assert complaints(done.stderr) == ""
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "succeeded", reasons(ended)
    events = job.events()
    assert [event["method"] for event in events] == [
        "opened",
        "report_asset_materialization",
        "report_asset_check",
        "report_custom_message",
        "log",
        "closed",
    ]
    assert all("problem" not in event for event in events)
    assert events[1]["params"]["metadata"]["ratio"] == {"raw_value": "NaN", "type": "float"}
    assert events[3]["params"]["payload"] == {"0": "x" * 20_000}
    assert events[4]["details"]["fields"] == {"order": 7}
    assert events[5]["params"]["ledger"]["messages"] == 6
    assert len({event["producer"] for event in events}) == 1


def test_an_exception_fails_the_invocation_by_name(shared_sqlite_server: Server, tmp_path: Path) -> None:
    job = register(shared_sqlite_server, context={"asset_keys": ["orders"]}, launcher={"kind": "test"})
    done = run([PYTHON, "-c", REPORT, "fail"], env=environment(job, tmp_path / "job-home"), check=False)
    assert done.returncode == 1
    ended = job.finish(exit_code=1)
    assert ended["verdict"] == "failed", reasons(ended)
    assert "no orders" in str(ended["reasons"])


def test_a_job_that_forgets_to_close_is_incomplete(shared_sqlite_server: Server, tmp_path: Path) -> None:
    job = register(shared_sqlite_server, context={"asset_keys": ["orders"]}, launcher={"kind": "test"})
    script = "from standpipe import open_pipes\nopen_pipes().report_asset_materialization()"
    run_python("-c", script, env=environment(job, tmp_path / "job-home"))
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "incomplete", reasons(ended)


def test_a_rejected_message_is_told_to_both_sides(shared_sqlite_server: Server, tmp_path: Path) -> None:
    job = register(shared_sqlite_server, context={"asset_keys": ["orders"]}, launcher={"kind": "test"})
    script = """
from standpipe import open_pipes
for _ in range(2):
    with open_pipes() as context:
        context._materialized.clear()
        context.report_asset_materialization()
"""
    done = run_python("-c", script, env=environment(job, tmp_path / "job-home"))
    assert "duplicate-materialization" in done.stderr
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "failed", reasons(ended)


def test_a_server_killed_in_the_middle_has_everything_once(sqlite_server: Server, tmp_path: Path) -> None:
    job = register(sqlite_server, context={}, launcher={"kind": "test"})
    script = """
import os, sys, time
from standpipe import open_pipes
with open_pipes() as context:
    for n in range(5000):
        context.report_custom_message(n)
        if n == 2000:
            print("half", flush=True)
        if n == 2500:
            while not os.path.exists(sys.argv[1]):
                time.sleep(0.01)
"""
    go = tmp_path / "go"
    command = [PYTHON, "-c", script, go]
    with Process(command, log=tmp_path / "log", env=environment(job, tmp_path / "job-home")) as process:
        process.wait_for_output("half")
        sqlite_server.kill9()
        go.touch()
        sqlite_server.restart()
        assert process.wait(timeout=60) == 0, process.output()
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "succeeded", reasons(ended)
    payloads: list[int] = []
    while page := job.events(after=len(payloads) + (1 if payloads else 0), limit=1000):
        payloads += [event["params"]["payload"] for event in page if event["method"] == "report_custom_message"]
        if page[-1]["method"] == "closed":
            break
    assert payloads == list(range(5000))


def test_what_waited_on_disk_makes_an_incomplete_invocation_whole(sqlite_server: Server, tmp_path: Path) -> None:
    job = register(sqlite_server, context={}, launcher={"kind": "test"})
    home = tmp_path / "job-home"
    script = """
import os, sys, time
from standpipe import open_pipes
with open_pipes() as context:
    assert context.flush(30)
    print("opened", flush=True)
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.01)
    for n in range(10):
        context.report_custom_message(n)
"""
    go = tmp_path / "go"
    env = {**environment(job, home), "STANDPIPE_CLOSE_TIMEOUT": "0.2"}
    with Process([PYTHON, "-c", script, go], log=tmp_path / "log", env=env) as process:
        process.wait_for_output("opened")
        sqlite_server.kill9()
        go.touch()
        assert process.wait() == 0
        assert "standpipe deliver" in process.output()
    sqlite_server.restart()
    assert job.finish(exit_code=0)["verdict"] == "incomplete"
    run_python("-m", "standpipe.cli", "deliver", env=env)
    ended = wait_until(lambda: job.read() if job.read()["verdict"] == "succeeded" else None, what="a green verdict")
    assert ended is not None
    assert ended["revision"] >= 1
    assert len(job.events()) == 12


@needs_fork
def test_forked_workers_are_producers_of_their_own_and_the_verdict_is_green(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    script = """
import os, sys
from standpipe import open_pipes
with open_pipes() as context:
    children = []
    for n in range(3):
        pid = os.fork()
        if pid == 0:
            context.report_custom_message(n)
            sys.exit(0)
        children.append(pid)
    for pid in children:
        assert os.waitpid(pid, 0)[1] == 0
"""
    run_python("-c", script, env=environment(job, tmp_path / "job-home"))
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "succeeded", reasons(ended)
    custom = [event for event in job.events() if event["method"] == "report_custom_message"]
    assert sorted(event["params"]["payload"] for event in custom) == [0, 1, 2]
    assert len({event["producer"] for event in custom}) == 3
    assert all("problem" not in event for event in job.events())


@needs_fork
def test_a_worker_that_is_killed_is_missed(shared_sqlite_server: Server, tmp_path: Path) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    script = """
import os, signal
from standpipe import open_pipes
with open_pipes() as context:
    pid = os.fork()
    if pid == 0:
        context.report_custom_message("heard")
        context.flush(30)
        context.report_custom_message("perhaps never sent")
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
"""
    run_python("-c", script, env=environment(job, tmp_path / "job-home"))
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "incomplete"
    assert "never-closed" in str(reasons(ended))


@needs_fork
def test_a_multiprocessing_worker_that_raises_is_told_with_its_exception(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    path = tmp_path / "workers.py"
    path.write_text("""
import multiprocessing
from standpipe import PipesContext, open_pipes

def work(n):
    PipesContext.get().report_custom_message(n)
    if n == 1:
        raise ValueError("worker 1")

if __name__ == "__main__":
    with open_pipes():
        workers = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in range(2)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
""")
    run_python(path, env=environment(job, tmp_path / "job-home"))
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "failed"
    assert ["worker 1" in reason["detail"] for reason in ended["reasons"]] == [True]


def test_a_request_to_cancel_reaches_the_program(shared_sqlite_server: Server, tmp_path: Path) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"}, lease_seconds=3)
    script = """
import time
from standpipe import open_pipes
with open_pipes() as context:
    assert context.flush(30)
    print("running", flush=True)
    while not context.cancel_requested:
        time.sleep(0.01)
print("stopped", flush=True)
"""
    command = [PYTHON, "-c", script]
    with Process(command, log=tmp_path / "log", env=environment(job, tmp_path / "job-home")) as process:
        process.wait_for_output("running")
        assert shared_sqlite_server.http.post(f"{job.path}/cancel").status_code in (200, 202)
        process.wait_for_output("stopped")
        assert process.wait() == 0

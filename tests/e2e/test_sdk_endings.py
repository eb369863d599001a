"""Every way in which a process ends, and what the broker has of it: the table in docs/how-to/report-from-python.md."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.support.processes import PYTHON, Process, child_environment, complaints, run
from tests.support.server import Server
from tests.support.wire import Job, Json, register

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these signals nor fork")


def start(job: Job, tmp_path: Path, script: str) -> Process:
    command = [PYTHON, "-c", script]
    return Process(command, log=tmp_path / "log", env=child_environment(dict(job.registered["env"]), home=tmp_path))


def ended(job: Job, code: int) -> Json:
    return job.finish(exit_code=code)


def codes(invocation: Json) -> list[str]:
    return [reason["code"] for reason in invocation["reasons"]]


REPORTING = """
import time
from standpipe import open_pipes
with open_pipes() as context:
    for n in range(100):
        context.report_custom_message(n)
    print("reporting", flush=True)
    time.sleep(600)
"""


@posix
def test_sigterm_is_told_with_everything_reported_and_ends_the_process_as_ever(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    with start(job, tmp_path, REPORTING) as process:
        process.wait_for_output("reporting")
        process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    events = job.events()
    assert [event["params"]["payload"] for event in events[1:-1]] == list(range(100))
    assert events[-1]["params"]["exception"]["name"] == "SIGTERM"
    assert events[-1]["params"]["signal"] == "SIGTERM"
    verdict = ended(job, -signal.SIGTERM)
    assert (verdict["verdict"], codes(verdict)) == ("failed", ["exception", "exit-code"])


@posix
def test_sigterm_after_a_cancel_is_cancelled(shared_sqlite_server: Server, tmp_path: Path) -> None:
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    with start(job, tmp_path, REPORTING) as process:
        process.wait_for_output("reporting")
        shared_sqlite_server.http.post(f"{job.path}/cancel")
        process.signal(signal.SIGTERM)
        process.wait()
    assert ended(job, -signal.SIGTERM)["verdict"] == "cancelled"


@posix
def test_a_program_that_takes_sigterm_itself_keeps_it(shared_sqlite_server: Server, tmp_path: Path) -> None:
    script = """
import signal, sys, threading
from standpipe import open_pipes
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with open_pipes() as context:
    print("reporting", flush=True)
    threading.Event().wait(600)
"""
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    with start(job, tmp_path, script) as process:
        process.wait_for_output("reporting")
        process.signal(signal.SIGTERM)
        assert process.wait() == 0
    assert ended(job, 0)["verdict"] == "succeeded"


@posix
def test_a_context_that_is_closed_leaves_the_signal_alone(shared_sqlite_server: Server, tmp_path: Path) -> None:
    script = """
import signal
from standpipe import open_pipes
with open_pipes():
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    run([PYTHON, "-c", script], env=child_environment(dict(job.registered["env"]), home=tmp_path))
    assert ended(job, 0)["verdict"] == "succeeded"


@posix
def test_sigterm_with_the_broker_away_ends_in_time_and_keeps_everything_on_disk(
    sqlite_server: Server, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    waiting = f"""
    assert context.flush(30)
    print("opened", flush=True)
    while not os.path.exists({str(go)!r}):
        time.sleep(0.01)
"""
    script = REPORTING.replace("import time", "import os, time").replace("\n    for n", f"{waiting}    for n")
    job = register(sqlite_server, launcher={"kind": "test"})
    with start(job, tmp_path, script) as process:
        process.wait_for_output("opened")
        sqlite_server.kill9()
        go.touch()
        process.wait_for_output("reporting")
        process.signal(signal.SIGTERM)
        assert process.wait(timeout=20) == -signal.SIGTERM
        assert "standpipe deliver" in process.output()
    sqlite_server.restart()
    run([PYTHON, "-m", "standpipe.cli", "deliver"], env=child_environment({}, home=tmp_path))
    assert [event["params"].get("payload") for event in job.events()[1:-1]] == list(range(100))
    assert job.events()[-1]["params"]["exception"]["name"] == "SIGTERM"


@posix
def test_ctrl_c_leaves_the_block_as_an_exception(shared_sqlite_server: Server, tmp_path: Path) -> None:
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    with start(job, tmp_path, REPORTING) as process:
        process.wait_for_output("reporting")
        process.signal(signal.SIGINT)
        assert process.wait() == -signal.SIGINT
    assert job.events()[-1]["params"]["exception"]["name"] == "KeyboardInterrupt"
    # Python made an exception of that signal, and it is the program's.
    assert "signal" not in job.events()[-1]["params"]
    assert ended(job, -signal.SIGINT)["verdict"] == "failed"


@pytest.mark.parametrize(
    ("leaves_by", "code", "expected"),
    [
        ("pass", 0, ("succeeded", [])),
        ("sys.exit()", 0, ("succeeded", [])),
        ("typer.run(lambda: stop(typer.Exit()))", 0, ("succeeded", [])),
        ("stop(SystemExit(0))", 0, ("succeeded", [])),
        ("sys.exit(3)", 3, ("failed", ["exception", "exit-code"])),
        ("typer.run(lambda: stop(typer.Exit(3)))", 3, ("failed", ["exception", "exit-code"])),
        ("typer.run(lambda: stop(typer.Abort()))", 1, ("failed", ["exception", "exit-code"])),
        ("stop(asyncio.CancelledError())", 1, ("failed", ["exception", "exit-code"])),
        ("raise ValueError('no orders')", 1, ("failed", ["exception", "exit-code"])),
        ("os._exit(0)", 0, ("incomplete", ["never-closed"])),
        ("os.kill(os.getpid(), 9)", -9, ("failed", ["exit-code", "never-closed"])),
    ],
)
def test_leaving_the_block(
    shared_sqlite_server: Server, tmp_path: Path, leaves_by: str, code: int, expected: tuple[str, list[str]]
) -> None:
    script = f"""
import asyncio, os, sys, typer
from standpipe import open_pipes

def stop(error):
    raise error

with open_pipes() as context:
    context.report_custom_message(1)
    assert context.flush(30)
    {leaves_by}
"""
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    environment = child_environment(dict(job.registered["env"]), home=tmp_path)
    done = run([PYTHON, "-c", script], env=environment, check=False)
    assert done.returncode == code, done.stderr
    found = ended(job, code)
    assert (found["verdict"], codes(found)) == expected


def test_a_command_that_opens_by_itself_and_stops_early_is_succeeded(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    script = """
import typer
from standpipe import open_pipes

app = typer.Typer()

@app.command()
def load():
    with open_pipes() as context:
        context.report_custom_message(1)
        raise typer.Exit()

app()
"""
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    run([PYTHON, "-c", script], env=child_environment(dict(job.registered["env"]), home=tmp_path))
    assert ended(job, 0)["verdict"] == "succeeded"


def test_a_process_that_never_closes_is_incomplete_also_when_daemon_threads_still_report(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    script = """
import threading, time
from standpipe import open_pipes
context = open_pipes()
started = threading.Event()
def report():
    while True:
        context.report_custom_message("tick")
        started.set()
        time.sleep(0.001)
threading.Thread(target=report, daemon=True).start()
started.wait()
"""
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    environment = child_environment(dict(job.registered["env"]), home=tmp_path)
    done = run([PYTHON, "-c", script], env=environment)
    # What came while it closed may be on disk, and then that is told.
    assert complaints(done.stderr) == "" or "reported while this process closed" in done.stderr
    found = ended(job, 0)
    assert (found["verdict"], codes(found)) == ("incomplete", ["never-closed"])


@pytest.mark.parametrize("registered_first", [True, False])
def test_what_an_exit_handler_reports_is_delivered_when_it_runs_before_ours(
    shared_sqlite_server: Server, tmp_path: Path, registered_first: bool
) -> None:
    """Exit handlers run in reverse: one from before the opening runs after ours, when the context is closed."""
    lines = ["context = open_pipes()", "atexit.register(last)"]
    script = f"""
import atexit
from standpipe import open_pipes, DagsterPipesError
def last():
    try:
        context.report_custom_message("at exit")
    except DagsterPipesError as error:
        print("refused:", error)
{chr(10).join(reversed(lines) if registered_first else lines)}
context.report_custom_message("before")
assert context.flush(30)
"""
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    done = run([PYTHON, "-c", script], env=child_environment(dict(job.registered["env"]), home=tmp_path))
    payloads = [e["params"]["payload"] for e in job.events() if e["method"] == "report_custom_message"]
    if registered_first:
        assert "closed" in done.stdout
        assert payloads == ["before"]
    else:
        assert payloads == ["before", "at exit"]


def test_ranks_of_one_job_are_told_apart_and_the_silent_one_is_named(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    job = register(shared_sqlite_server, launcher={"kind": "test"})
    environment = child_environment(dict(job.registered["env"]), home=tmp_path)
    for rank in range(3):
        script = "import os\nfrom standpipe import open_pipes\ncontext = open_pipes()\nassert context.flush(30)\n"
        script += "os._exit(0)\n" if rank == 2 else "context.close()\n"
        ranked = environment | {"OMPI_COMM_WORLD_RANK": str(rank), "OMPI_COMM_WORLD_SIZE": "3"}
        run([PYTHON, "-c", script], env=ranked)
    opened = [event["params"]["extras"] for event in job.events() if event["method"] == "opened"]
    assert [extras["rank"] for extras in opened] == [0, 1, 2]
    assert {extras["world_size"] for extras in opened} == {3}
    assert {extras["host"] for extras in opened} == {os.uname().nodename if hasattr(os, "uname") else "test"}
    found = ended(job, 0)
    assert found["verdict"] == "incomplete"
    assert "rank 2" in found["reasons"][0]["detail"]

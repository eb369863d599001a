"""SIGTERM ends a process in time, whatever it has open and wherever it runs, and every invocation is told."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import PYTHON, Process, child_environment, run
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, Json, register

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these signals nor fork")

TOLD_SECONDS = 5.0
SLACK_SECONDS = 8.0
"""For a machine that does other things, too. Without bounds the processes here would take half a minute and more."""

OPENING = """
import json, os, sys, threading, time
from standpipe import PipesMappingParamsLoader, open_pipes
events = json.loads(os.environ["EVENTS"])
def opened(event, **options):
    return open_pipes(params_loader=PipesMappingParamsLoader(event), **options)
"""
IN_MAIN_THREAD = f"""{OPENING}
contexts = [opened(event) for event in events]
# Side by side: the first report waits for a server that is away, and each of them for seconds.
reporting = [threading.Thread(target=context.report_custom_message, args=("begun",)) for context in contexts]
for thread in reporting:
    thread.start()
for thread in reporting:
    thread.join()
print("ready", flush=True)
time.sleep(600)
"""
IN_THREADS = f"""{OPENING}
ready = threading.Barrier(len(events) + 1)
def handle(event):
    with opened(event) as context:
        context.report_custom_message("begun")
        ready.wait()
        threading.Event().wait()
threads = [threading.Thread(target=handle, args=(event,), daemon=True) for event in events]
for thread in threads:
    thread.start()
"""
# What the main thread of a worker does, while its threads work.
JOINING = f"""from standpipe import take_sigterm
take_sigterm()
{IN_THREADS}
def tell():
    ready.wait()
    print("ready", flush=True)
threading.Thread(target=tell).start()
for thread in threads:
    thread.join()
"""
POLLING = f"""{IN_THREADS}
ready.wait()
print("ready", flush=True)
while True:
    time.sleep(0.05)
"""


def jobs_of(server: Server, count: int) -> list[Job]:
    return [register(server, launcher={"kind": "test"}) for _ in range(count)]


def environment_of(jobs: list[Job], *, home: Path, **more: str) -> dict[str, str]:
    events = ", ".join("{" + ", ".join(f'"{k}": "{v}"' for k, v in job.registered["env"].items()) + "}" for job in jobs)
    return child_environment({"EVENTS": f"[{events}]", **more}, home=home)


def start(script: str, jobs: list[Job], tmp_path: Path, **more: str) -> Process:
    return Process([PYTHON, "-c", script], log=tmp_path / "log", env=environment_of(jobs, home=tmp_path, **more))


def last(job: Job) -> Json:
    return job.events()[-1]["params"]


@pytest.mark.parametrize("script", [IN_MAIN_THREAD, JOINING, POLLING], ids=["main", "joining", "polling"])
def test_every_open_context_is_closed(shared_sqlite_server: Server, tmp_path: Path, script: str) -> None:
    jobs = jobs_of(shared_sqlite_server, 3)
    with start(script, jobs, tmp_path) as process:
        process.wait_for_output("ready")
        process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    for job in jobs:
        assert [event["method"] for event in job.events()] == ["opened", "report_custom_message", "closed"]
        assert last(job)["signal"] == last(job)["exception"]["name"] == "SIGTERM"
        assert job.finish(exit_code=-signal.SIGTERM)["verdict"] == "failed"


TAKING = """
import os, signal, sys, threading
from standpipe import DagsterPipesError, open_pipes, take_sigterm
def own(*_):
    print("the program's own")
    sys.exit(0)
if "OWN" in os.environ:
    signal.signal(signal.SIGTERM, own)
take_sigterm()
with open_pipes():
    pass
def elsewhere():
    try:
        take_sigterm()
    except DagsterPipesError as error:
        print(error)
thread = threading.Thread(target=elsewhere)
thread.start()
thread.join()
print("ready", flush=True)
threading.Event().wait()
"""


@pytest.mark.parametrize(("own", "code"), [(False, -signal.SIGTERM), (True, 0)])
def test_the_signal_may_be_taken_while_nothing_is_open(
    shared_sqlite_server: Server, tmp_path: Path, own: bool, code: int
) -> None:
    job = jobs_of(shared_sqlite_server, 1)[0]
    environment = child_environment(dict(job.registered["env"]) | ({"OWN": "1"} if own else {}), home=tmp_path)
    with Process([sys.executable, "-c", TAKING], log=tmp_path / "log", env=environment) as process:
        process.wait_for_output("ready")
        process.signal(signal.SIGTERM)
        assert process.wait() == code
        assert ("the program's own" in process.output()) is own
        assert "Only the main thread can take a signal" in process.output()
    assert job.finish(exit_code=0)["verdict"] == "succeeded"


def test_a_server_that_is_away_costs_the_others_nothing_and_all_take_the_time_of_one(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    jobs = jobs_of(shared_sqlite_server, 6)
    for away in jobs[:-1]:
        # The reserved port is refused at once.
        away.registered["env"]["STANDPIPE_URL"] = "http://127.0.0.1:9"
    with start(IN_MAIN_THREAD, jobs, tmp_path) as process:
        process.wait_for_output("ready")
        began = time.monotonic()
        process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert time.monotonic() - began < TOLD_SECONDS + SLACK_SECONDS
        assert process.output().count("standpipe deliver") == 5
    assert last(jobs[-1])["signal"] == "SIGTERM"


def test_the_end_of_a_process_takes_the_time_of_one_as_well(shared_sqlite_server: Server, tmp_path: Path) -> None:
    jobs = jobs_of(shared_sqlite_server, 6)
    for away in jobs[:-1]:
        away.registered["env"]["STANDPIPE_URL"] = "http://127.0.0.1:9"
    script = IN_MAIN_THREAD.replace("time.sleep(600)", "")
    with start(script, jobs, tmp_path, STANDPIPE_CLOSE_TIMEOUT="4") as process:
        process.wait_for_output("ready")
        began = time.monotonic()
        assert process.wait() == 0
        assert time.monotonic() - began < 4 + SLACK_SECONDS
        assert process.output().count("standpipe deliver") == 5
    # A program that did not say that it was done is not taken for one that did.
    assert [event["method"] for event in jobs[-1].events()] == ["opened", "report_custom_message"]
    assert jobs[-1].finish(exit_code=0)["verdict"] == "incomplete"


BUSY = f"""{OPENING}
strict = opened(events[0], strict=True)
assert strict.flush(30)
closing = opened(events[1])
assert closing.flush(30)
strict.log.info("begun")
print("opened", flush=True)
while not os.path.exists(os.environ["GO"]):
    time.sleep(0.01)
def report():
    strict.report_asset_materialization(asset_key="a")
threading.Thread(target=report, daemon=True).start()
threading.Thread(target=closing.close, daemon=True).start()
while not closing.is_closed:
    time.sleep(0.01)
print("busy", flush=True)
time.sleep(600)
"""


def test_threads_that_wait_for_the_server_do_not_hold_up_the_end(sqlite_server: Server, tmp_path: Path) -> None:
    jobs, go = jobs_of(sqlite_server, 2), tmp_path / "go"
    with start(BUSY, jobs, tmp_path, GO=str(go)) as process:
        process.wait_for_output("opened")
        sqlite_server.kill9()
        go.touch()
        process.wait_for_output("busy")
        began = time.monotonic()
        process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert time.monotonic() - began < TOLD_SECONDS + SLACK_SECONDS
    sqlite_server.restart()
    run([PYTHON, "-m", "standpipe.cli", "deliver"], env=child_environment({}, home=tmp_path))
    assert last(jobs[0])["signal"] == "SIGTERM"
    # This one was closing already, and well.
    assert "exception" not in last(jobs[1])


WRITER = f"""{OPENING}
from contextlib import contextmanager
from standpipe import PipesMessageWriter, PipesMessageWriterChannel
class Channel(PipesMessageWriterChannel):
    def write_message(self, message):
        print(message["method"], (message["params"].get("exception") or {{}}).get("name"), flush=True)
        if message["method"] == "closed" and "HANGS" in os.environ:
            threading.Event().wait()
class Writer(PipesMessageWriter):
    @contextmanager
    def open(self, params):
        yield Channel()
context = opened(events[0], message_writer=Writer())
print("ready", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("hangs", [False, True])
def test_a_message_writer_is_told_and_may_hang(shared_sqlite_server: Server, tmp_path: Path, hangs: bool) -> None:
    with start(WRITER, jobs_of(shared_sqlite_server, 1), tmp_path, **({"HANGS": "1"} if hangs else {})) as process:
        process.wait_for_output("ready")
        began = time.monotonic()
        process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert time.monotonic() - began < TOLD_SECONDS + SLACK_SECONDS
        assert "closed SIGTERM" in process.output()


# What a program has printed into a pipe is in its memory until much has come together.
PRINTING = f"""{IN_MAIN_THREAD}""".replace(
    'print("ready", flush=True)', 'print("ready", flush=True)\nprint("held back", end="")'
)


def test_what_was_printed_is_written_out(shared_sqlite_server: Server, tmp_path: Path) -> None:
    jobs = jobs_of(shared_sqlite_server, 1)
    with start(PRINTING, jobs, tmp_path, PYTHONUNBUFFERED="") as process:
        process.wait_for_output("ready")
        assert "held back" not in process.output()
        process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
        assert process.output().endswith("held back")


def why_no_pid_1() -> str | None:
    """Why no process can be the first of a namespace here, or None where it can."""
    if not sys.platform.startswith("linux"):
        return "only Linux has namespaces of processes"
    try:
        done = subprocess.run(["unshare", *NAMESPACE, "true"], capture_output=True, timeout=30, check=False)
    except FileNotFoundError:
        return "there is no `unshare`"
    return None if done.returncode == 0 else f"`unshare` may not be used here: {done.stderr.decode().strip()}"


NAMESPACE = ("--pid", "--fork", "--mount-proc", "--kill-child")
PID_1 = f"""{IN_MAIN_THREAD}
""".replace("time.sleep(600)", "assert os.getpid() == 1\nfor _ in range(3):\n    time.sleep(GONE)\nprint('went on')")


class FirstOfNamespace:
    """A job that is process 1, as `CMD ["python", "job.py"]` makes it in a container."""

    def __init__(self, server: Server, tmp_path: Path, script: str) -> None:
        if (reason := why_no_pid_1()) is not None:
            pytest.skip(f"No process can be the first of a namespace: {reason}.")
        self.job = jobs_of(server, 1)[0]
        environment = environment_of([self.job], home=tmp_path)
        command = ["unshare", *NAMESPACE, PYTHON, "-c", script]
        self.process = Process(command, log=tmp_path / "log", env=environment)

    def signal_from_inside(self, number: int) -> None:
        self.process.wait_for_output("ready")
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        inner = wait_until(lambda: children.read_text().split(), what="the process that `unshare` started")
        os.kill(int(inner[0]), number)


@pytest.mark.parametrize(
    ("number", "code", "name"), [(signal.SIGTERM, 143, "SIGTERM"), (signal.SIGINT, 130, "KeyboardInterrupt")]
)
def test_the_first_process_of_a_container_ends(
    shared_sqlite_server: Server, tmp_path: Path, number: int, code: int, name: str
) -> None:
    script = PID_1.replace("GONE", "600")
    if number == signal.SIGINT:
        script = script.replace("contexts = [opened(event) for event in events]", "contexts = [opened(events[0])]")
        script = script.replace("for _ in range(3):\n    time.sleep(600)", "with contexts[0]:\n    time.sleep(600)")
    first = FirstOfNamespace(shared_sqlite_server, tmp_path, script)
    with first.process:
        first.signal_from_inside(number)
        assert first.process.wait() == code
        assert "went on" not in first.process.output()
    assert last(first.job)["exception"]["name"] == name
    assert first.job.finish(exit_code=code)["verdict"] == "failed"


def test_a_hangup_is_nothing_to_the_first_process_of_a_container(shared_sqlite_server: Server, tmp_path: Path) -> None:
    """The system drops what such a process has no handler for, and the SDK has none for SIGHUP: the work goes on."""
    script = PID_1.replace("GONE", "0.3") + "for context in contexts:\n    context.close()\n"
    first = FirstOfNamespace(shared_sqlite_server, tmp_path, script)
    with first.process:
        first.signal_from_inside(signal.SIGHUP)
        assert first.process.wait() == 0
    assert first.job.finish(exit_code=0)["verdict"] == "succeeded"

"""What a process left on disk, in real processes: nothing of it is lost, whoever is killed when."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe.spool.format import SpoolHeader
from standpipe.testing import RecordingBroker, recording_broker
from standpipe_protocol.bootstrap import Bootstrap
from tests.support.processes import PYTHON, Process, child_environment, run, run_python
from tests.support.server import Server
from tests.support.wire import Job, register


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker(asset_keys=["orders"], extras={"foo": "bar"}) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def environment(broker: RecordingBroker, home: Path, extra: dict[str, str] | None = None) -> dict[str, str]:
    return child_environment({**broker.environment(), **(extra or {})}, home=home, warnings="error")


def test_a_process_whose_server_never_comes_ends_and_its_reports_wait_on_disk(
    broker: RecordingBroker, home: Path
) -> None:
    script = """
from standpipe import open_pipes
with open_pipes() as context:
    for n in range(100):
        context.report_custom_message(n)
print("work done")
"""
    broker.stop()
    patience = {"STANDPIPE_CLOSE_TIMEOUT": "0.5"}
    done = run_python("-c", script, env=environment(broker, home, patience))
    assert done.stdout == "work done\n"
    assert "102 messages" in done.stderr
    assert "standpipe deliver" in done.stderr
    broker.start()
    delivered = run_python("-m", "standpipe.cli", "deliver", env=environment(broker, home))
    assert "102 messages delivered" in delivered.stdout
    assert broker.custom_messages == list(range(100))
    assert broker.closed is not None


def test_reports_outlive_a_process_that_is_killed_while_the_server_is_away(
    broker: RecordingBroker, home: Path, tmp_path: Path
) -> None:
    script = """
import time
from standpipe import open_pipes
context = open_pipes()
for n in range(100):
    context.report_custom_message(n)
print("reported", flush=True)
time.sleep(600)
"""
    broker.stop()
    with Process([PYTHON, "-c", script], log=tmp_path / "log", env=environment(broker, home)) as process:
        process.wait_for_output("They are kept and tried again")
        process.wait_for_output("reported")
        process.kill9()
    broker.start()
    delivered = run_python("-m", "standpipe.cli", "deliver", env=environment(broker, home))
    assert "101 messages delivered" in delivered.stdout
    assert broker.custom_messages == list(range(100))
    # Nothing says that the work was done.
    assert broker.closed is None


def test_what_was_on_disk_stays_there_until_the_server_has_it(
    broker: RecordingBroker, home: Path, tmp_path: Path
) -> None:
    script = """
import os, sys, time
from standpipe import open_pipes
context = open_pipes()
assert context.flush(30) and context.get_extra("foo") == "bar"
print("opened", flush=True)
while not os.path.exists(sys.argv[1]):
    time.sleep(0.01)
for n in range(100):
    context.report_custom_message(n)
time.sleep(600)
"""
    away = tmp_path / "away"
    command = [PYTHON, "-c", script, away]
    with Process(command, log=tmp_path / "log", env=environment(broker, home)) as process:
        process.wait_for_output("opened")
        broker.stop()
        away.touch()
        process.wait_for_output("They are kept and tried again")
        # The next attempt reads them back from the disk, and is refused.
        before = len(broker.requests)
        broker.refuse(1, retry_after=300.0)
        broker.start()
        broker.wait_for(lambda b: len(b.requests) > before)
        process.kill9()
    delivered = run_python("-m", "standpipe.cli", "deliver", env=environment(broker, home))
    assert "100 messages delivered" in delivered.stdout
    assert broker.custom_messages == list(range(100))


@pytest.mark.parametrize("when", ["while a request is open", "with a server that never came"])
def test_spool_first_loses_nothing_to_sigkill(broker: RecordingBroker, home: Path, tmp_path: Path, when: str) -> None:
    script = """
import os, signal
from standpipe import open_pipes
context = open_pipes(spool="first")
for n in range(2000):
    context.report_custom_message(n)
os.kill(os.getpid(), signal.SIGKILL)
"""
    if when == "while a request is open":
        broker.hold()
    else:
        broker.stop()
    done = run([PYTHON, "-c", script], env=environment(broker, home), check=False)
    assert done.returncode == -9
    if when == "while a request is open":
        broker.let_go()
    else:
        broker.start()
    delivered = run_python("-m", "standpipe.cli", "deliver", env=environment(broker, home))
    assert delivered.stderr == ""
    assert broker.custom_messages == list(range(2000))
    assert [one.seq for one in broker.messages] == list(range(1, 2002))
    assert list(home.rglob("*.ndjson")) == []


def ended_by_the_launcher(job: Job, exit_code: int) -> tuple[object, set[str]]:
    ended = job.finish(exit_code=exit_code)
    return ended["verdict"], {reason["code"] for reason in ended["reasons"]}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_what_a_killed_process_had_on_disk_arrives_after_the_end_and_the_verdict_stays_honest(
    sqlite_server: Server, home: Path
) -> None:
    job = register(sqlite_server, context={}, launcher={"kind": "test"})
    script = """
import os, signal
from standpipe import open_pipes
context = open_pipes()
for n in range(500):
    context.report_custom_message(n)
os.kill(os.getpid(), signal.SIGKILL)
"""
    env = child_environment({**job.registered["env"], "STANDPIPE_SPOOL": "first"}, home=home)
    assert run([PYTHON, "-c", script], env=env, check=False).returncode == -9
    verdict, _ = ended_by_the_launcher(job, -9)
    assert verdict in ("failed", "incomplete")
    run_python("-m", "standpipe.cli", "deliver", env=env)
    events = job.events()
    assert [e["params"]["payload"] for e in events if e["method"] == "report_custom_message"] == list(range(500))
    assert [event["seq"] for event in events] == list(range(1, 502))
    verdict, codes = ended_by_the_launcher(job, -9)
    assert (verdict, "never-closed" in codes) == ("failed", True)


def test_a_whole_spool_delivered_after_the_end_makes_it_whole(sqlite_server: Server, home: Path) -> None:
    job = register(sqlite_server, context={}, launcher={"kind": "test"})
    script = """
from standpipe import open_pipes
with open_pipes() as context:
    for n in range(500):
        context.report_custom_message(n)
"""
    # Nobody listens on port 9 of loopback: the server is away for this process.
    away = {"STANDPIPE_URL": "http://127.0.0.1:9", "STANDPIPE_CLOSE_TIMEOUT": "0.2"}
    env = child_environment({**job.registered["env"], **away}, home=home)
    run_python("-c", script, env=env)
    assert ended_by_the_launcher(job, 0) == ("incomplete", {"never-opened"})
    (file,) = home.rglob("*.ndjson")
    # It says itself where it belongs, and that was wrong: its first line is written anew, checksum and all.
    first, rest = file.read_bytes().split(b"\n", 1)
    header = SpoolHeader.from_line(first)
    right = Bootstrap.from_environment(dict(job.registered["env"]))
    assert right is not None
    moved = SpoolHeader(bootstrap=right, producer=header.producer, first_seq=header.first_seq)
    file.write_bytes(moved.to_line() + rest)
    run_python("-m", "standpipe.cli", "deliver", env=env)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])
    assert ended["revision"] > 1

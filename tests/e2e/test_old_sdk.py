"""Programs with the SDK of protocol 1.0, from its wheel, against today's server: they go on working, as they did.

An SDK is part of a job's image, and images are not rebuilt when a server is. The verdicts here are those that a server
of protocol 1.0 gave to the same programs.
"""

from __future__ import annotations

import shlex
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from standpipe_orchestrator import BrokerClient, PipesExecutionError, PipesSubprocessClient
from tests.conftest import ServerFactory
from tests.support import baseline
from tests.support.once import made_once
from tests.support.processes import Process, child_environment, run
from tests.support.server import Server
from tests.support.wire import Job, Json, register

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has neither these signals nor fork")


@dataclass(frozen=True, slots=True)
class OldPrograms:
    """Runs programs of one test with the old SDK."""

    python: Path
    home: Path

    def environment(self, job: Job, **extra: str) -> dict[str, str]:
        return child_environment({**job.registered["env"], **extra}, home=self.home)

    def run(self, job: Job, script: str, *, code: int = 0, **extra: str) -> str:
        """Runs a program to its end, which must be `code`; returns what it wrote to stderr."""
        done = run([self.python, "-c", script], env=self.environment(job, **extra), check=False)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stderr

    def start(self, job: Job, script: str, **extra: str) -> Process:
        command = [self.python, "-c", script]
        return Process(command, log=self.home.with_name("program.log"), env=self.environment(job, **extra))

    def deliver(self) -> str:
        """Runs the old `standpipe deliver`; returns what it wrote."""
        return run([self.python.with_name("standpipe"), "deliver"], env=child_environment(home=self.home)).stdout


@pytest.fixture
def old(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> OldPrograms:
    folder = made_once(tmp_path_factory, "old-sdk", baseline.install_sdk)
    return OldPrograms(baseline.sdk_python(folder), tmp_path / "job-home")


def verdict(ended: Json) -> tuple[str, list[str]]:
    return ended["verdict"], [reason["code"] for reason in ended["reasons"]]


def payloads(job: Job) -> list[Any]:
    return [event["params"]["payload"] for event in job.events() if event["method"] == "report_custom_message"]


def test_the_old_sdk_is_the_one_that_runs(old: OldPrograms) -> None:
    code = "import standpipe, standpipe_protocol; print(standpipe.__file__); print(standpipe_protocol.__file__)"
    for file in run([old.python, "-c", code]).stdout.splitlines():
        assert Path(file).is_relative_to(old.python.parents[1])


EVERYTHING = """
import logging
from standpipe import StandpipeHandler, open_pipes
logging.getLogger().addHandler(StandpipeHandler())
with open_pipes() as context:
    assert context.get_extra("region") == "eu"
    context.report_asset_materialization(metadata={"rows": 3, "ratio": float("nan")}, data_version="1")
    context.report_asset_check("not_empty", True, metadata={"n": 3})
    context.report_custom_message({"text": "x" * 20_000})
    context.log.warning("careful", extra={"order": 7})
    logging.getLogger("other").error("from elsewhere")
    assert context.flush(30)
report = context.close()
assert (report.numbered, report.acknowledged, report.rejected) == (7, 7, ()), report
"""


def test_a_program_reports_everything_and_succeeds(shared_server: Server, old: OldPrograms) -> None:
    context = {"asset_keys": ["orders"], "extras": {"region": "eu"}}
    expected = {"asset_keys": ["orders"], "checks": [{"asset_key": "orders", "check_name": "not_empty"}]}
    job = register(shared_server, context=context, launcher={"kind": "test"}, expected=expected)
    assert old.run(job, EVERYTHING) == ""
    ended = job.finish(exit_code=0)
    assert verdict(ended) == ("succeeded", [])
    assert ended["receipt"]["summary"] == "sent 7, stored 7, no gap"
    events = job.events()
    assert [event["method"] for event in events] == [
        "opened",
        "report_asset_materialization",
        "report_asset_check",
        "report_custom_message",
        "log",
        "log",
        "closed",
    ]
    assert all("problem" not in event for event in events)
    assert events[1]["params"]["metadata"]["ratio"] == {"raw_value": "NaN", "type": "float"}
    assert [event["params"]["message"] for event in events[4:6]] == ["careful", "from elsewhere"]


def test_a_program_that_another_ends_without_finish_settles(shared_server: Server, old: OldPrograms) -> None:
    job = register(shared_server, context={}, settle_seconds=0)
    old.run(job, "from standpipe import open_pipes\nwith open_pipes() as c: c.report_custom_message(1)")
    with job.stream() as events:
        (last,) = [event for event in events if event.event == "end"]
    assert last.data["verdict"] == "succeeded"


FAILED_CHECK = "c.report_asset_check('fresh', False, asset_key='orders')"
FORK = """
import os, sys
{before}
with open_pipes() as context:
    pid = os.fork()
    if pid == 0:
        context.report_custom_message("child")
        {child}
    os.waitpid(pid, 0)
    context.report_custom_message("parent")
"""
POOL = """
import multiprocessing
from standpipe import PipesContext, open_pipes

def work(n):
    PipesContext.get().report_custom_message(n)
    PipesContext.get().flush(30)

if __name__ == "__main__":
    with open_pipes() as context:
        pool = multiprocessing.get_context("fork").Pool(2)
        pool.map(work, range(20))
        pool.{ends}()
        pool.join()
"""


@pytest.mark.parametrize(
    ("leaves_by", "code", "expected"),
    [
        ("pass", 0, ("succeeded", [])),
        (FAILED_CHECK, 0, ("succeeded", [])),
        ("sys.exit()", 0, ("succeeded", [])),
        ("sys.exit(3)", 3, ("failed", ["exception", "exit-code"])),
        ("raise ValueError('no orders')", 1, ("failed", ["exception", "exit-code"])),
        ("assert c.flush(30); os._exit(0)", 0, ("incomplete", ["never-closed"])),
        ("assert c.flush(30); os._exit(3)", 3, ("failed", ["exit-code", "never-closed"])),
        ("assert c.flush(30); os.kill(os.getpid(), 9)", -9, ("failed", ["exit-code", "never-closed"])),
    ],
)
def test_leaving_the_block(
    shared_sqlite_server: Server, old: OldPrograms, leaves_by: str, code: int, expected: tuple[str, list[str]]
) -> None:
    job = register(shared_sqlite_server, context={"asset_keys": ["orders"]}, launcher={"kind": "test"})
    script = "import os, sys\nfrom standpipe import open_pipes\nwith open_pipes() as c:\n"
    old.run(job, f"{script}    c.report_custom_message(1)\n    {leaves_by}", code=code)
    ended = job.finish(exit_code=code)
    assert verdict(ended) == expected
    assert ended["failed_checks"]["error"] == (1 if leaves_by == FAILED_CHECK else 0)
    assert payloads(job) == [1]


def test_a_program_that_never_opens_is_missed(shared_sqlite_server: Server, old: OldPrograms) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    old.run(job, "import standpipe")
    assert verdict(job.finish(exit_code=0)) == ("incomplete", ["never-opened"])


def test_a_message_that_breaks_a_rule_fails_the_invocation(shared_sqlite_server: Server, old: OldPrograms) -> None:
    job = register(shared_sqlite_server, context={"asset_keys": ["orders"]}, launcher={"kind": "test"})
    script = """
from standpipe import open_pipes
for _ in range(2):
    with open_pipes() as context:
        context._materialized.clear()
        context.report_asset_materialization()
"""
    assert "duplicate-materialization" in old.run(job, script)
    assert verdict(job.finish(exit_code=0)) == ("failed", ["rejected-messages"])


CANCELLED = ("cancelled", ["cancel-requested", "exception", "exit-code"])
RUNNING = """
from standpipe import open_pipes
import threading
with open_pipes() as context:
    context.report_custom_message(1)
    assert context.flush(30)
    print("running", flush=True)
    {waits}
"""


@pytest.mark.parametrize(
    ("waits", "code", "expected"),
    [
        ("while not context.cancel_requested: threading.Event().wait(0.01)", 0, ("succeeded", [])),
        # PipesCancelled leaves the block.
        ("while True: threading.Event().wait(0.01); context.checkpoint()", 1, CANCELLED),
    ],
)
def test_a_request_to_cancel_reaches_the_program(
    shared_sqlite_server: Server, old: OldPrograms, waits: str, code: int, expected: tuple[str, list[str]]
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"}, lease_seconds=3)
    with old.start(job, RUNNING.format(waits=waits)) as process:
        process.wait_for_output("running")
        shared_sqlite_server.http.post(f"{job.path}/cancel")
        assert process.wait() == code, process.output()
    assert verdict(job.finish(exit_code=code)) == expected


@pytest.mark.parametrize(
    ("cancel", "expected"),
    [(False, ("failed", ["exception", "exit-code"])), (True, CANCELLED)],
)
def test_sigterm_is_reported_as_the_exception_that_it_was(
    shared_sqlite_server: Server, old: OldPrograms, cancel: bool, expected: tuple[str, list[str]]
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    with old.start(job, RUNNING.format(waits="threading.Event().wait(600)")) as process:
        process.wait_for_output("running")
        if cancel:
            shared_sqlite_server.http.post(f"{job.path}/cancel")
        process.signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM
    assert job.events()[-1]["params"]["exception"]["name"] == "SIGTERM"
    assert verdict(job.finish(exit_code=-signal.SIGTERM)) == expected


@pytest.mark.parametrize(
    ("child", "expected"),
    [
        ("sys.exit(0)", ("succeeded", [])),
        ("os._exit(0)", ("incomplete", ["never-closed"])),
        ("context.flush(30); os.kill(os.getpid(), 9)", ("incomplete", ["never-closed"])),
        ("raise ValueError('in the child')", ("failed", ["exception"])),
    ],
)
def test_a_forked_child_is_a_producer_of_its_own(
    shared_sqlite_server: Server, old: OldPrograms, child: str, expected: tuple[str, list[str]]
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    old.run(job, FORK.format(before="from standpipe import open_pipes", child=child))
    ended = job.finish(exit_code=0)
    assert verdict(ended) == expected
    assert len({event["producer"] for event in job.events()}) == 2
    assert set(payloads(job)) >= {"parent"}


@pytest.mark.parametrize(
    ("ends", "expected"),
    # `with Pool()` calls terminate: the workers are killed, and the old SDK cannot say more than that.
    [("close", ("succeeded", set[str]())), ("terminate", ("incomplete", {"never-closed"}))],
)
def test_the_workers_of_a_forked_pool(
    shared_sqlite_server: Server, old: OldPrograms, tmp_path: Path, ends: str, expected: tuple[str, set[str]]
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    file = tmp_path / "pool.py"
    file.write_text(POOL.format(ends=ends))
    run([old.python, "-W", "ignore", file], env=old.environment(job))
    name, codes = verdict(job.finish(exit_code=0))
    assert (name, set(codes)) == expected
    assert sorted(payloads(job)) == list(range(20))


def test_two_processes_that_follow_each_other_are_both_of_the_job(
    shared_sqlite_server: Server, old: OldPrograms
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    script = "import os\nfrom standpipe import open_pipes\nwith open_pipes() as c:\n    assert c.flush(30)\n"
    old.run(job, f"{script}    os._exit(0)")
    old.run(job, script)
    ended = job.finish(exit_code=0)
    # The old SDK numbers no attempts: the second program does not stand for the first.
    assert verdict(ended) == ("incomplete", ["never-closed"])


def test_a_program_started_a_second_time_by_a_platform_that_numbers_attempts_is_as_before(
    shared_sqlite_server: Server, old: OldPrograms
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    script = "import os\nfrom standpipe import open_pipes\nwith open_pipes() as c:\n    assert c.flush(30)\n"
    old.run(job, f"{script}    os._exit(0)", SLURM_RESTART_COUNT="0")
    old.run(job, script, SLURM_RESTART_COUNT="1")
    assert verdict(job.finish(exit_code=0)) == ("incomplete", ["never-closed"])


MANY = """
import os
from standpipe import open_pipes
with open_pipes() as context:
    for n in range(500):
        context.report_custom_message(n)
    {leaves_by}
"""


def test_what_a_killed_program_had_on_disk_arrives_after_the_end(shared_server: Server, old: OldPrograms) -> None:
    job = register(shared_server, context={}, launcher={"kind": "test"})
    old.run(job, MANY.format(leaves_by="os.kill(os.getpid(), 9)"), code=-9, STANDPIPE_SPOOL="first")
    assert job.finish(exit_code=-9)["verdict"] == "failed"
    old.deliver()
    assert payloads(job) == list(range(500))
    assert verdict(job.read()) == ("failed", ["exit-code", "never-closed"])


def test_a_spool_that_the_old_command_delivers_makes_an_incomplete_invocation_whole(
    database_url: str, start_server: ServerFactory, old: OldPrograms, tmp_path: Path
) -> None:
    server = start_server(database_url=database_url)
    job = register(server, context={}, launcher={"kind": "test"})
    go = tmp_path / "go"
    waits = f"""print("opened", flush=True)
    import time
    while not os.path.exists({str(go)!r}): time.sleep(0.01)
    for n in range(500): context.report_custom_message(n)
"""
    script = RUNNING.replace("import threading", "import os").format(waits=waits)
    with old.start(job, script, STANDPIPE_CLOSE_TIMEOUT="0.2") as process:
        process.wait_for_output("opened")
        server.kill9()
        go.touch()
        assert process.wait() == 0
        assert "standpipe deliver" in process.output()
    server.restart()
    assert verdict(job.finish(exit_code=0))[0] == "incomplete"
    assert "delivered" in old.deliver()
    ended = job.read()
    assert verdict(ended) == ("succeeded", [])
    assert ended["revision"] > 1
    assert payloads(job) == [1, *range(500)]


def test_a_server_that_is_killed_and_comes_back_has_everything_once(
    sqlite_server: Server, old: OldPrograms, tmp_path: Path
) -> None:
    job = register(sqlite_server, context={}, launcher={"kind": "test"})
    go = tmp_path / "go"
    waits = f"""
    import os, time
    for n in range(2, 500): context.report_custom_message(n)
    while not os.path.exists({str(go)!r}): time.sleep(0.01)
    for n in range(500, 900): context.report_custom_message(n)
"""
    with old.start(job, RUNNING.format(waits=waits.lstrip())) as process:
        process.wait_for_output("running")
        sqlite_server.kill9()
        go.touch()
        sqlite_server.restart()
        assert process.wait() == 0, process.output()
    assert verdict(job.finish(exit_code=0)) == ("succeeded", [])
    assert payloads(job) == list(range(1, 900))


@pytest.mark.parametrize("key", [None, "an-old-program"])
def test_an_opening_that_a_killed_program_left_is_delivered_by_todays_launcher(
    shared_sqlite_server: Server, old: OldPrograms, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: str | None
) -> None:
    # The old SDK knows nothing of the spool that the launcher names to it, and does not have the launcher's home.
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "orchestrators-home"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    script = (
        "import os\nfrom standpipe import open_pipes\nopen_pipes().report_custom_message(1)\nos.kill(os.getpid(), 9)"
    )
    command = f"{shlex.quote(str(old.python))} -c {shlex.quote(script)}; exit 0"
    server = shared_sqlite_server
    with BrokerClient(server.url, api_key=server.api_key) as client, pytest.raises(PipesExecutionError) as missed:
        PipesSubprocessClient(client=client, env={"STANDPIPE_SPOOL": "first"}).run(
            context=None, command=command, pipes="optional", key=key
        )
    assert [reason.code for reason in missed.value.reasons] == ["never-closed"]
    assert (tmp_path / "data" / "standpipe" / "spool").is_dir()
    assert not list(tmp_path.rglob("*.ndjson"))

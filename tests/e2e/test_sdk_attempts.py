"""A platform starts the same work again, with a number: the older one's words count for nothing, the newer's do."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.processes import Process, child_environment, complaints, run, run_python
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, register

REPORTING = """
import os, sys
from standpipe import open_pipes
with open_pipes() as context:
    context.report_asset_materialization(asset_key="orders", metadata={"attempt": int(sys.argv[1])})
    context.report_asset_check("ok", passed=True, asset_key="orders")
    assert context.flush(30)
    if sys.argv[1] == "1":
        os._exit(1)
"""


@pytest.fixture
def job(shared_server: Server) -> Job:
    return register(shared_server, context={"asset_keys": ["orders"]}, launcher={"kind": "test"})


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {"SLURM_RESTART_COUNT": "1"}),
        ({"STANDPIPE_ATTEMPT": "1"}, {"STANDPIPE_ATTEMPT": "2"}),
        (
            {"CONTAINER_ID": "container_1410901177871_0001_01_000001"},
            {"CONTAINER_ID": "container_1410901177871_0001_02_000001"},
        ),
        (
            {"RANK": "0", "TORCHELASTIC_RESTART_COUNT": "0"},
            {"RANK": "0", "TORCHELASTIC_RESTART_COUNT": "1"},
        ),
    ],
    ids=["slurm", "standpipe", "yarn", "torchrun"],
)
def test_work_that_is_started_again_with_its_number_is_green(
    job: Job, tmp_path: Path, first: dict[str, str], second: dict[str, str]
) -> None:
    env = child_environment(dict(job.registered["env"]), home=tmp_path / "home")
    assert run([sys.executable, "-c", REPORTING, "1"], env=env | first, check=False).returncode == 1
    run_python("-c", REPORTING, "2", env=env | second)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])


def test_without_a_number_two_programs_are_two(job: Job, tmp_path: Path) -> None:
    env = child_environment(dict(job.registered["env"]), home=tmp_path / "home")
    run([sys.executable, "-c", REPORTING, "1"], env=env, check=False)
    run_python("-c", REPORTING, "2", env=env)
    assert job.finish(exit_code=0)["verdict"] == "failed"  # a second materialization of one key


GOING_ON = """
import os, sys
from standpipe import open_pipes
def say(line):  # in one write: a warning cannot come between a line and its end
    os.write(1, (line + "\\n").encode())
with open_pipes({arguments}) as context:
    context.report_custom_message("begun")
    assert context.flush(30)
    say("begun")
    sys.stdin.readline()
    for n in range(3):
        context.report_custom_message(n)
        context.log.info("still here")
        context.flush(5)
    say(f"flushed {{context.flush(5)}}")
say("the program went on")
"""


@pytest.mark.parametrize("arguments", ["", "strict=True", "spool='first'"])
def test_a_superseded_process_stops_reporting_says_so_once_and_goes_on(
    job: Job, tmp_path: Path, arguments: str
) -> None:
    env = child_environment(dict(job.registered["env"]), home=tmp_path / "home")
    command = [sys.executable, "-c", GOING_ON.format(arguments=arguments)]
    with Process(command, log=tmp_path / "log", env=env, keep_stdin_open=True) as older:
        older.wait_for_output("begun")
        newer = "from standpipe import open_pipes\nwith open_pipes() as c: c.report_custom_message('newer')"
        run_python("-c", newer, env=env | {"STANDPIPE_ATTEMPT": "1"})
        older.close_stdin()
        assert older.wait() == 0
        output = older.output()
    assert output.count("A newer attempt of invocation") == 1
    assert [line for line in output.splitlines() if "newer attempt" not in line] == [
        "begun",
        "flushed False",
        "the program went on",
    ]
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])
    assert list((tmp_path / "home").rglob("*.ndjson")) == []
    # The first word after the newer attempt began was still sent, and was answered so; none after it.
    payloads = [e["params"]["payload"] for e in job.events() if e["method"] == "report_custom_message"]
    assert payloads == ["begun", "newer", 0]


def test_a_parent_lives_on_beside_a_worker_that_is_started_again(job: Job, tmp_path: Path) -> None:
    worker = """
import os
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message("worker " + os.environ["TORCHELASTIC_RESTART_COUNT"])
    assert context.flush(30)
    if os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
        os._exit(1)
"""
    script = f"""
import os, subprocess, sys
from standpipe import open_pipes
with open_pipes() as context:
    for count in "01":
        env = dict(os.environ, RANK="0", TORCHELASTIC_RESTART_COUNT=count)
        subprocess.run([sys.executable, "-c", {worker!r}], env=env)
    context.report_custom_message("parent")
    assert context.flush(30)
"""
    run_python("-c", script, env=child_environment(dict(job.registered["env"]), home=tmp_path / "home"))
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])


LATE = """
from standpipe import open_pipes
with open_pipes() as context:
    print(context.get_extra("day"))
    context.report_asset_check("not_empty", passed=False, asset_key="orders")
"""


def test_a_process_that_opens_after_the_end_takes_the_verdict_back_and_reads_its_context(
    shared_server: Server, tmp_path: Path
) -> None:
    job = register(shared_server, context={"extras": {"day": "monday"}}, launcher={"kind": "test"})
    env = child_environment(dict(job.registered["env"]), home=tmp_path / "home")
    run_python("-c", "from standpipe import open_pipes\nwith open_pipes(): pass", env=env)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"
    done = run_python("-c", LATE, env=env)
    assert (done.stdout, complaints(done.stderr)) == ("monday\n", "")
    wait_until(lambda: job.read()["verdict"] == "incomplete", what="the verdict to be taken back")
    assert [reason["code"] for reason in job.read()["reasons"]] == ["late-producer"]
    assert [event["method"] for event in job.events()][-2:] == ["report_asset_check", "closed"]


def test_a_late_process_that_is_killed_at_once_is_told_of_by_the_next_one(
    shared_server: Server, tmp_path: Path
) -> None:
    job = register(shared_server, context={}, launcher={"kind": "test"})
    env = child_environment(dict(job.registered["env"]), home=tmp_path / "home")
    run_python("-c", "from standpipe import open_pipes\nwith open_pipes(): pass", env=env)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"
    run_python("-c", "import os\nfrom standpipe import open_pipes\nopen_pipes()\nos._exit(0)", env=env)
    run([sys.executable, "-m", "standpipe.cli", "deliver"], env=env)
    assert {reason["code"] for reason in job.read()["reasons"]} == {"late-producer", "never-closed"}

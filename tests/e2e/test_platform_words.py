"""What platforms do to work, in a terminal: it waits, is judged by its launcher, is started again, is stopped."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import platform_story as story
from tests.support.fork_server import ForkServer
from tests.support.processes import Process, child_environment, run
from tests.support.server import Server
from tests.support.terminal import on_terminal
from tests.support.wire import Job, closed, opened, register

STANDPIPE = Path(sys.executable).parent / "standpipe"
RED = "\x1b[31m"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    with Server(tmp_path_factory.mktemp("platforms") / "home", fork_server=fork_server) as server:
        yield server


def standpipe(broker: Server, *words: str) -> str:
    return run([STANDPIPE, *words], env=child_environment(home=broker.home)).stdout


def listed(broker: Server, job: Job) -> str:
    (line,) = [line for line in standpipe(broker, "ls").splitlines() if job.id in line]
    return line


def shown(broker: Server, job: Job) -> dict[str, str]:
    """The lines of the head by their names."""
    head = standpipe(broker, "show", job.id).split("\n\n")[0]
    lines = [re.split(r" {2,}", line, maxsplit=1) for line in head.splitlines() if not line.startswith(" ")]
    return dict(lines)


def test_a_queued_job_looks_queued_and_its_queue_time_is_told_apart(broker: Server) -> None:
    waits, runs = story.queued(broker), story.on_its_way(broker)

    assert re.search(r"  queued  .* 3 min \d+ s ", listed(broker, waits))
    assert re.search(r"  running  .*  2 min 1 s +1 min \d+ s ", listed(broker, runs))
    head = shown(broker, waits)
    assert (head["Status"], head["Platform"].startswith("slurm, job 4711")) == ("queued", True)
    assert re.fullmatch(r"3 min \d+ s since [\d:]+", head["Queued"])
    assert "Running" not in head
    head = shown(broker, runs)
    assert (head["Queued"], head["Starting"]) == ("2 min 1 s", "19 s")
    assert head["Platform"] == (
        "kubernetes, job default/train-4711, node n7, image shop/train:17, https://cluster.example.com/jobs/4711"
    )
    again = story.queued_again(broker)
    assert shown(broker, again)["Status"].startswith("queued")


def test_following_a_queued_job_says_that_it_is_queued(broker: Server, tmp_path: Path) -> None:
    job = story.queued(broker)
    command = [STANDPIPE, "tail", "-f", job.id]
    with Process(command, log=tmp_path / "out", env=child_environment(home=broker.home)) as tail:
        tail.wait_for_output("Queued on ")
        job.append([opened(), closed()])
        job.finish(exit_code=0)
        assert tail.wait() == 0


def test_a_green_that_the_launcher_judged_says_so(broker: Server) -> None:
    green, red = story.judged_green(broker), story.judged_red(broker)

    assert "  succeeded · by exit code  " in listed(broker, green)
    assert "  failed · by launcher  " in listed(broker, red)
    head = shown(broker, green)
    assert head["Verdict"].startswith("succeeded · by exit code after 3.")
    assert head["Judged"] == "by exit code: no process reported, and none had to"
    assert shown(broker, red)["Launcher"] == "failed, timeout"
    assert "by exit code" in standpipe(broker, "tail", "-f", green.id)


def test_attempts_are_shown_and_what_is_superseded_is_not_red(broker: Server) -> None:
    job = story.started_again(broker)

    text, code = on_terminal([str(STANDPIPE), "show", job.id], home=broker.home, columns=160)
    assert (code, RED in text) == (0, False), text
    head = shown(broker, job)
    assert head["Attempts"] == "1 (pod-c): 3 processes"
    told = standpipe(broker, "show", job.id)
    assert "0: 2 processes, superseded" in told
    assert "old-1: superseded, rank 1, attempt 0 (pod-b), open, 3 messages stored" in told
    changes = [line.split(maxsplit=1)[1] for line in told.splitlines() if line.startswith("       ")]
    assert "pod-c is attempt 1" in changes
    assert "2 processes superseded by a newer attempt: old-0, old-1" in changes
    assert "running (attempt 1)" in changes


def test_the_end_is_told_in_the_platforms_and_the_supervisors_words(broker: Server) -> None:
    killed, supervised = story.killed_for_memory(broker), story.supervised(broker)

    head = shown(broker, killed)
    assert head["Because"].startswith("It was killed for using too much memory")
    told = standpipe(broker, "show", killed.id)
    assert "explained by it: The process closed with an exception: SIGTERM came" in told
    assert "closed because of SIGTERM with an exception" in told
    told = standpipe(broker, "show", supervised.id)
    assert "exec-1: host n9, pid 7, supervisor, closed" in told
    assert "  the process ended: failed, exit code 3: disk full" in told
    assert shown(broker, story.pool_worker_ended(broker))["Note"].startswith("SIGTERM ended producer child")


def test_a_retry_is_called_a_retry(broker: Server) -> None:
    first = register(broker)
    again = register(broker, retry_of=first.id)

    assert shown(broker, again)["Retry of"] == first.id
    assert "retries of this invocation" in standpipe(broker, "ls", "--help")


PIPELINE = """
import os, pathlib, subprocess, sys, time
from standpipe_orchestrator import *

PROGRAM = "from standpipe import open_pipes\\nwith open_pipes() as context: context.report_asset_materialization()"
go = pathlib.Path(__file__).with_name("go")

@asset
def waits(context):
    with open_pipes_session(context=context) as session:
        session.launch.report_state("queued", platform="slurm", job_id="4711")
        until = time.monotonic() + float(os.environ["QUEUE_SECONDS"])
        while not go.exists() and time.monotonic() < until:
            time.sleep(0.05)
        session.launch.report_state("running", node="n7")
        env = {**os.environ, **session.get_bootstrap_env_vars()}
        subprocess.run([sys.executable, "-c", PROGRAM], env=env, check=True)
    return session.get_results()[0]

defs = Definitions(assets=[waits])
"""


def test_a_run_tells_of_a_step_whose_work_waits(broker: Server, tmp_path: Path) -> None:
    file = tmp_path / "pipeline.py"
    file.write_text(PIPELINE, encoding="utf-8")
    env = child_environment({"QUEUE_SECONDS": "60"}, home=broker.home)
    with Process([STANDPIPE, "materialize", file], log=tmp_path / "out", env=env) as running:
        running.wait_for_output("queued on slurm, job 4711")
        (tmp_path / "go").touch()
        assert running.wait() == 0, running.output()
    assert "waits materialized" in running.output()


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_the_changing_line_says_that_it_is_queued(
    broker: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "pipeline.py"
    file.write_text(PIPELINE, encoding="utf-8")
    monkeypatch.setenv("QUEUE_SECONDS", "2.5")
    shown, code = on_terminal([str(STANDPIPE), "materialize", str(file)], home=broker.home)

    assert code == 0, shown
    assert re.search(r"waits  queued \d\.\d s", shown)

"""What is common to all launchers, on a platform that is simulated: states, faults, and jobs of another process."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from standpipe_orchestrator import BrokerClient, Cause, ContextData, PipesExecutionError
from standpipe_orchestrator.launchers import FileStream, JobEnd, PipesLauncherClient
from standpipe_orchestrator.launchers.capture import StreamCapture
from standpipe_orchestrator.testing import SimulatedPlatform
from standpipe_protocol.messages import LogExternalStream
from tests.support.processes import run
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the platform is a POSIX shell")

CONTEXT = ContextData(job_name="supervised", run_id="r")
REPORTS = """
from standpipe import open_pipes
print("at work", flush=True)
with open_pipes() as context:
    context.report_custom_message("started")
"""
COMMAND = [sys.executable, "-c", REPORTS]
SLEEPS = [sys.executable, "-c", f"{REPORTS}    import time\n    context.flush(30)\n    time.sleep(600)"]


@pytest.fixture
def platform(tmp_path: Path) -> SimulatedPlatform:
    return SimulatedPlatform(folder=tmp_path / "jobs")


@pytest.fixture
def work(platform: SimulatedPlatform, client: BrokerClient) -> PipesLauncherClient:
    return PipesLauncherClient(platform, client=client, forward_stdio=False, termination_timeout_seconds=5)


def output(client: BrokerClient, invocation_id: str) -> str:
    events = client.events.iterate(invocation_id, methods=["log_external_stream"])
    return "".join(str(event.params["text"]) for event in events if isinstance(event.params, dict))


def test_each_state_of_a_job_is_shown_and_the_job_is_removed_after_its_end_is_stored(
    platform: SimulatedPlatform, work: PipesLauncherClient, client: BrokerClient
) -> None:
    platform.queued_polls = 3
    invocation = work.run(context=CONTEXT, command=COMMAND).invocation
    stored = client.invocations.get(invocation.id)
    assert stored.platform is not None
    assert {name: stored.platform[name] for name in ("platform", "job_id", "image")} == {
        "platform": "simulated",
        "job_id": invocation.id,
        "image": "simulated:1",
    }
    assert "queued_at" in stored.platform
    assert platform.calls == ["launch", "close"]


def test_a_job_whose_launch_was_not_answered_is_found_and_not_launched_again(
    platform: SimulatedPlatform, work: PipesLauncherClient
) -> None:
    platform.lost_answer = True
    completed = work.run(context=CONTEXT, command=COMMAND)
    assert completed.get_custom_messages() == ("started",)
    assert platform.calls == ["launch", "take_up", "close"]


def test_a_platform_that_is_out_of_reach_for_a_while_is_asked_again(
    platform: SimulatedPlatform, work: PipesLauncherClient, caplog: pytest.LogCaptureFixture
) -> None:
    platform.failing_polls = 5
    with caplog.at_level(logging.WARNING):
        assert work.run(context=CONTEXT, command=COMMAND).invocation.verdict == "succeeded"
    assert caplog.text.count("cannot be asked for the job") == 1


def test_a_platform_that_stays_out_of_reach_leaves_the_end_unknown(
    platform: SimulatedPlatform, work: PipesLauncherClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe_orchestrator.launchers.job_thread.OUT_OF_REACH_SECONDS", 0.2)
    platform.failing_polls = 1_000_000
    with pytest.raises(PipesExecutionError, match="out of reach") as raised:
        work.run(context=CONTEXT, command=COMMAND)
    assert raised.value.verdict == "incomplete"


def test_the_platforms_outcome_and_cause_are_the_brokers(
    platform: SimulatedPlatform, work: PipesLauncherClient
) -> None:
    cause = Cause(code="out-of-memory", detail="OOMKilled", node="node-7")
    platform.end = JobEnd(exit_code=137, outcome="failed", cause=cause)
    with pytest.raises(PipesExecutionError, match="too much memory, on node node-7") as raised:
        work.run(context=CONTEXT, command=COMMAND)
    assert (raised.value.verdict, raised.value.exit_code) == ("failed", 137)


IN_LAUNCH = """
import os, signal, sys
from pathlib import Path
from standpipe_orchestrator import ContextData
from standpipe_orchestrator.launchers import PipesLauncherClient
from standpipe_orchestrator.testing import SimulatedPlatform

class Dying(SimulatedPlatform):
    def launch(self, work):
        if sys.argv[3] == "after":
            super().launch(work)
        os.kill(os.getpid(), signal.SIGKILL)

PipesLauncherClient(Dying(folder=Path(sys.argv[1]) / "jobs"), forward_stdio=False).run(
    context=ContextData(job_name="supervised", run_id="r"), command=sys.argv[4:], key=sys.argv[2]
)
"""


def kill_in_launch(
    broker: Server, folder: Path, *, key: str, when: str, command: list[str], home: str | None = None
) -> None:
    """An orchestrator that is killed right before its job starts, or right after it has."""
    env = broker.orchestrator_environment({"STANDPIPE_HOME": home or os.environ["STANDPIPE_HOME"]})
    killed = run([sys.executable, "-c", IN_LAUNCH, str(folder), key, when, *command], env=env, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


@pytest.mark.parametrize("when", ["before", "after"])
def test_work_whose_launch_was_interrupted_by_a_kill_is_started_once(
    when: str, platform: SimulatedPlatform, work: PipesLauncherClient, broker: Server, tmp_path: Path
) -> None:
    key = f"supervision/killed-{when}"
    kill_in_launch(broker, tmp_path, key=key, when=when, command=COMMAND)
    for _ in range(2):
        completed = work.run(context=CONTEXT, command=COMMAND, key=key)
        assert completed.invocation.verdict == "succeeded"
        assert completed.get_custom_messages() == ("started",)
    launched = ["launch"] if when == "before" else []
    assert platform.calls == ["take_up", *launched, "close"]


def test_a_job_of_another_machine_is_taken_up_with_its_whole_output(
    work: PipesLauncherClient, broker: Server, tmp_path: Path, client: BrokerClient
) -> None:
    key, elsewhere = "supervision/elsewhere", str(tmp_path / "another-machines-home")
    kill_in_launch(broker, tmp_path, key=key, when="after", command=COMMAND, home=elsewhere)
    completed = work.run(context=CONTEXT, command=COMMAND, key=key)
    assert completed.invocation.verdict == "succeeded"
    assert output(client, completed.invocation.id) == "at work\n"


def test_what_another_machine_has_claimed_and_not_launched_is_not_launched_here(
    platform: SimulatedPlatform,
    work: PipesLauncherClient,
    broker: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("standpipe_orchestrator.launchers.supervision.CLAIMED_ELSEWHERE_SECONDS", 0.0)
    key, elsewhere = "supervision/claimed-elsewhere", str(tmp_path / "another-machines-home")
    kill_in_launch(broker, tmp_path, key=key, when="before", command=COMMAND, home=elsewhere)
    with pytest.raises(PipesExecutionError, match="claimed by a process on another machine") as raised:
        work.run(context=CONTEXT, command=COMMAND, key=key)
    assert raised.value.verdict == "incomplete"
    assert platform.calls == ["take_up"]


def test_a_job_that_is_gone_from_its_platform_is_not_launched_again(
    platform: SimulatedPlatform, work: PipesLauncherClient, broker: Server, tmp_path: Path, client: BrokerClient
) -> None:
    key = "supervision/gone"
    kill_in_launch(broker, tmp_path, key=key, when="after", command=SLEEPS)
    (folder,) = platform.folder.iterdir()
    wait_until(lambda: client.invocations.get(folder.name).opened_at, what="the job to have opened")
    os.killpg(int((folder / "pid").read_text()), signal.SIGKILL)
    shutil.rmtree(folder)
    with pytest.raises(PipesExecutionError, match="gone from its platform") as raised:
        work.run(context=CONTEXT, command=SLEEPS, key=key)
    assert raised.value.verdict == "incomplete"
    assert platform.calls == ["take_up"]


def test_the_time_of_a_job_that_is_taken_up_began_with_its_launch(
    platform: SimulatedPlatform, work: PipesLauncherClient, broker: Server, tmp_path: Path
) -> None:
    key = "supervision/time"
    kill_in_launch(broker, tmp_path, key=key, when="after", command=SLEEPS)
    (folder,) = platform.folder.iterdir()
    began = (folder / "pid").stat().st_mtime - 3600
    os.utime(folder / "pid", (began, began))
    with pytest.raises(PipesExecutionError, match="longer than 1800 s"):
        work.run(context=CONTEXT, command=SLEEPS, key=key, timeout=1800)
    assert platform.calls == ["take_up", "terminate: timeout", "kill", "close"]


def test_output_that_was_captured_is_not_captured_again(tmp_path: Path) -> None:
    texts = [f"line {number}\n" for number in range(2000)]
    file = tmp_path / "stdout"
    file.write_text("".join(texts) + "an end ☃")
    whole = captured(file, after=0)
    for number, piece in enumerate(whole[:-1]):
        assert isinstance(piece.extras["through_bytes"], int)
        rest = captured(file, after=piece.extras["through_bytes"])
        assert "".join(one.text for one in rest) == "".join(one.text for one in whole[number + 1 :])
    assert "".join(one.text for one in whole) == file.read_text()
    assert whole[-1].extras["through_bytes"] == file.stat().st_size
    assert captured(file, after=file.stat().st_size) == []


def captured(file: Path, *, after: int) -> list[LogExternalStream]:
    pieces: list[LogExternalStream] = []
    capture = StreamCapture(
        FileStream("stdout", file, ended=lambda: True), report=pieces.append, forward=False, after=after
    )
    assert capture.join(PATIENCE)
    return pieces

"""What is common to all launchers, on a platform that is simulated: states, faults, and jobs of another process."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from standpipe_orchestrator import (
    BrokerClient,
    Cause,
    ContextData,
    MaterializeResult,
    PipesExecutionError,
    PipesLaunchError,
)
from standpipe_orchestrator.launchers import FileStream, JobEnd, PipesLauncherClient, Work
from standpipe_orchestrator.launchers.capture import StreamCapture
from standpipe_orchestrator.launchers.job_thread import JobThread
from standpipe_orchestrator.testing import SimulatedPlatform
from standpipe_orchestrator.testing.simulated_platform import SimulatedJob
from standpipe_protocol.messages import LogExternalStream
from tests.support.processes import run
from tests.support.server import Server
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the platform is a POSIX shell")

CONTEXT = ContextData(asset_keys=("orders",), run_id="r")
REPORTS = """
from standpipe import open_pipes
print("at work", flush=True)
with open_pipes() as context:
    context.report_custom_message("started")
"""
COMMAND = [sys.executable, "-c", REPORTS]
WAITS = "import time; context.flush(30); time.sleep(600)"
SLEEPS = [sys.executable, "-c", f"{REPORTS}    {WAITS}"]


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


@dataclass(slots=True, kw_only=True)
class Stuck(SimulatedPlatform):
    """A platform whose launches do not come back for a while."""

    goes_on: threading.Event = field(default_factory=threading.Event)

    def launch(self, work: Work) -> SimulatedJob:
        self.goes_on.wait(PATIENCE)
        return SimulatedPlatform.launch(self, work)


def test_a_launch_that_does_not_come_back_is_given_up_and_what_it_starts_later_is_killed(
    tmp_path: Path, client: BrokerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe_orchestrator.launchers.supervision.SHORTEST_LAUNCH_SECONDS", 0.2)
    monkeypatch.setattr("standpipe_orchestrator.launchers.job_thread.INTERRUPTED_LAUNCH_SECONDS", 0.2)
    stuck = Stuck(folder=tmp_path / "jobs")
    work = PipesLauncherClient(stuck, client=client, forward_stdio=False)
    with pytest.raises(PipesLaunchError, match="has not come back within 1 s"):
        work.run(context=CONTEXT, command=SLEEPS, timeout=1.0)
    stuck.goes_on.set()
    (process,) = wait_until(lambda: tuple(stuck.processes.values()), what="the job to be started after all")
    assert process.wait(PATIENCE) == -signal.SIGKILL


def test_a_job_whose_launch_comes_back_while_it_is_given_up_is_ended_and_has_failed(
    tmp_path: Path, client: BrokerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("standpipe_orchestrator.launchers.supervision.SHORTEST_LAUNCH_SECONDS", 0.2)
    stuck, kill = Stuck(folder=tmp_path / "jobs"), JobThread.kill

    def let_it_launch(job: JobThread) -> None:
        stuck.goes_on.set()
        kill(job)

    monkeypatch.setattr(JobThread, "kill", let_it_launch)
    work = PipesLauncherClient(stuck, client=client, forward_stdio=False, termination_timeout_seconds=5)
    with pytest.raises(PipesExecutionError, match=r"has not come back within 0\.2 s") as raised:
        work.run(context=CONTEXT, command=SLEEPS, timeout=0.2)
    assert raised.value.verdict == "failed"
    codes = [reason.code for reason in raised.value.reasons]
    assert "platform-error" in codes
    assert "not-launched" not in codes
    assert stuck.calls[-1] == "close"


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
from dataclasses import dataclass, field
from pathlib import Path
from standpipe_orchestrator import ContextData
from standpipe_orchestrator.launchers import PipesLauncherClient
from standpipe_orchestrator.testing import SimulatedPlatform
from standpipe_orchestrator.testing.simulated_platform import SimulatedJob

class Dying(SimulatedPlatform):
    def launch(self, work):
        if sys.argv[3] == "after":
            super().launch(work)
        os.kill(os.getpid(), signal.SIGKILL)

PipesLauncherClient(Dying(folder=Path(sys.argv[1]) / "jobs"), forward_stdio=False).run(
    context=ContextData(asset_keys=("orders",), run_id="r"),
    command=sys.argv[5:],
    key=sys.argv[2],
    lease_seconds=float(sys.argv[4]),
)
"""


def kill_in_launch(
    broker: Server,
    folder: Path,
    *,
    key: str,
    when: str,
    command: list[str],
    home: str | None = None,
    lease: float = 60.0,
) -> None:
    """An orchestrator that is killed right before its job starts, or right after it has."""
    env = broker.orchestrator_environment({"STANDPIPE_HOME": home or os.environ["STANDPIPE_HOME"]})
    killed = run([sys.executable, "-c", IN_LAUNCH, str(folder), key, when, str(lease), *command], env=env, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr


@pytest.mark.parametrize("when", ["before", "after"])
def test_work_whose_launch_was_interrupted_by_a_kill_is_started_once(
    when: str, platform: SimulatedPlatform, work: PipesLauncherClient, broker: Server, tmp_path: Path
) -> None:
    key = f"supervision/killed-{when}"
    kill_in_launch(broker, tmp_path, key=key, when=when, command=COMMAND)
    for _ in range(2):
        completed = work.run(context=CONTEXT, command=COMMAND, key=key, lease_seconds=60.0)
        assert completed.invocation.verdict == "succeeded"
        assert completed.get_custom_messages() == ("started",)
    launched = ["launch"] if when == "before" else []
    assert platform.calls == ["take_up", *launched, "close"]


def test_work_with_a_key_is_not_launched_where_nothing_can_be_locked_and_says_so_each_time(
    platform: SimulatedPlatform, work: PipesLauncherClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    for _ in range(2):
        with pytest.raises(PipesLaunchError, match="cannot be locked") as raised:
            work.run(context=CONTEXT, command=COMMAND, key="supervision/no-locks")
        assert "not-launched" in [reason.code for reason in raised.value.reasons]
    assert platform.calls == []


def test_a_job_of_another_machine_is_taken_up_with_its_whole_output(
    work: PipesLauncherClient, broker: Server, tmp_path: Path, client: BrokerClient
) -> None:
    key, elsewhere = "supervision/elsewhere", str(tmp_path / "another-machines-home")
    kill_in_launch(broker, tmp_path, key=key, when="after", command=COMMAND, home=elsewhere)
    completed = work.run(context=CONTEXT, command=COMMAND, key=key, lease_seconds=60.0)
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
        work.run(context=CONTEXT, command=COMMAND, key=key, lease_seconds=60.0)
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
        work.run(context=CONTEXT, command=SLEEPS, key=key, lease_seconds=60.0)
    assert raised.value.verdict == "incomplete"
    assert platform.calls == ["take_up"]


SILENT = """
import json, os, pathlib, sys, time, urllib.request
def report(method):  # without the library, which sends heartbeats
    url = os.environ["STANDPIPE_URL"] + "/api/v1/invocations/" + os.environ["STANDPIPE_INVOCATION"] + "/events"
    headers = {"Authorization": "Bearer " + os.environ["STANDPIPE_TOKEN"]}
    body = json.dumps({"method": method}).encode()
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, body, headers))
report("opened")
while not pathlib.Path(sys.argv[1]).exists():
    time.sleep(0.02)
report("closed")
"""


def test_a_job_that_was_lost_while_no_orchestrator_lived_is_taken_up_and_waited_for(
    platform: SimulatedPlatform, work: PipesLauncherClient, broker: Server, tmp_path: Path, client: BrokerClient
) -> None:
    key, speak = "supervision/lost", tmp_path / "speak"
    command = [sys.executable, "-c", SILENT, str(speak)]
    kill_in_launch(broker, tmp_path, key=key, when="after", command=command, lease=1.0)
    (folder,) = platform.folder.iterdir()
    wait_until(lambda: client.invocations.get(folder.name).verdict == "lost", what="the loss")

    def let_it_speak() -> None:
        wait_until(lambda: "take_up" in platform.calls, what="the job to be taken up")
        speak.touch()

    with ThreadPoolExecutor(1) as pool:
        speaking = pool.submit(let_it_speak)
        completed = work.run(context=CONTEXT, command=command, key=key, lease_seconds=1.0)
        speaking.result(PATIENCE)
    assert (completed.invocation.verdict, completed.invocation.exit_code) == ("succeeded", 0)


def test_leaving_work_that_another_process_supervises_cancels_it_for_both(
    platform: SimulatedPlatform, client: BrokerClient
) -> None:
    command = [sys.executable, "-c", f"{REPORTS}    context.report_asset_materialization()\n    {WAITS}"]
    settings = {"forward_stdio": False, "termination_timeout_seconds": 5.0, "cancel_grace_seconds": 0.0}
    one, other = [
        PipesLauncherClient(platform, client=client, **settings).stream(  # type: ignore[arg-type]
            context=CONTEXT, command=command, key="supervision/both"
        )
        for _ in range(2)
    ]
    assert next(one) == next(other) == MaterializeResult("orders")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(list, one)
        other.close()
        with pytest.raises(PipesExecutionError, match="its invocation was cancelled"):
            first.result(PATIENCE)
    assert platform.calls.count("launch") == 1


def test_the_time_of_a_job_that_is_taken_up_began_with_its_launch(
    platform: SimulatedPlatform, work: PipesLauncherClient, broker: Server, tmp_path: Path
) -> None:
    key = "supervision/time"
    kill_in_launch(broker, tmp_path, key=key, when="after", command=SLEEPS)
    (folder,) = platform.folder.iterdir()
    began = (folder / "pid").stat().st_mtime - 3600
    os.utime(folder / "pid", (began, began))
    with pytest.raises(PipesExecutionError, match="longer than 1800 s"):
        work.run(context=CONTEXT, command=SLEEPS, key=key, lease_seconds=60.0, timeout=1800)
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

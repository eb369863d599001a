"""kill -9 of the orchestrator, at any moment: started again it has the results of an unbroken run, of one launch."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from standpipe_orchestrator import BrokerClient
from standpipe_orchestrator.client.launch_claims import KEY_TAG
from standpipe_protocol.invocation import Invocation
from tests.support.fork_server import ForkServer
from tests.support.processes import Process, child_environment, run
from tests.support.server import Server
from tests.support.stub_broker import Reply, Request, StubBroker
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")

JOB = """
import pathlib, sys, time
from standpipe import open_pipes
with pathlib.Path(sys.argv[1]).open("a") as starts:
    starts.write("started\\n")
print("at work", flush=True)
with open_pipes() as context:
    for number in range(20):
        context.report_custom_message(number)
        print("part", number, flush=True)
        time.sleep(float(sys.argv[2]) / 20)  # the work
    context.report_asset_materialization(asset_key="orders", metadata={"rows": 20})
    context.report_asset_check("not_empty", True, asset_key="orders")
"""
ORCHESTRATOR = """
import json, pathlib, sys
from standpipe_orchestrator import ContextData, PipesSubprocessClient
job, starts, results, seconds = sys.argv[1:]
completed = PipesSubprocessClient(forward_stdio=False).run(
    context=ContextData(asset_keys=("orders", "users"), run_id="run-1"),
    command=[sys.executable, job, starts, seconds],
    key="run-1/orders",
)
told = {
    "verdict": completed.invocation.verdict,
    "exit_code": completed.invocation.exit_code,
    "results": [repr(result) for result in completed.get_results()],
    "messages": list(completed.get_custom_messages()),
}
pathlib.Path(results + ".new").write_text(json.dumps(told))
pathlib.Path(results + ".new").rename(results)
"""


class Orchestrator:
    """The orchestration code, to be started and killed again and again.

    Args:
        broker: the one it uses; without one, an embedded one.
    """

    def __init__(self, folder: Path, *, broker: Server | None, url: str | None = None, seconds: float = 1.0) -> None:
        self.folder, self.seconds = folder, seconds
        self.starts, self.results = folder / "starts", folder / "results"
        self._environment: dict[str, str | None] = {}
        if broker is not None:
            self._environment = {"STANDPIPE_URL": url or broker.url, "STANDPIPE_API_KEY": broker.api_key}
        (folder / "job.py").write_text(JOB)
        (folder / "orchestrator.py").write_text(ORCHESTRATOR)

    def start(self, *, home: str = "orchestrators-home") -> Process:
        words = [self.folder / "job.py", self.starts, self.results, str(self.seconds)]
        env = child_environment(self._environment, home=self.folder / home)
        command = [sys.executable, str(self.folder / "orchestrator.py"), *map(str, words)]
        return Process(command, log=self.folder / "log", env=env)

    def run_to_the_end(self, *, home: str = "orchestrators-home") -> dict[str, object]:
        with self.start(home=home) as process:
            assert process.wait(timeout=60) == 0, process.output()
        return self.told()

    def told(self) -> dict[str, object]:
        found: dict[str, object] = json.loads(self.results.read_text())
        return found

    def started(self) -> int:
        return len(self.starts.read_text().splitlines()) if self.starts.exists() else 0


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("killed-orchestrator") / "home"
    with Server(home, database_url=f"sqlite:///{home / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


@pytest.fixture
def fresh_broker(broker: Server) -> Iterator[Server]:
    """The key is the same in every test, so what was registered under it goes."""
    yield broker
    with BrokerClient(broker.url, api_key=broker.api_key) as client:
        for invocation in list(client.invocations.iterate()):
            client.invocations.delete(invocation.id, force=True)


def invocations(broker: Server) -> list[Invocation]:
    with BrokerClient(broker.url, api_key=broker.api_key) as client:
        return list(client.invocations.iterate(tag=f"{KEY_TAG}=run-1/orders"))


def assert_as_unbroken(told: dict[str, object], orchestrator: Orchestrator) -> None:
    assert (told["verdict"], told["exit_code"]) == ("succeeded", 0)
    assert told["messages"] == list(range(20))
    materialization, check, implicit = told["results"]  # type: ignore[misc]
    assert "rows" in materialization
    assert "not_empty" in check
    assert "users" in implicit
    assert orchestrator.started() == 1


@pytest.mark.parametrize("seed", range(6))
def test_killed_at_random_moments_and_started_again(seed: int, fresh_broker: Server, tmp_path: Path) -> None:
    moments = random.Random(seed)
    orchestrator = Orchestrator(tmp_path, broker=fresh_broker)
    for _ in range(3):
        with orchestrator.start() as process:
            # What it is at when it dies is up to the machine: that is what is tested.
            threading.Event().wait(moments.uniform(0.1, 1.8))
            process.kill9()
    told = orchestrator.run_to_the_end()
    assert_as_unbroken(told, orchestrator)
    assert len(invocations(fresh_broker)) == 1
    orchestrator.results.unlink()
    assert orchestrator.run_to_the_end() == told
    assert orchestrator.started() == 1


@pytest.mark.parametrize("answered", [False, True])
def test_killed_before_and_right_after_the_answer_to_its_registration(
    answered: bool, fresh_broker: Server, tmp_path: Path
) -> None:
    dying: list[Process] = []

    with httpx.Client(base_url=fresh_broker.url, trust_env=False, timeout=60) as way:

        def answer(request: Request) -> Reply:
            own = {name: value for name, value in request.headers.items() if name not in ("host", "connection")}
            registration = (request.method, request.path) == ("POST", "/api/v1/invocations")
            if answered and not registration and dying:
                dying.pop().kill9()
            got = way.request(request.method, request.path, content=request.body, headers=own, params=request.query)
            if not answered and registration and dying:
                dying.pop().kill9()
            kept = {name: got.headers[name] for name in ("content-type", "idempotency-replayed") if name in got.headers}
            return Reply(got.status_code, kept, (got.content,))

        with StubBroker(answer) as stub:
            orchestrator = Orchestrator(tmp_path, broker=fresh_broker, url=stub.url)
            with orchestrator.start() as process:
                dying.append(process)
                assert process.wait() == -signal.SIGKILL
    assert len(invocations(fresh_broker)) == 1
    assert orchestrator.started() == 0 or answered
    assert_as_unbroken(Orchestrator(tmp_path, broker=fresh_broker).run_to_the_end(), orchestrator)


def test_the_command_goes_on_and_its_end_is_told_while_no_orchestrator_lives(
    fresh_broker: Server, tmp_path: Path
) -> None:
    orchestrator = Orchestrator(tmp_path, broker=fresh_broker, seconds=2.0)
    with orchestrator.start() as process:
        wait_until(orchestrator.started, what="the job to have started")
        process.kill9()
    wait_until(lambda: all(one.ended for one in invocations(fresh_broker)), what="the invocation to have ended")
    (invocation,) = invocations(fresh_broker)
    assert (invocation.verdict, invocation.exit_code) == ("succeeded", 0)
    assert_as_unbroken(orchestrator.run_to_the_end(), orchestrator)
    assert not list((tmp_path / "orchestrators-home" / "launches").iterdir())


def test_killed_with_an_embedded_broker_its_command_reports_on_and_is_taken_up(tmp_path: Path) -> None:
    orchestrator = Orchestrator(tmp_path, broker=None, seconds=2.0)
    with orchestrator.start() as process:
        wait_until(orchestrator.started, what="the job to have started")
        process.kill9()
    assert_as_unbroken(orchestrator.run_to_the_end(), orchestrator)
    # Once more when nobody is left who had the first broker: another one, on the same history.
    assert_as_unbroken(orchestrator.run_to_the_end(), orchestrator)


def test_taken_up_from_another_machine_it_is_not_launched_again(fresh_broker: Server, tmp_path: Path) -> None:
    orchestrator = Orchestrator(tmp_path, broker=fresh_broker, seconds=3.0)
    with orchestrator.start() as process:
        wait_until(orchestrator.started, what="the job to have started")
        process.kill9()
    assert_as_unbroken(orchestrator.run_to_the_end(home="another-machines-home"), orchestrator)


def test_two_orchestrators_with_one_key_launch_once_and_have_the_same_results(
    fresh_broker: Server, tmp_path: Path
) -> None:
    one = Orchestrator(tmp_path, broker=fresh_broker)
    (tmp_path / "other").mkdir()
    other = Orchestrator(tmp_path / "other", broker=fresh_broker)
    # The same command, or it would be another request under the same key.
    other.starts, other.folder = one.starts, one.folder
    with one.start() as first, other.start(home="another-machines-home") as second:
        assert first.wait() == second.wait() == 0, (first.output(), second.output())
    assert one.told() == other.told()
    assert_as_unbroken(one.told(), one)


def test_a_command_that_died_with_its_orchestrator_is_not_started_again_and_not_green(
    fresh_broker: Server, tmp_path: Path
) -> None:
    orchestrator = Orchestrator(tmp_path, broker=fresh_broker, seconds=600)
    with orchestrator.start() as process:
        wait_until(orchestrator.started, what="the job to have started")
        process.kill9()
    # The machine went down: everything on it is gone at once.
    with BrokerClient(fresh_broker.url, api_key=fresh_broker.api_key) as client:
        (invocation,) = invocations(fresh_broker)
        facts = claim_of(client, invocation.id)
        kill_session(int(str(facts["pid"])))
        with orchestrator.start() as again:
            assert again.wait() == 1
        assert client.invocations.get(invocation.id).verdict == "incomplete"
    assert "gone from their machine" in again.output()
    assert orchestrator.started() == 1


PIPELINE = """
import os, signal, sys
from pathlib import Path
from standpipe_orchestrator import AssetCheckSpec, AssetExecutionContext, Definitions, MaterializeResult
from standpipe_orchestrator import PipesSubprocessClient, asset

HERE = Path(__file__).parent

@asset(check_specs=[AssetCheckSpec(name="not_empty", asset="orders")])
def orders(context: AssetExecutionContext) -> MaterializeResult:
    completed = PipesSubprocessClient().run(
        context=context,
        command=[sys.executable, str(HERE / "job.py"), str(HERE / "starts"), "0.1"],
        key=f"{context.run_id}/orders",
    )
    return completed.get_materialize_result()

@asset(deps=[orders])
def report(context: AssetExecutionContext) -> None:
    if not (HERE / "dying").exists():
        (HERE / "dying").touch()
        os.kill(os.getpid(), signal.SIGKILL)

defs = Definitions(assets=[orders, report])
"""


def test_a_pipeline_with_a_run_id_that_is_started_again_launches_nothing_twice(
    fresh_broker: Server, tmp_path: Path
) -> None:
    (tmp_path / "pipeline.py").write_text(PIPELINE)
    (tmp_path / "job.py").write_text(JOB)
    command = [Path(sys.executable).parent / "standpipe", "materialize", tmp_path / "pipeline.py", "--run-id", "run-1"]
    env = fresh_broker.orchestrator_environment({"STANDPIPE_HOME": str(tmp_path / "home")})
    assert run(command, env=env, check=False).returncode == -signal.SIGKILL
    run(command, env=env)
    (invocation,) = invocations(fresh_broker)
    assert (invocation.verdict, invocation.context["run_id"]) == ("succeeded", "run-1")
    assert (tmp_path / "starts").read_text() == "started\n"


def claim_of(client: BrokerClient, invocation_id: str) -> dict[str, object]:
    for event in client.events.iterate(invocation_id, methods=["log"]):
        found = (event.details or {}).get("launch")
        if isinstance(found, dict):
            return dict(found)
    raise AssertionError("No claim is stored.")


def kill_session(leader: int) -> None:
    """Kills all processes of a session, the job in its own group too."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader:
            os.kill(int(folder.name), signal.SIGKILL)

"""Sessions with a key, and `attach`: an invocation that is there is taken up, not registered or launched again."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

from standpipe_orchestrator import (
    BrokerClient,
    ContextData,
    InvocationNotFound,
    MaterializeResult,
    PipesExecutionError,
    PipesLaunchError,
    PipesSession,
    PipesSubprocessClient,
    attach,
    open_pipes_session,
)
from standpipe_orchestrator.errors import IdempotencyConflict
from standpipe_orchestrator.launchers.local.detached_launcher import DetachedLauncher
from tests.support.processes import child_environment, run
from tests.support.server import Server

Script = Callable[[str], list[str]]
TARGETS = ContextData(asset_keys=("orders",), run_id="r")
ORDERS = MaterializeResult(asset_key="orders")
REPORTS = "from standpipe import open_pipes\nwith open_pipes() as context:\n    context.report_asset_materialization()"


def run_for(session: PipesSession, command: list[str]) -> None:
    subprocess.run(command, env=child_environment(session.get_bootstrap_env_vars()), check=False, timeout=60)


def test_a_key_gives_the_same_invocation_and_its_results_again(client: BrokerClient, script: Script) -> None:
    for new in (True, False, False):
        with open_pipes_session(TARGETS, client=client, key="taking-up/same") as session:
            assert session.is_new is new
            assert session.launch.already_launched is not new
            if session.launch.claim({"host": "here"}):
                run_for(session, script(REPORTS))
                session.launch.finish(exit_code=0)
            session.wait(60)
        assert session.get_results() == (ORDERS,)
        assert (session.invocation.verdict, session.invocation.revision) == ("succeeded", 0)
    assert len(client.invocations.list(tag="standpipe.key=taking-up/same").items) == 1


def test_of_many_who_claim_a_launch_one_may(client: BrokerClient) -> None:
    with open_pipes_session(TARGETS, client=client, key="taking-up/claims", require_success=False) as session:
        together = threading.Barrier(8)

        def claim(_: int) -> bool:
            together.wait(30)
            return session.launch.claim()

        with ThreadPoolExecutor(max_workers=8) as pool:
            assert sorted(pool.map(claim, range(8))) == [False] * 7 + [True]
        assert session.launch.already_launched


def test_what_is_cancelled_before_its_launch_is_not_launched(client: BrokerClient) -> None:
    for _ in range(2):
        with open_pipes_session(TARGETS, client=client, key="taking-up/cancel", require_success=False) as session:
            if session.is_new:
                session.cancel()
                session.launch.finish(launched=False)
            assert not session.launch.claim()
        assert session.invocation.verdict == "cancelled"


def test_a_launch_that_was_told_counts_as_launched(client: BrokerClient) -> None:
    for new in (True, False):
        with open_pipes_session(TARGETS, client=client, key="taking-up/told", require_success=False) as session:
            assert session.launch.already_launched is not new
            if new:
                session.report_launched({"extras": {"job_id": 7}})
    assert session.launch.facts == {"job_id": 7}


def test_the_same_key_for_something_else_is_refused(client: BrokerClient) -> None:
    with open_pipes_session(TARGETS, client=client, key="taking-up/other", require_success=False):
        pass
    with (
        pytest.raises(IdempotencyConflict),
        open_pipes_session(TARGETS, {"more": 1}, client=client, key="taking-up/other"),
    ):
        pass


def test_another_run_takes_up_what_the_first_began_as_the_first(client: BrokerClient) -> None:
    first, second = (ContextData(asset_keys=("orders",), run_id=run_id) for run_id in ("one", "two"))
    again = dataclasses.replace(second, retry_number=1)
    seen: list[tuple[str, str | None, int]] = []
    for context in (first, second, again):
        with open_pipes_session(context, client=client, key="taking-up/runs", require_success=False) as session:
            seen.append((session.invocation_id, session.context_data.run_id, session.context_data.retry_number))
    assert seen == [(session.invocation_id, "one", 0)] * 3


@pytest.mark.parametrize("key", ["", "x" * 256, "ü", "inv_mine", " blank "])
def test_a_key_that_cannot_be_one_is_refused_at_the_call(client: BrokerClient, key: str) -> None:
    with pytest.raises(ValueError, match="expected"), open_pipes_session(TARGETS, client=client, key=key):
        pass


def test_attach_finds_by_id_and_by_key_and_has_everything(client: BrokerClient, script: Script) -> None:
    with open_pipes_session(TARGETS, client=client, key="taking-up/attach") as session:
        run_for(session, script(REPORTS))
    for name in (session.invocation_id, "taking-up/attach"):
        with attach(name, client=client) as followed:
            followed.wait(60)
        assert followed.get_results() == session.get_results() == (ORDERS,)


def test_attach_follows_what_runs_and_leaving_it_leaves_it_running(client: BrokerClient, script: Script) -> None:
    with open_pipes_session(TARGETS, client=client) as session:
        with attach(session.invocation_id, client=client) as followed:
            with pytest.raises(TimeoutError, match="has not ended"):
                followed.wait(0)
            with pytest.raises(RuntimeError, match="only follows"):
                followed.get_bootstrap_env_vars()
        assert not client.invocations.get(session.invocation_id).ended
        with attach(session.invocation_id, client=client) as followed:
            run_for(session, script(REPORTS))
            assert next(followed.stream_results(wait=60)) == ORDERS
            session.launch.finish(exit_code=0)
            assert followed.wait(60).verdict == "succeeded"


def test_attach_raises_for_what_did_not_succeed(client: BrokerClient) -> None:
    with open_pipes_session(TARGETS, client=client, require_success=False) as session:
        session.launch.finish(exit_code=3)
    with (
        pytest.raises(PipesExecutionError, match="failed with code 3"),
        attach(session.invocation_id, client=client) as all_,
    ):
        all_.wait(60)


@pytest.mark.parametrize("name", ["inv_019a0000-0000-7000-8000-000000000000", "no-such-key"])
def test_attach_to_nothing_says_so(client: BrokerClient, name: str) -> None:
    with pytest.raises(InvocationNotFound, match=name), attach(name, client=client):
        pass


def test_a_detached_command_is_run_once_and_fails_each_time_as_it_failed(
    pipes: PipesSubprocessClient,
    script: Script,
    tmp_path: Path,
    client: BrokerClient,
    capfd: pytest.CaptureFixture[str],
) -> None:
    starts = tmp_path / "starts"
    command = script(
        f"""
import pathlib, sys
from standpipe import open_pipes
with pathlib.Path({str(starts)!r}).open("a") as file: file.write("x")
with open_pipes() as context:
    context.report_asset_materialization()
print("to ☃ out")
print("the reason", file=sys.stderr)
sys.exit(3)
"""
    )
    for _ in range(2):
        with pytest.raises(PipesExecutionError, match="failed with code 3") as raised:
            pipes.run(context=TARGETS, command=command, key="taking-up/fails", cwd=tmp_path)
        assert (raised.value.verdict, raised.value.exit_code) == ("failed", 3)
        assert raised.value.stderr_tail == "the reason\n"
        assert raised.value.completed is not None
        assert raised.value.completed.partial_results == (ORDERS,)
        out, err = capfd.readouterr()
        assert out == "to ☃ out\n"
        assert "the reason" in err
    assert starts.read_text() == "x"


def test_what_is_stored_of_a_claim_holds_no_secret(pipes: PipesSubprocessClient, client: BrokerClient) -> None:
    completed = pipes.run(
        context=TARGETS, command=[sys.executable, "-c", REPORTS], key="taking-up/secrets", env={"SECRET": "hidden"}
    )
    (claim,) = client.events.read(completed.invocation.id, methods=["log"]).items
    assert claim.details is not None
    facts = claim.details["launch"]
    assert isinstance(facts, dict)
    assert set(facts) == {"claim", "host", "pid", "lock"}


def test_a_detached_command_that_cannot_be_started_says_so_each_time(pipes: PipesSubprocessClient) -> None:
    for _ in range(2):
        with pytest.raises(PipesLaunchError, match="no such program"):
            pipes.run(context=TARGETS, command=["no-such-program-anywhere"], key="taking-up/no-program")


def platform_out_of_reach(*_: object, **__: object) -> None:
    raise ConnectionError("out of reach")


def test_what_has_ended_is_as_it_is_stored_and_its_platform_is_not_asked(
    pipes: PipesSubprocessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_again = partial(
        pipes.run, context=TARGETS, command=[sys.executable, "-c", REPORTS], key="taking-up/platform-away"
    )
    first = run_again()
    monkeypatch.setattr(DetachedLauncher, "take_up", platform_out_of_reach)
    again = run_again()
    assert (again.invocation.verdict, again.invocation.revision) == ("succeeded", first.invocation.revision)
    assert again.get_results() == (ORDERS,)


def test_work_that_cannot_be_taken_up_was_launched_all_the_same(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = partial(
        pipes.stream,
        context=TARGETS,
        command=script(f"{REPORTS}\n    import time\n    time.sleep(600)"),
        key="taking-up/not-taken-up",
    )
    running = stream()
    assert next(running) == ORDERS
    monkeypatch.setattr(DetachedLauncher, "take_up", platform_out_of_reach)
    with pytest.raises(ConnectionError, match="out of reach"):
        stream().to_end()
    assert running.session is not None
    stored = client.invocations.get(running.session.invocation_id)
    assert stored.cancel_requested
    assert "not-launched" not in [reason.code for reason in stored.reasons]
    running.close()


def test_a_detached_command_is_not_started_where_nothing_can_be_locked(
    pipes: PipesSubprocessClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.flock", no_locks)
    # For the process that would run the command, too.
    (tmp_path / "sitecustomize.py").write_text(
        "import errno, fcntl, os\n"
        "def no_locks(*_):\n    raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))\n"
        "fcntl.flock = no_locks\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(PipesLaunchError, match="cannot be locked"):
        pipes.run(context=TARGETS, command=["true"], key="taking-up/no-locks")


def test_leaving_the_results_of_a_detached_command_ends_it(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient
) -> None:
    command = script(f"{REPORTS}\n    import time\n    time.sleep(600)")
    results = pipes.stream(context=TARGETS, command=command, key="taking-up/left")
    assert next(results) == ORDERS
    results.close()
    assert results.session is not None
    assert client.invocations.get(results.session.invocation_id).verdict == "cancelled"


def test_a_detached_command_takes_as_long_as_it_may(pipes: PipesSubprocessClient) -> None:
    command = [sys.executable, "-c", "import time; time.sleep(600)"]
    with pytest.raises(PipesExecutionError, match=r"longer than 0\.5 s"):
        pipes.run(context=TARGETS, command=command, key="taking-up/timeout", timeout=0.5)


SILENT_FOR_TOO_LONG = """
import json, os, time, urllib.request
def report(method, **params):
    url = os.environ["STANDPIPE_URL"] + "/api/v1/invocations/" + os.environ["STANDPIPE_INVOCATION"] + "/events"
    headers = {"Authorization": "Bearer " + os.environ["STANDPIPE_TOKEN"]}
    body = json.dumps({"method": method, "params": params}).encode()
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, body, headers))
report("opened")
time.sleep(5)  # it does not beat, and its lease is half a second
report("log", message="back")
time.sleep(3)
report("closed")
"""


@pytest.mark.parametrize("key", [None, "taking-up/silent"])
def test_a_command_that_was_lost_and_comes_back_is_waited_for(
    pipes: PipesSubprocessClient, client: BrokerClient, key: str | None
) -> None:
    completed = pipes.run(context=None, command=[sys.executable, "-c", SILENT_FOR_TOO_LONG], key=key, lease_seconds=0.5)
    assert completed.invocation.verdict == "succeeded"
    changes = [item["change"] for item in client.invocations.history(completed.invocation.id)]
    assert "lease-expired" in changes


LEAVES_A_SILENT_PROCESS = """
import json, os, time, urllib.request
def report(producer, *methods):
    url = os.environ["STANDPIPE_URL"] + "/api/v1/invocations/" + os.environ["STANDPIPE_INVOCATION"] + "/events"
    headers = {
        "Authorization": "Bearer " + os.environ["STANDPIPE_TOKEN"],
        "Standpipe-Producer": producer,
        "Standpipe-First-Seq": "1",
    }
    body = json.dumps([{"method": method} for method in methods]).encode()
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(urllib.request.Request(url, body, headers))
report("silent", "opened")
report("whole", "opened", "closed")
time.sleep(2)  # the lease is half a second
"""


@pytest.mark.parametrize("key", [None, "taking-up/left-silent"])
def test_a_command_that_ended_and_left_a_silent_process_is_lost_and_not_waited_for(
    pipes: PipesSubprocessClient, key: str | None
) -> None:
    for _ in range(2):
        with pytest.raises(PipesExecutionError) as raised:
            pipes.run(context=None, command=[sys.executable, "-c", LEAVES_A_SILENT_PROCESS], key=key, lease_seconds=0.5)
        assert (raised.value.verdict, raised.value.exit_code) == ("lost", 0)


def test_what_ended_before_its_launch_is_not_launched_under_its_key(
    pipes: PipesSubprocessClient, tmp_path: Path, client: BrokerClient
) -> None:
    launched = tmp_path / "launched"
    command = [sys.executable, "-c", f"import pathlib; pathlib.Path({str(launched)!r}).touch()"]
    key = "taking-up/ended-before"
    with open_pipes_session(
        TARGETS, client=client, key=key, launcher={"name": "subprocess", "command": command}, require_success=False
    ):
        pass  # the same registration, and nothing was launched
    for _ in range(2):
        with pytest.raises(PipesExecutionError, match="never opened"):
            pipes.run(context=TARGETS, command=command, key=key)
    assert not launched.exists()


def test_a_process_killed_between_claim_and_launch_leaves_nothing_that_is_launched_twice_or_green(
    broker: Server, client: BrokerClient
) -> None:
    code = """
import os, signal
from standpipe_orchestrator import open_pipes_session
with open_pipes_session(None, key="taking-up/between", launcher="mine", open_within_seconds=1) as session:
    assert session.launch.claim({"host": "here"})
    os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = run([sys.executable, "-c", code], env=broker.orchestrator_environment(), check=False)
    assert killed.returncode == -signal.SIGKILL
    opened = open_pipes_session(
        None,
        client=client,
        key="taking-up/between",
        launcher="mine",
        open_within_seconds=1,
        require_success=False,
    )
    with opened as session:
        assert session.launch.already_launched
        assert session.launch.facts is not None
        assert session.launch.facts["host"] == "here"
        assert not session.launch.claim()
        session.wait(60)
    assert session.invocation.verdict == "incomplete"
    assert [reason.code for reason in session.invocation.reasons] == ["never-opened"]

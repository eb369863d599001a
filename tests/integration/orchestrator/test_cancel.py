"""How a command ends whose invocation is cancelled: by itself where it listens, else by SIGTERM, else by SIGKILL."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from standpipe_orchestrator import (
    BrokerClient,
    ContextData,
    MaterializeResult,
    PipesExecutionError,
    PipesSubprocessClient,
)
from standpipe_orchestrator.launchers import RunningWork
from tests.support.processes import child_environment, run_python
from tests.support.waiting import PATIENCE, wait_until

Script = Callable[[str], list[str]]
TARGETS = ContextData(asset_keys=("begun", "finished"), run_id="r")
BEGUN, FINISHED = MaterializeResult(asset_key="begun"), MaterializeResult(asset_key="finished")
FOR_EVER = 600.0

posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")


def cancel(client: BrokerClient, results: RunningWork) -> None:
    """Cancels what has reported that it begun."""
    assert next(results) == BEGUN
    assert results.session is not None
    client.invocations.cancel(results.session.invocation_id)


def test_a_process_that_listens_finishes_what_it_is_at(client: BrokerClient, script: Script, tmp_path: Path) -> None:
    launcher_knows = tmp_path / "launcher-knows"
    command = script(
        f"""
import pathlib, time
from standpipe import open_pipes
with open_pipes(raise_on_cancel=False) as context:
    context.report_asset_materialization(asset_key="begun")
    while not context.cancel_requested:
        context.log.info("at it")
        time.sleep(0.05)
    while not pathlib.Path({str(launcher_knows)!r}).exists():
        time.sleep(0.05)
    time.sleep(0.5)  # the work that is left
    context.report_asset_materialization(asset_key="finished")
"""
    )
    pipes = PipesSubprocessClient(client=client, cancel_grace_seconds=FOR_EVER)
    results = pipes.stream(context=TARGETS, command=command)
    cancel(client, results)
    session = results.session
    assert session is not None

    def tell_the_job() -> None:
        if session.reading.cancel_requested.wait(PATIENCE):
            launcher_knows.touch()

    teller = threading.Thread(target=tell_the_job)
    teller.start()
    assert list(results) == [FINISHED]
    teller.join(PATIENCE)
    assert results.completed.invocation.verdict == "succeeded"
    assert results.completed.invocation.cancel_requested


@posix
def test_a_process_that_does_not_listen_is_told_to_terminate_after_the_grace(
    client: BrokerClient, script: Script, tmp_path: Path
) -> None:
    heard = tmp_path / "heard"
    command = script(
        f"""
import pathlib, signal, sys, time
from standpipe import open_pipes
def told(number, frame):
    with pathlib.Path({str(heard)!r}).open("a") as file:
        file.write(signal.Signals(number).name)
    sys.exit(7)
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, told)
with open_pipes() as context:
    context.report_asset_materialization(asset_key="begun")
    time.sleep(600)
"""
    )
    pipes = PipesSubprocessClient(client=client, cancel_grace_seconds=0.2, termination_timeout_seconds=FOR_EVER)
    results = pipes.stream(context=TARGETS, command=command)
    cancel(client, results)
    with pytest.raises(PipesExecutionError, match="its invocation was cancelled") as raised:
        list(results)
    assert heard.read_text() == "SIGTERM"
    assert (raised.value.verdict, raised.value.exit_code) == ("cancelled", 7)
    assert raised.value.completed is not None
    assert raised.value.completed.partial_results == (BEGUN,)


@posix
def test_a_process_that_will_not_terminate_is_killed(client: BrokerClient, script: Script) -> None:
    command = script(
        """
import signal, time
from standpipe import open_pipes
signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open_pipes() as context:
    context.report_asset_materialization(asset_key="begun")
    time.sleep(600)
"""
    )
    pipes = PipesSubprocessClient(client=client, cancel_grace_seconds=0.0, termination_timeout_seconds=0.2)
    results = pipes.stream(context=TARGETS, command=command)
    cancel(client, results)
    with pytest.raises(PipesExecutionError, match="its invocation was cancelled") as raised:
        list(results)
    assert (raised.value.verdict, raised.value.exit_code) == ("cancelled", -signal.SIGKILL)


def test_what_a_cancelled_command_left_undone_is_no_fault_of_its_own(client: BrokerClient, script: Script) -> None:
    command = script(
        "import time\nfrom standpipe import open_pipes\nwith open_pipes() as context:\n"
        "    context.report_asset_materialization(asset_key='begun')\n    time.sleep(600)"
    )
    pipes = PipesSubprocessClient(client=client, cancel_grace_seconds=0.0, termination_timeout_seconds=0.0)
    results = pipes.stream(
        context=TARGETS, command=command, expected={"asset_keys": ["finished"], "custom_messages": 3}
    )
    cancel(client, results)
    with pytest.raises(PipesExecutionError) as raised:
        list(results)
    undone = {"missing-materialization", "missing-custom-messages"}
    assert undone <= {reason.code for reason in raised.value.reasons}
    assert "Cancel was requested" in str(raised.value)
    assert not [
        detail for detail in ("not materialized", "were expected", "never closed") if detail in str(raised.value)
    ]
    assert results.session is not None
    shown = run_python("-m", "standpipe.cli", "show", results.session.invocation_id, env=_environment(client)).stdout
    assert "Left undone" in next(line for line in shown.splitlines() if "not materialized" in line)


@posix
def test_a_command_that_never_opened_hears_nothing_and_is_told_at_once(client: BrokerClient) -> None:
    class Context:
        run_id = "r"

        def invocation_registered(self, invocation_id: str) -> None:
            client.invocations.cancel(invocation_id)

    pipes = PipesSubprocessClient(
        client=client, cancel_grace_seconds=FOR_EVER, termination_timeout_seconds=FOR_EVER, forward_stdio=False
    )
    with pytest.raises(PipesExecutionError, match="its invocation was cancelled") as raised:
        pipes.run(context=Context(), command=["sleep", "600"])
    assert (raised.value.verdict, raised.value.exit_code) == ("cancelled", -signal.SIGTERM)


def _environment(client: BrokerClient) -> dict[str, str]:
    return child_environment({"STANDPIPE_URL": client.url, "STANDPIPE_API_KEY": client.api_key})


def test_a_cancel_is_heard_of_one_that_was_lost_and_spoke_again(
    client: BrokerClient, script: Script, tmp_path: Path
) -> None:
    speak = tmp_path / "speak"
    # Without the library: nothing beats while it is silent.
    command = script(
        f"""
import json, os, pathlib, time, urllib.request
def post(message):
    url = "{{STANDPIPE_URL}}/api/v1/invocations/{{STANDPIPE_INVOCATION}}/events".format(**os.environ)
    headers = {{"Authorization": "Bearer " + os.environ["STANDPIPE_TOKEN"], "Content-Type": "application/json"}}
    urllib.request.urlopen(urllib.request.Request(url, json.dumps(message).encode(), headers))
post({{"method": "opened", "params": {{}}}})
while not pathlib.Path({str(speak)!r}).exists():
    time.sleep(0.02)
post({{"method": "report_custom_message", "params": {{"payload": 1}}}})
time.sleep(600)
"""
    )
    pipes = PipesSubprocessClient(client=client, cancel_grace_seconds=0.0, termination_timeout_seconds=0.0)
    results = pipes.stream(context=ContextData(job_name="silent"), command=command, lease_seconds=1.0, timeout=60)

    def lose_and_cancel() -> None:
        wait_until(lambda: results.session is not None, what="the registration")
        assert results.session is not None
        id = results.session.invocation_id
        wait_until(lambda: client.invocations.get(id).verdict == "lost", what="the loss")
        speak.touch()
        wait_until(lambda: client.invocations.get(id).status == "running", what="its next word")
        client.invocations.cancel(id)

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(lose_and_cancel)
        with pytest.raises(PipesExecutionError, match="its invocation was cancelled"):
            list(results)
        asking.result(PATIENCE)

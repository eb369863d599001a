"""Commands as external work, on a real broker: what `run` gives, and what it raises."""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pytest

from standpipe_orchestrator import (
    AssetCheckResult,
    AssetKey,
    AssetObservation,
    BrokerClient,
    ContextData,
    Expected,
    IntMetadataValue,
    MaterializeResult,
    PipesExecutionError,
    PipesSubprocessClient,
)
from standpipe_protocol.invocation import Event
from tests.support.waiting import wait_until

Script = Callable[[str], list[str]]
TARGETS = ContextData(asset_keys=("orders", "users"), run_id="run-1", job_name="job")


def events_of(client: BrokerClient, invocation_id: str) -> list[Event]:
    return list(client.events.iterate(invocation_id))


def captured(client: BrokerClient, invocation_id: str, stream: str) -> str:
    texts = [event.params for event in events_of(client, invocation_id) if event.method == "log_external_stream"]
    return "".join(p["text"] for p in texts if isinstance(p, dict) and p["stream"] == stream)  # type: ignore[misc]


def test_observations_of_a_real_process_stand_beside_its_results(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient
) -> None:
    command = script(
        """
from standpipe import open_pipes
with open_pipes() as context:
    for number in range(3):
        context.report_asset_observation({"rows": number}, str(number), "orders", partition="p", tags={"by": "test"})
    context.report_asset_materialization(asset_key="users")
"""
    )
    completed = pipes.run(context=TARGETS, command=command)
    observations = completed.get_observations()
    assert observations == tuple(
        AssetObservation(
            "orders", metadata={"rows": number}, data_version=str(number), partition="p", tags={"by": "test"}
        )
        for number in range(3)
    )
    users, orders = completed.get_results()
    assert [result.asset_key for result in (users, orders)] == [AssetKey("users"), AssetKey("orders")]
    assert isinstance(orders, MaterializeResult)
    assert orders.implicit
    found = client.assets.observations("orders", partition_key="p")
    assert [item["data_version"] for item in found.items] == ["2", "1", "0"]
    assert completed.invocation.verdict == "succeeded"


def test_a_run_gives_what_was_reported_and_marks_what_was_not(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient
) -> None:
    command = script(
        """
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message({"extras": context.extras, "key": context.asset_keys, "run": context.run_id})
    context.report_asset_materialization(asset_key="users", metadata={"n": 2}, data_version="v1")
    context.report_asset_check("no_nulls", True, "WARN", asset_key="users")
"""
    )
    completed = pipes.run(context=TARGETS, command=command, extras={"foo": "bär"}, tags={"team": "x"})
    users, check, orders = completed.get_results()
    assert users == MaterializeResult(asset_key="users", metadata={"n": IntMetadataValue(2)}, data_version="v1")
    assert isinstance(check, AssetCheckResult)
    assert (check.asset_key, check.check_name, check.passed) == (AssetKey("users"), "no_nulls", True)
    assert orders == MaterializeResult(asset_key="orders", implicit=True)
    (message,) = completed.get_custom_messages()
    assert message == {"extras": {"foo": "bär"}, "key": ["orders", "users"], "run": "run-1"}
    stored = client.invocations.get(completed.invocation.id)
    assert (stored.verdict, dict(stored.tags)) == ("succeeded", {"team": "x"})


def test_output_is_forwarded_unchanged_and_kept_by_stream(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    command = script(
        """
import sys
from standpipe import open_pipes
with open_pipes():
    sys.stdout.buffer.write("to ☃ out\\n".encode() + b"\\xff no end")
    print("to err", file=sys.stderr)
"""
    )
    completed = pipes.run(context=None, command=command)
    out, err = capfdbinary.readouterr()
    assert out == "to ☃ out\n".encode() + b"\xff no end"
    assert err == b"to err\n"
    assert captured(client, completed.invocation.id, "stdout") == "to ☃ out\n\ufffd no end"
    assert captured(client, completed.invocation.id, "stderr") == "to err\n"


def test_a_run_that_forwards_nothing_still_reads_everything(
    client: BrokerClient, script: Script, capfd: pytest.CaptureFixture[str]
) -> None:
    command = script(
        "from standpipe import open_pipes\nwith open_pipes():\n"
        "    print('x' * 99 + '\\n', end='')\n    print('y' * 300000)"
    )
    completed = PipesSubprocessClient(client=client, forward_stdio=False).run(context=None, command=command)
    assert capfd.readouterr().out == ""
    assert captured(client, completed.invocation.id, "stdout") == "x" * 99 + "\n" + "y" * 300000 + "\n"


def test_the_environment_is_the_parents_then_the_clients_then_the_calls_then_ours(
    client: BrokerClient, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A", "B", "C"):
        monkeypatch.setenv(name, "parent")
    monkeypatch.setenv("STANDPIPE_API_KEY", "operator")
    monkeypatch.setenv("STANDPIPE_TOKEN", "parent")
    command = script(
        """
import os
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message({name: os.environ.get(name) for name in ("A", "B", "C", "STANDPIPE_API_KEY")})
    context.report_custom_message(os.environ["STANDPIPE_TOKEN"] not in ("parent", "call"))
"""
    )
    pipes = PipesSubprocessClient(env={"B": "client", "C": "client"}, client=client)
    completed = pipes.run(context=None, command=command, env={"C": "call", "STANDPIPE_TOKEN": "call"})
    assert completed.get_custom_messages() == (
        {"A": "parent", "B": "client", "C": "call", "STANDPIPE_API_KEY": None},
        True,
    )


def test_a_failed_command_raises_with_code_stderr_and_everything_it_reported(
    pipes: PipesSubprocessClient, script: Script
) -> None:
    command = script(
        """
import sys
from standpipe import open_pipes
with open_pipes() as context:
    context.report_asset_materialization(asset_key="orders", metadata={"n": 1})
    context.report_custom_message("kept")
    raise ValueError("boom")
"""
    )
    with pytest.raises(PipesExecutionError) as raised:
        pipes.run(context=TARGETS, command=command)
    error = raised.value
    assert (error.verdict, error.exit_code) == ("failed", 1)
    assert "External execution process failed with code 1" in str(error)
    assert "ValueError: boom" in error.stderr_tail
    assert {reason.code for reason in error.reasons} >= {"exception", "exit-code"}
    assert error.completed is not None
    assert [result.asset_key for result in error.completed.get_results()] == [AssetKey("orders")]
    assert error.completed.get_custom_messages() == ("kept",)


def test_a_command_that_never_spoke_is_not_green(pipes: PipesSubprocessClient) -> None:
    with pytest.raises(PipesExecutionError, match="never opened") as raised:
        pipes.run(context=TARGETS, command=[sys.executable, "-c", "pass"])
    assert (raised.value.verdict, raised.value.exit_code) == ("incomplete", 0)
    assert raised.value.completed is not None
    assert raised.value.completed.get_results() == ()


def test_what_was_expected_and_not_reported_is_named(pipes: PipesSubprocessClient, script: Script) -> None:
    command = script("from standpipe import open_pipes\nwith open_pipes() as context: pass")
    with pytest.raises(PipesExecutionError, match="'orders' was not materialized") as raised:
        pipes.run(context=TARGETS, command=command, expected=Expected(asset_keys=("orders",)))
    assert raised.value.verdict == "incomplete"


def test_a_text_is_a_shell_command_and_a_folder_is_where_it_runs(
    pipes: PipesSubprocessClient, client: BrokerClient, tmp_path: Path
) -> None:
    with pytest.raises(PipesExecutionError, match="failed with code 7") as raised:
        pipes.run(context=None, command='echo "in $(pwd)"; exit 7', cwd=tmp_path)
    assert raised.value.completed is not None
    assert captured(client, raised.value.completed.invocation.id, "stdout") == f"in {tmp_path.resolve()}\n"


def test_a_command_whose_output_cannot_be_read_is_ended_and_has_failed(
    client: BrokerClient, pipes: PipesSubprocessClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(*args: object, **more: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("standpipe_orchestrator.launchers.supervision.StreamCapture", no_thread)
    with pytest.raises(PipesExecutionError, match="can't start new thread") as raised:
        pipes.run(context=None, command=["sleep", "600"])
    assert raised.value.verdict == "failed"
    assert "platform-error" in [reason.code for reason in raised.value.reasons]
    assert not raised.value.completed.invocation.cancel_requested  # type: ignore[union-attr]


@pytest.mark.parametrize("key", [None, "subprocess-client/deque"])
def test_the_words_of_a_command_may_be_any_sequence(pipes: PipesSubprocessClient, key: str | None) -> None:
    command = deque([Path(sys.executable), "-c", "pass"])
    assert pipes.run(context=None, command=command, pipes="optional", key=key).invocation.verdict == "succeeded"


def test_results_stream_while_the_command_still_runs(
    pipes: PipesSubprocessClient, script: Script, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    command = script(
        f"""
import pathlib, time
from standpipe import open_pipes
with open_pipes() as context:
    context.report_asset_materialization(asset_key="orders")
    while not pathlib.Path({str(go_on)!r}).exists():
        time.sleep(0.02)
    context.report_asset_check("c", False, asset_key="orders")
"""
    )
    results = pipes.stream(context=TARGETS, command=command)
    first = next(results)
    assert first == MaterializeResult(asset_key="orders")
    with pytest.raises(RuntimeError, match="The command has not ended"):
        _ = results.completed
    go_on.touch()
    check, implicit = list(results)
    assert isinstance(check, AssetCheckResult)
    assert implicit == MaterializeResult(asset_key="users", implicit=True)
    assert len(results.completed.get_results()) == 3


def test_leaving_the_iteration_early_ends_the_command(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient, tmp_path: Path
) -> None:
    ended = tmp_path / "ended"
    command = script(
        f"""
import pathlib, time
from standpipe import open_pipes
with open_pipes() as context:
    try:
        context.report_asset_materialization(asset_key="orders")
        time.sleep(600)
    except KeyboardInterrupt:
        pathlib.Path({str(ended)!r}).touch()
        raise
"""
    )
    with pipes.stream(context=TARGETS, command=command) as results:
        next(results)
    assert ended.exists()
    assert results.session is not None
    assert client.invocations.get(results.session.invocation_id).verdict == "cancelled"


def test_a_command_that_takes_too_long_is_ended(pipes: PipesSubprocessClient, client: BrokerClient) -> None:
    with pytest.raises(PipesExecutionError, match=r"took longer than 0\.5 s") as raised:
        pipes.run(context=None, command="sleep 600", timeout=0.5)
    assert raised.value.verdict == "failed"
    assert raised.value.exit_code == -signal.SIGINT
    assert raised.value.completed is not None
    (reason,) = [r for r in raised.value.reasons if r.code == "exit-code"]
    assert "took longer than 0.5 s" in reason.detail


def test_ctrl_c_ends_the_command_tells_the_broker_and_goes_on_up(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient
) -> None:
    command = script(
        "import time\nfrom standpipe import open_pipes\nwith open_pipes() as context:\n"
        "    context.report_asset_materialization(asset_key='orders')\n    time.sleep(600)"
    )
    results = pipes.stream(context=TARGETS, command=command)
    next(results)
    threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt):
        list(results)
    assert results.session is not None
    stored = client.invocations.get(results.session.invocation_id)
    assert stored.verdict == "cancelled"
    assert stored.ended


def test_what_still_holds_the_output_open_is_not_waited_for(
    pipes: PipesSubprocessClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("standpipe_orchestrator.launchers.supervision.OUTPUT_SECONDS", 0.2)
    pid_file = tmp_path / "pid"
    command = f"echo out; sleep 600 & echo $! > {pid_file}; exit 4"
    with caplog.at_level(logging.WARNING), pytest.raises(PipesExecutionError, match="failed with code 4"):
        pipes.run(context=None, command=command)
    assert "still holds its output open" in caplog.text
    os.kill(int(pid_file.read_text()), signal.SIGKILL)


def test_log_records_arrive_at_the_contexts_log_with_their_level(
    pipes: PipesSubprocessClient, script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    command = script(
        "from standpipe import open_pipes\nwith open_pipes() as context:\n"
        "    context.log.info('an info')\n    context.log.warning('a %s', 'warning')"
    )
    with caplog.at_level(logging.DEBUG):
        pipes.run(context=None, command=command)
    told = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert ("INFO", "an info") in told
    assert ("WARNING", "a warning") in told
    assert ("INFO", "[pipes] external process successfully opened dagster pipes.") in told


def test_a_rejected_message_makes_the_run_fail_and_costs_its_siblings_nothing(
    pipes: PipesSubprocessClient, script: Script
) -> None:
    # A program of another language, which checks nothing itself.
    messages = [
        {"method": "opened", "params": {}},
        {"method": "report_asset_materialization", "params": {"asset_key": "nobody"}},
        {"method": "report_asset_materialization", "params": {"asset_key": "orders"}},
        {"method": "closed", "params": None},
    ]
    command = script(
        f"""
import os, urllib.request
request = urllib.request.Request(
    os.environ["STANDPIPE_URL"] + "/api/v1/invocations/" + os.environ["STANDPIPE_INVOCATION"] + "/events",
    data={json.dumps(messages)!r}.encode(),
    headers={{"Authorization": "Bearer " + os.environ["STANDPIPE_TOKEN"], "Content-Type": "application/json"}},
)
urllib.request.urlopen(request).read()
"""
    )
    with pytest.raises(PipesExecutionError, match="1 message was rejected") as raised:
        pipes.run(context=TARGETS, command=command, env={"NO_PROXY": "*"})
    assert raised.value.exit_code == 0
    assert raised.value.completed is not None
    assert [result.asset_key for result in raised.value.completed.get_results()] == [AssetKey("orders")]


def test_no_thread_and_no_process_is_left_after_a_run(pipes: PipesSubprocessClient, script: Script) -> None:
    before = set(threading.enumerate())
    pipes.run(context=None, command=script("from standpipe import open_pipes\nwith open_pipes(): print('x')"))
    wait_until(lambda: set(threading.enumerate()) <= before, what=lambda: f"threads to end: {threading.enumerate()}")

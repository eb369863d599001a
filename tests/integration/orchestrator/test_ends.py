"""What launchers say of the end and on the way there, and what sessions make of work that is started again."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from standpipe_orchestrator import (
    AssetCheckResult,
    BrokerClient,
    Cause,
    ContextData,
    MaterializeResult,
    PipesExecutionError,
    PipesSession,
    PipesSubprocessClient,
    attach,
    open_pipes_session,
    replay,
)
from standpipe_orchestrator.errors import InvalidRequest
from tests.support.waiting import wait_until
from tests.support.wire import Json, check, closed, custom, materialization

Script = Callable[[str], list[str]]
TARGETS = ContextData(asset_keys=("a", "b"), run_id="r")
posix = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
OPENS = "from standpipe import open_pipes\nwith open_pipes() as context: pass"


class Process:
    """A process of the work, as one that speaks HTTP by itself."""

    def __init__(self, session: PipesSession, name: str, **extras: Any) -> None:
        env = session.get_bootstrap_env_vars()
        self._url = f"{env['STANDPIPE_URL']}/api/v1/invocations/{session.invocation_id}/events"
        self._token = {"Authorization": f"Bearer {env['STANDPIPE_TOKEN']}"}
        self._name, self._seq = name, 1
        self.report({"method": "opened", "params": {"extras": extras}})

    def report(self, *messages: Json) -> Json:
        numbers = {"Standpipe-Producer": self._name, "Standpipe-First-Seq": str(self._seq)}
        with httpx.Client(headers={**self._token, **numbers}, trust_env=False) as http:
            answer = http.post(self._url, json=messages)
        assert answer.status_code == 200, answer.text
        self._seq += len(messages)
        body: Json = answer.json()
        return body


@contextmanager
def session(client: BrokerClient, **arguments: Any):  # type: ignore[no-untyped-def]
    with open_pipes_session(TARGETS, client=client, require_success=False, **arguments) as opened:
        yield opened


def codes(opened: PipesSession) -> list[str]:
    return [reason.code for reason in opened.invocation.reasons]


def test_the_platforms_word_is_the_sentence_that_is_raised(client: BrokerClient) -> None:
    cause = Cause(code="out-of-memory", detail="OOMKilled", exit_code=137, peak_memory_bytes=512 * 2**20, node="node-7")
    with session(client) as opened:
        Process(opened, "p").report(closed())
        opened.launch.finish(outcome="failed", cause=cause)
    with pytest.raises(PipesExecutionError) as raised, attach(opened.invocation_id, client=client) as followed:
        followed.wait(60)
    assert raised.value.verdict == "failed"
    assert "It was killed for using too much memory (at most 512 MiB were in use), on node node-7" in str(raised.value)
    stored = client.invocations.get(opened.invocation_id)
    assert (stored.outcome, stored.cause) == ("failed", cause.to_wire())


@pytest.mark.parametrize(
    ("word", "verdict", "reason"),
    [
        ({"outcome": "failed", "cause": {"code": "evicted", "detail": "d"}}, "failed", "evicted"),
        ({"outcome": "failed"}, "failed", "outcome-failed"),
        ({"outcome": "unknown"}, "incomplete", "unknown"),
        ({"outcome": "succeeded", "exit_code": 3}, "failed", "exit-code"),
    ],
)
def test_no_word_makes_anything_greener(client: BrokerClient, word: Json, verdict: str, reason: str) -> None:
    with session(client) as opened:
        Process(opened, "p").report(closed())
        opened.launch.finish(**word)
    assert (opened.invocation.verdict, codes(opened)) == (verdict, [reason])
    with session(client) as opened:
        Process(opened, "p")
        opened.launch.finish(outcome="succeeded", exit_code=0)
    assert (opened.invocation.verdict, codes(opened)) == ("incomplete", ["never-closed"])


def test_a_word_of_a_wrong_shape_is_refused_with_a_pointer(client: BrokerClient) -> None:
    with session(client) as opened, pytest.raises(InvalidRequest, match=r"/cause/code"):
        opened.launch.finish(outcome="failed", cause={"code": "no spaces", "detail": ""})


def test_the_way_to_the_end_is_shown_as_the_platform_has_it(client: BrokerClient) -> None:
    began = datetime(2026, 1, 31, 12, tzinfo=UTC)
    with session(client, launcher={"name": "cluster"}) as opened:
        opened.launch.report_state("queued", platform="cluster", job_id="17", at=began)
        invocation = opened.launch.report_state("running", node="node-7", url="https://cluster.example/17")
        Process(opened, "p").report(closed())
    platform = invocation.platform
    assert platform is not None
    assert {name: platform[name] for name in ("state", "platform", "job_id", "node")} == {
        "state": "running",
        "platform": "cluster",
        "job_id": "17",
        "node": "node-7",
    }
    assert str(platform["queued_at"]).startswith("2026-01-31T12:00:00")
    changes = [item["change"] for item in client.invocations.history(opened.invocation_id)]
    assert changes.count("launch") == 2
    assert opened.invocation.verdict == "succeeded"


def test_of_work_that_was_started_again_the_newest_attempts_reports_are_the_results(client: BrokerClient) -> None:
    with session(client, expected={"asset_keys": ["a"]}) as opened:
        first = Process(opened, "first", attempt=[0])
        first.report(custom("first"), materialization("a", metadata={"attempt": 1}), check("a", "c", passed=False))
        second = Process(opened, "second", attempt=[1])
        assert first.report(check("a", "c", passed=False))["control"]["superseded"] is True
        second.report(custom("second"), materialization("a", metadata={"attempt": 2}), check("a", "c"), closed())
        opened.launch.finish(exit_code=0)
    standing = (
        MaterializeResult("a", metadata={"attempt": 2}),
        AssetCheckResult(passed=True, asset_key="a", check_name="c"),
        MaterializeResult("b", implicit=True),
    )
    assert opened.invocation.verdict == "succeeded", opened.invocation.reasons
    assert opened.get_results() == tuple(opened.iterate_results()) == standing
    assert opened.get_custom_messages() == ("second",)
    assert [note["code"] for note in opened.invocation.notes] == ["superseded"]
    # So has whoever comes later.
    with attach(opened.invocation_id, client=client) as followed:
        followed.wait(60)
    assert followed.get_results() == standing
    assert replay(opened.invocation_id, client=client).completed.get_results() == standing


def test_a_launcher_numbers_attempts_that_do_not_number_themselves(client: BrokerClient) -> None:
    with session(client) as opened:
        Process(opened, "first", attempt_name="pod-x").report(materialization("a"))
        opened.launch.report_attempt(1, name="pod-y")
        second = Process(opened, "second", attempt_name="pod-y")
        second.report(materialization("a", metadata={"attempt": 2}), closed())
        opened.launch.finish(exit_code=0)
    assert opened.invocation.verdict == "succeeded", opened.invocation.reasons
    assert opened.invocation.attempt == (1,)
    assert opened.get_results()[0] == MaterializeResult("a", metadata={"attempt": 2})


def test_a_stream_gives_both_and_marks_the_one_that_stands(client: BrokerClient) -> None:
    found: list[object] = []
    with session(client) as opened:
        first = Process(opened, "first", attempt=[0])
        first.report(materialization("a"))
        wait_until(lambda: found.extend(opened.stream_results(wait=1)) or found, what="the first result")
        Process(opened, "second", attempt=[1]).report(materialization("a"), closed())
    found += opened.stream_results(implicit_materializations=False)
    assert found == [MaterializeResult("a"), MaterializeResult("a", replaces=True)]


SILENT = [sys.executable, "-c", "print('12 features written')"]


@pytest.mark.parametrize("key", [None, "ends/optional"])
def test_a_program_that_cannot_be_changed_is_judged_by_its_exit_code(
    pipes: PipesSubprocessClient, client: BrokerClient, key: str | None
) -> None:
    completed = pipes.run(context=TARGETS, command=SILENT, pipes="optional", key=key)
    assert (completed.invocation.verdict, completed.invocation.judged_by) == ("succeeded", "launcher")
    assert client.invocations.get(completed.invocation.id).pipes == "optional"
    failing = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(PipesExecutionError, match="failed with code 3") as raised:
        pipes.run(context=TARGETS, command=failing, pipes="optional", key=key and f"{key}/failing")
    assert raised.value.verdict == "failed"


def test_without_a_word_and_with_one_too_many_optional_is_not_green(
    pipes: PipesSubprocessClient, client: BrokerClient, script: Script
) -> None:
    with session(client, pipes="optional") as opened:
        pass  # no outcome, no exit code
    assert (opened.invocation.verdict, codes(opened)) == ("incomplete", ["never-opened"])
    with session(client, pipes="optional") as opened:
        opened.launch.finish(outcome="unknown")
    assert opened.invocation.verdict == "incomplete"
    with pytest.raises(PipesExecutionError, match="'a' was not materialized"):
        pipes.run(context=TARGETS, command=SILENT, pipes="optional", expected={"asset_keys": ["a"]})
    opens_and_dies = f"{OPENS.replace('pass', 'context.flush(10); import os; os._exit(0)')}"
    with pytest.raises(PipesExecutionError, match="never closed"):
        pipes.run(context=TARGETS, command=script(opens_and_dies), pipes="optional")
    assert pipes.run(context=TARGETS, command=script(OPENS), pipes="optional").invocation.judged_by is None
    with pytest.raises(ValueError, match="`pipes` is 'maybe'; expected 'required' or 'optional'"):
        pipes.run(context=TARGETS, command=SILENT, pipes="maybe")  # type: ignore[arg-type]


def test_a_command_that_runs_says_where(pipes: PipesSubprocessClient, client: BrokerClient, script: Script) -> None:
    command = script(
        "import os\nfrom standpipe import open_pipes\nwith open_pipes() as context:\n"
        "    context.report_custom_message(os.getpid())\n    context.log.info('x')\n    input_ = context.flush(10)"
    )
    completed = pipes.run(context=None, command=command)
    stored = client.invocations.get(completed.invocation.id)
    assert stored.platform is not None
    (pid,) = completed.get_custom_messages()
    assert {name: stored.platform[name] for name in ("state", "platform", "job_id")} == {
        "state": "running",
        "platform": "subprocess",
        "job_id": str(pid),
    }
    assert stored.outcome == "succeeded"


@posix
def test_a_signal_from_outside_is_named(pipes: PipesSubprocessClient, client: BrokerClient) -> None:
    for number, reasons in ((signal.SIGKILL, {"exit-code", "stopped-outside"}), (signal.SIGSEGV, {"exit-code"})):
        with pytest.raises(PipesExecutionError, match=f"failed with code -{number:d} ") as raised:
            pipes.run(context=None, command=[sys.executable, "-c", f"import os; os.kill(os.getpid(), {number:d})"])
        assert raised.value.verdict == "failed"
        assert reasons <= {reason.code for reason in raised.value.reasons}
        assert raised.value.completed is not None
        cause = raised.value.completed.invocation.cause
        assert (cause or {}).get("signal") == ("SIGKILL" if number == signal.SIGKILL else None)
    assert "by signal SIGKILL" in str(_killed(pipes))


def _killed(pipes: PipesSubprocessClient) -> PipesExecutionError:
    with pytest.raises(PipesExecutionError) as raised:
        pipes.run(context=None, command=[sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    return raised.value


@pytest.mark.parametrize("key", [None, "ends/timeout"])
def test_a_time_that_is_up_is_the_cause_also_of_a_program_that_ends_well_then(
    pipes: PipesSubprocessClient, script: Script, key: str | None
) -> None:
    command = script(
        "import time\nfrom standpipe import open_pipes\nwith open_pipes() as context:\n"
        "    try: time.sleep(600)\n    except KeyboardInterrupt: pass"
    )
    with pytest.raises(PipesExecutionError, match=r"longer than 4 s") as raised:
        pipes.run(context=None, command=command, timeout=4, key=key)
    assert raised.value.verdict == "failed"
    assert [reason.code for reason in raised.value.reasons] == ["timeout"]


def test_a_detached_command_that_is_gone_with_its_runner_is_not_known_to_have_ended_well(
    pipes: PipesSubprocessClient, script: Script, client: BrokerClient
) -> None:
    command = script(
        "import os, time\nfrom standpipe import open_pipes\nwith open_pipes() as context:\n"
        "    context.report_custom_message([os.getpid(), os.getppid()])\n"
        "    context.report_asset_materialization(asset_key='a')\ntime.sleep(600)"
    )
    results = pipes.stream(context=TARGETS, command=command, key="ends/gone")
    assert next(results) == MaterializeResult("a")
    assert results.session is not None
    invocation_id = results.session.invocation_id
    wait_until(
        lambda: any(event.method == "closed" for event in client.events.iterate(invocation_id)), what="the close"
    )
    ((command_pid, runner),) = results.session.get_custom_messages()  # type: ignore[misc]
    os.kill(runner, signal.SIGKILL)  # type: ignore[arg-type]
    os.kill(command_pid, signal.SIGKILL)  # type: ignore[arg-type]
    with pytest.raises(PipesExecutionError, match="are gone from their machine") as raised:
        list(results)
    assert (raised.value.verdict, [reason.code for reason in raised.value.reasons]) == ("incomplete", ["unknown"])

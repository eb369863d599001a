"""Sessions for work that is launched by any means, through a broker that stays, restarts, or goes."""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import httpx
import pytest

from standpipe_orchestrator import (
    AssetKey,
    BrokerClient,
    ContextData,
    MaterializeResult,
    PipesExecutionError,
    PipesSubprocessClient,
    open_pipes_session,
)
from standpipe_orchestrator.errors import IdempotencyConflict, NotFound
from standpipe_protocol.messages import LogExternalStream
from tests.conftest import ServerFactory
from tests.support.processes import child_environment
from tests.support.waiting import PATIENCE, wait_until
from tests.support.wire import Json, closed, materialization, opened

Script = Callable[[str], list[str]]
TARGETS = ContextData(asset_keys=("a", "b"), run_id="r")
REPORTS_BOTH = """
from standpipe import open_pipes
with open_pipes() as context:
    for key in context.asset_keys:
        context.report_asset_materialization(asset_key=key)
"""


def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=child_environment(dict(env)))


def test_a_loop_that_yields_while_it_polls_gives_each_result_once(client: BrokerClient, script: Script) -> None:
    found: list[Any] = []
    with open_pipes_session(TARGETS, client=client, extras={"n": 1}) as session:
        process = start(script(REPORTS_BOTH), session.get_bootstrap_env_vars())
        while process.poll() is None:
            found += session.stream_results(wait=0.05)
    found += session.stream_results()
    assert found == [MaterializeResult(asset_key="a"), MaterializeResult(asset_key="b")]
    assert session.get_results() == tuple(found) == session.get_reported_results()
    assert session.invocation.verdict == "succeeded"


def test_work_that_did_not_succeed_raises_at_the_end_of_the_block(client: BrokerClient) -> None:
    with pytest.raises(PipesExecutionError, match="never opened") as raised, open_pipes_session(TARGETS, client=client):
        pass
    assert raised.value.verdict == "incomplete"
    with open_pipes_session(TARGETS, client=client, require_success=False) as session:
        session.launch.finish(exit_code=3, reason="the job's own words")
    assert session.invocation.verdict == "failed"
    assert session.get_results() == ()


def test_an_exception_in_the_block_passes_and_the_broker_knows_of_it(client: BrokerClient) -> None:
    with pytest.raises(ZeroDivisionError), open_pipes_session(None, client=client) as session:
        raise ZeroDivisionError("by zero")
    stored = client.invocations.get(session.invocation_id)
    assert stored.verdict == "incomplete"
    assert "ZeroDivisionError: by zero" in stored.reasons[0].detail
    with pytest.raises(KeyboardInterrupt), open_pipes_session(None, client=client) as session:
        raise KeyboardInterrupt
    assert client.invocations.get(session.invocation_id).verdict == "cancelled"


def test_facts_about_the_launch_are_kept_among_the_events(client: BrokerClient, script: Script) -> None:
    with open_pipes_session(TARGETS, client=client) as session:
        session.report_launched({"extras": {"job_id": "j-1"}})
        start(script(REPORTS_BOTH), session.get_bootstrap_env_vars()).wait(PATIENCE)
    launched = [event for event in client.events.iterate(session.invocation_id) if event.details]
    assert [dict(event.details or {}) for event in launched] == [{"launched": {"job_id": "j-1"}}]
    assert set(session.get_bootstrap_params()) == {"url", "invocation", "token"}


def test_hooks_of_the_context_hear_what_happens(client: BrokerClient, script: Script) -> None:
    class Context:
        run_id = "r"
        asset_keys = (AssetKey("a"), AssetKey("b"))

        def __init__(self) -> None:
            self.heard: list[object] = []

        def invocation_registered(self, invocation_id: str) -> None:
            self.heard.append(invocation_id)

        def result_reported(self, result: MaterializeResult) -> None:
            self.heard.append(result.asset_key)

        def set_requires_typed_event_stream(self, *, error_message: str | None = None) -> None:
            self.heard.append("Did you forget" in (error_message or ""))

    context = Context()
    completed = PipesSubprocessClient(client=client).run(context=context, command=script(REPORTS_BOTH))
    assert context.heard == [True, completed.invocation.id, AssetKey("a"), AssetKey("b")]


def test_a_session_reads_on_through_a_restart_of_the_server(
    start_server: ServerFactory, sqlite_url: str, script: Script
) -> None:
    server = start_server(database_url=sqlite_url)
    command = script(
        """
import sys
import threading
from standpipe import open_pipes
with open_pipes() as context:
    context.report_asset_materialization(asset_key="a")
    sys.stdin.readline()
    context.report_asset_materialization(asset_key="b")
"""
    )
    found: list[Any] = []
    with (
        BrokerClient(server.url, api_key=server.api_key) as client,
        open_pipes_session(TARGETS, client=client) as session,
    ):
        environment = child_environment(dict(session.get_bootstrap_env_vars()))
        with subprocess.Popen(command, env=environment, stdin=subprocess.PIPE) as process:
            wait_until(lambda: found.extend(session.stream_results(wait=1)) or found, what="the first result")
            server.kill9()
            server.restart()
            process.communicate(b"\n", timeout=PATIENCE)
    found += session.stream_results()
    assert found == [MaterializeResult(asset_key="a"), MaterializeResult(asset_key="b")]


def test_what_a_lost_process_reports_after_it_came_back_to_life_is_among_the_results(client: BrokerClient) -> None:
    with open_pipes_session(TARGETS, client=client, lease_seconds=1) as session:
        env = session.get_bootstrap_env_vars()
        token = {"Authorization": f"Bearer {env['STANDPIPE_TOKEN']}"}
        url = f"{env['STANDPIPE_URL']}/api/v1/invocations/{session.invocation_id}"
        with httpx.Client(headers=token, trust_env=False) as process:

            def report(first: int, *messages: Json) -> None:
                numbers = {"Standpipe-Producer": "p", "Standpipe-First-Seq": str(first)}
                assert process.post(f"{url}/events", json=messages, headers=numbers).status_code == 200

            report(1, opened(), materialization("a"))
            # Though this process lives, and beat for the lease until the work had opened.
            wait_until(
                lambda: client.invocations.get(session.invocation_id).verdict == "lost", what="the lease to run out"
            )
            reader = f"standpipe-reader-{session.invocation_id}"
            wait_until(lambda: reader not in {thread.name for thread in threading.enumerate()}, what="the stream's end")
            report(3, materialization("b"), closed())
    assert session.get_results() == (MaterializeResult(asset_key="a"), MaterializeResult(asset_key="b"))


def test_a_broker_that_is_gone_at_the_end_does_not_make_a_run_green(
    start_server: ServerFactory, sqlite_url: str, script: Script, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("standpipe_orchestrator.sessions.launch_reports.DELIVERY_SECONDS", 0.5)
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "spools"))
    server = start_server(database_url=sqlite_url)
    command = script(
        "import time\nfrom standpipe import open_pipes\nwith open_pipes() as context:\n"
        "    context.report_asset_materialization(asset_key='a')\n    time.sleep(600)"
    )
    with BrokerClient(server.url, api_key=server.api_key, retry_seconds=0.5) as client:
        pipes = PipesSubprocessClient(client=client, termination_timeout_seconds=0.5)
        results = pipes.stream(context=TARGETS, command=command, timeout=4, env={"STANDPIPE_CLOSE_TIMEOUT": "0"})
        assert next(results) == MaterializeResult(asset_key="a")
        server.kill9()
        with pytest.raises(PipesExecutionError, match="could not be learned") as raised:
            list(results)
    assert raised.value.verdict is None
    assert raised.value.completed is not None
    assert raised.value.completed.get_results() == (MaterializeResult(asset_key="a"),)


def test_captured_output_that_never_arrives_is_missed_by_the_verdict(
    client: BrokerClient, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_pipes_session(TARGETS, client=client, require_success=False) as session:
        done = start(script(REPORTS_BOTH), session.get_bootstrap_env_vars())
        assert done.wait(PATIENCE) == 0
        # The launcher's own reports are refused from here on: the token is one that nobody gave out.
        refused = replace(session.launch.bootstrap, token="spt_another")
        monkeypatch.setattr(type(session.launch), "bootstrap", refused)
        session.launch.report(LogExternalStream(stream="stdout", text="the last words"))
        session.launch.finish(exit_code=0)
    assert session.invocation.verdict == "incomplete"
    assert [reason.code for reason in session.invocation.reasons] == ["missing-tail"]


def test_operations_on_invocations_do_what_they_say(client: BrokerClient, script: Script) -> None:
    first = client.invocations.register(TARGETS, idempotency_key="once-only", tags={"test": "operations"})
    again = client.invocations.register(TARGETS, idempotency_key="once-only", tags={"test": "operations"})
    assert again.invocation.id == first.invocation.id
    with pytest.raises(IdempotencyConflict):
        client.invocations.register(ContextData(run_id="other"), idempotency_key="once-only")
    listed = [invocation.id for invocation in client.invocations.iterate(run_id="r", page_size=1)]
    assert first.invocation.id in listed
    assert client.invocations.cancel(first.invocation.id).cancel_requested
    ended = client.invocations.finish(first.invocation.id, launched=False, reason="never mind")
    assert (ended.status, ended.verdict) == ("ended", "cancelled")
    assert len(client.invocations.history(first.invocation.id)) >= 3
    assert client.limits().batch_messages > 0
    client.invocations.delete(first.invocation.id)
    with pytest.raises(NotFound):
        client.invocations.get(first.invocation.id)


def test_history_by_asset_is_found_across_invocations(client: BrokerClient, script: Script) -> None:
    command = script(
        """
from standpipe import open_pipes
with open_pipes() as context:
    context.report_asset_materialization(asset_key=r"pre/a\\/b", metadata={"n": 1})
    context.report_asset_check("c", False, asset_key=r"pre/a\\/b")
"""
    )
    key = AssetKey(["pre", "a/b"])
    context = ContextData(asset_keys=(key.to_escaped_user_string(),), run_id="r")
    completed = PipesSubprocessClient(client=client).run(context=context, command=command)
    (item,) = client.assets.materializations(key).items
    assert item["invocation_id" if "invocation_id" in item else "invocation"] == completed.invocation.id
    assert item["metadata"] == {"n": {"type": "int", "raw_value": 1}}
    assert len(client.assets.checks(key).items) == 1
    assert client.assets.get(key)["asset_key"] == r"pre/a\/b"
    assert any(asset["asset_key"] == r"pre/a\/b" for asset in client.assets.list(limit=100).items)
    assert [asset["asset_key"] for asset in client.assets.list(text="a\\/b").items] == [r"pre/a\/b"]
    cases: list[tuple[dict[str, Any], int]] = [
        ({"partition_key": "2026-01"}, 0),
        ({"since": "2000-01-01T00:00:00Z"}, 1),
        ({"until": "2000-01-01T00:00:00Z"}, 0),
    ]
    for filters, found in cases:
        assert len(client.assets.materializations(key, **filters).items) == found, filters
        assert len(client.assets.checks(key, **filters).items) == found, filters
    assert len(client.assets.checks(key, check_name="c").items) == 1
    assert client.assets.checks(key, check_name="d").items == ()


def test_errors_are_found_across_invocations(client: BrokerClient, script: Script) -> None:
    failed = [script("from standpipe import open_pipes\nwith open_pipes(): raise ValueError('no input')") for _ in "ab"]
    for command in failed:
        with pytest.raises(PipesExecutionError):
            PipesSubprocessClient(client=client).run(context=None, command=command)

    page = client.errors.list(kind="exception", limit=1)
    further = client.errors.list(kind="exception", limit=1, cursor=page.next_cursor)
    assert [error["summary"] for error in (*page.items, *further.items)] == ["ValueError: no input"] * 2
    assert page.items[0]["invocation_id"] != further.items[0]["invocation_id"]
    assert client.errors.list(kind="rejected", until="2000-01-01T00:00:00Z").items == ()


def test_former_members_of_a_session_work_with_a_warning(client: BrokerClient) -> None:
    with open_pipes_session(None, client=client, require_success=False) as session:
        former = cast("Any", session)
        with pytest.warns(DeprecationWarning, match=r"`session.claim_launch` is `session.launch.claim` now"):
            assert former.claim_launch() is True
        with pytest.warns(DeprecationWarning, match=r"session.reading.over"):
            assert former.over is False
        with pytest.raises(TypeError, match="exitcode"):
            session.launch.finish(exitcode=1)  # pyright: ignore[reportCallIssue]
        with pytest.warns(DeprecationWarning, match=r"session.launch.finish"):
            former.finish(exit_code=1)
        assert session.created_at <= datetime.now(UTC)
        assert not session.reading.cancel_requested.is_set()
        with pytest.warns(DeprecationWarning, match=r"session.reading.note_cancel_request"):
            former.note_cancel_request()
        assert session.reading.cancel_requested.is_set()
    with pytest.warns(DeprecationWarning, match=r"get_reported_results"):
        assert former.partial_results == ()
    with pytest.raises(AttributeError, match="no_such_member"):
        _ = former.no_such_member

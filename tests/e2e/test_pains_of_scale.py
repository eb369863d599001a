"""Reports that come late or are too large, processes that vanish: told while there is time, or missed by name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe_orchestrator import (
    AssetKey,
    BrokerClient,
    ContextData,
    MaterializeResult,
    PipesExecutionError,
    PipesSubprocessClient,
)
from standpipe_orchestrator.errors import TooLarge
from tests.support.fork_server import ForkServer
from tests.support.server import Server

ORDERS = ContextData(asset_keys=("orders",), run_id="r")


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("pains-of-scale") / "home"
    with Server(home, database_url=f"sqlite:///{home / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


@pytest.fixture
def pipes(client: BrokerClient, tmp_path: Path) -> PipesSubprocessClient:
    env = {"STANDPIPE_HOME": str(tmp_path / "job-home"), "STANDPIPE_CLOSE_TIMEOUT": "20"}
    return PipesSubprocessClient(env, client=client, forward_stdio=False)


def code(*lines: str) -> list[str]:
    return [sys.executable, "-c", "\n".join(lines)]


def test_what_is_reported_is_read_while_the_job_waits_for_that(pipes: PipesSubprocessClient, tmp_path: Path) -> None:
    parts = 20
    results = pipes.stream(
        context=None,
        timeout=60,
        command=code(
            "import pathlib, sys, time",
            "from standpipe import open_pipes",
            "with open_pipes() as context:",
            f"    for part in range({parts}):",
            "        context.report_asset_materialization(asset_key=f'part{part}')",
            f"        while not pathlib.Path({str(tmp_path)!r}, f'read{{part}}').exists(): time.sleep(0.005)",
        ),
    )
    # It reports the next one only when this one was read: read at its end, none would ever be.
    for number, result in enumerate(results):
        assert isinstance(result, MaterializeResult)
        assert result.asset_key == AssetKey(f"part{number}")
        (tmp_path / f"read{number}").touch()
    assert results.completed.invocation.verdict == "succeeded"
    assert len(results.completed.get_results()) == parts


def test_extras_beyond_the_limit_are_refused_with_its_name_before_anything_is_launched(
    pipes: PipesSubprocessClient, client: BrokerClient, tmp_path: Path
) -> None:
    launched = tmp_path / "launched"
    command = code(f"import pathlib; pathlib.Path({str(launched)!r}).touch()")
    with pytest.raises(TooLarge) as raised:
        pipes.run(context=ORDERS, command=command, extras={"text": "x" * 17 * 2**20})
    assert raised.value.problem.members["limit_name"] in ("context_bytes", "registration_bytes")
    assert not launched.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork and no SIGKILL")
def test_a_forked_child_that_is_killed_is_missed_though_its_parent_ends_well(pipes: PipesSubprocessClient) -> None:
    command = code(
        "import os, signal",
        "from standpipe import open_pipes",
        "with open_pipes() as context:",
        "    context.report_asset_materialization()",
        "    child = os.fork()",
        "    if not child:",
        "        context.report_custom_message('from the child')",
        "        assert context.flush(20)",
        "        context.report_custom_message('never to be sent')",
        "        os.kill(os.getpid(), signal.SIGKILL)",
        "    os.waitpid(child, 0)",
    )
    with pytest.raises(PipesExecutionError, match="opened and never closed") as raised:
        pipes.run(context=ORDERS, command=command)
    assert (raised.value.verdict, raised.value.exit_code) == ("incomplete", 0)
    assert "never-closed" in {reason.code for reason in raised.value.reasons}
    assert raised.value.completed is not None
    assert "from the child" in raised.value.completed.get_custom_messages()
    assert len(raised.value.completed.partial_results) == 1

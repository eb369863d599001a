"""One real server for the tests of this folder; each test keeps to invocations of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from standpipe_orchestrator import BrokerClient, PipesSubprocessClient
from tests.support.fork_server import ForkServer
from tests.support.server import Server


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("orchestrators-broker") / "home"
    with Server(home, database_url=f"sqlite:///{home / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


@pytest.fixture
def pipes(client: BrokerClient) -> PipesSubprocessClient:
    """Launches on that server; without what would leak from this process's environment."""
    return PipesSubprocessClient(client=client, termination_timeout_seconds=10)


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], list[str]]:
    """Writes external code into a file and gives the command that runs it."""

    def write(code: str) -> list[str]:
        path = tmp_path / "external_code.py"
        path.write_text(code, encoding="utf-8")
        return [sys.executable, str(path)]

    return write

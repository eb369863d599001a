"""Every launcher of this distribution passes the conformance test of the public package; jobs are real processes."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from standpipe_orchestrator import BrokerClient, PipesSubprocessClient
from standpipe_orchestrator.launchers import Launcher
from standpipe_orchestrator.launchers.local.process_launcher import SubprocessLauncher
from standpipe_orchestrator.testing import LauncherClient, LauncherConformance, SimulatedPlatform
from tests.support.server import Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups are POSIX's here")


@pytest.fixture(autouse=True)
def broker_of_the_environment(broker: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conformance test finds its broker as every orchestrator does."""
    monkeypatch.setenv("STANDPIPE_URL", broker.url)
    monkeypatch.setenv("STANDPIPE_API_KEY", broker.api_key)


class TestSubprocess(LauncherConformance):
    outlives_orchestrator = False

    def make_launcher(self, folder: Path) -> Launcher:
        return SubprocessLauncher(cwd=folder)


class TestDetachedSubprocess(LauncherConformance):
    always_keyed = True

    def make_client(
        self,
        broker: BrokerClient,
        folder: Path,
        *,
        termination_timeout_seconds: float = 10.0,
        cancel_grace_seconds: float = 600.0,
    ) -> LauncherClient:
        return PipesSubprocessClient(
            client=broker,
            cwd=folder,
            forward_stdio=False,
            termination_timeout_seconds=termination_timeout_seconds,
            cancel_grace_seconds=cancel_grace_seconds,
        )


class TestSimulatedPlatform(LauncherConformance):
    def make_launcher(self, folder: Path) -> Launcher:
        return SimulatedPlatform(folder=folder / "jobs", queued_polls=2)

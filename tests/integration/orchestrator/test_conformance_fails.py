"""The conformance test finds what a launcher does wrong: each of these launchers breaks one promise."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from standpipe_orchestrator.launchers import JobDescription, JobEnd, Launcher, OutputStream, Work
from standpipe_orchestrator.testing import LauncherConformance, SimulatedPlatform
from standpipe_orchestrator.testing.simulated_platform import SimulatedJob
from tests.support.server import Server
from tests.support.waiting import PATIENCE

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the platform is a POSIX shell")


@pytest.fixture(autouse=True)
def broker_of_the_environment(broker: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_URL", broker.url)
    monkeypatch.setenv("STANDPIPE_API_KEY", broker.api_key)
    monkeypatch.setattr("standpipe_orchestrator.launchers.job_thread.KILLED_SECONDS", 0.5)
    monkeypatch.setattr("standpipe_orchestrator.launchers.supervision.OUTPUT_SECONDS", 0.5)


class Broken(SimulatedPlatform):
    """A platform whose jobs have one method replaced."""

    replaced: tuple[str, Callable[..., object]] = ("", lambda self: None)

    def launch(self, work: Work) -> SimulatedJob:
        job = super().launch(work)
        name, method = self.replaced
        setattr(job, name, method)
        return job


class Conformance(LauncherConformance):
    def __init__(self, name: str, method: Callable[..., object]) -> None:
        self._replaced = (name, method)
        self.launchers: list[Broken] = []

    def make_launcher(self, folder: Path) -> Launcher:
        launcher = Broken(folder=folder / "jobs")
        launcher.replaced = self._replaced
        self.launchers.append(launcher)
        return launcher


def no_output() -> Sequence[OutputStream]:
    return ()


def test_output_that_is_not_captured(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        Conformance("output", no_output).test_a_megabyte_in_one_line_is_captured_whole(tmp_path)


def test_a_job_that_is_not_described(tmp_path: Path) -> None:
    tests = Conformance("describe", JobDescription)
    with pytest.raises(AssertionError):
        tests.test_work_that_ends_well_gives_what_it_reported(tmp_path)


def test_an_exit_code_that_is_not_the_commands(tmp_path: Path) -> None:
    tests = Conformance("poll", lambda wait: JobEnd(exit_code=0))
    with pytest.raises(AssertionError):
        tests.test_an_exit_code_is_a_failure_with_what_was_reported_before(tmp_path)


def test_a_kill_that_does_not_kill(tmp_path: Path) -> None:
    tests = Conformance("kill", lambda: None)
    with pytest.raises(AssertionError, match="may still run"):
        tests.test_cancelled_work_that_is_deaf_to_every_request_is_killed(tmp_path)
    (process,) = tests.launchers[0].processes.values()
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(PATIENCE)


class Forgetful(SimulatedPlatform):
    """Knows nothing of jobs that another process has launched, and starts them again."""

    def take_up(self, work: Work, *, job_id: str | None) -> None:
        folder = self.folder / work.invocation_id
        if folder.exists():
            folder.rename(folder.with_name(f"{folder.name}-{len(list(self.folder.iterdir()))}"))


class ForgetfulConformance(LauncherConformance):
    def make_launcher(self, folder: Path) -> Launcher:
        return Forgetful(folder=folder / "jobs")


def test_jobs_that_are_not_taken_up(tmp_path: Path) -> None:
    killed = ForgetfulConformance()
    with pytest.raises(AssertionError):
        killed.test_an_orchestrator_that_is_killed_and_started_again_has_the_results_of_one_launch(tmp_path)

"""What every launcher has to do, as tests with real processes; a class of pytest inherits them.

The work of each test is a Python program that reports to the broker. The invariant: a test looks at nothing but what
the launcher's client answers and what the broker has stored, so that the work may run anywhere.
"""

from __future__ import annotations

import random
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar, TypeVar

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.discovery import default_client
from standpipe_orchestrator.launchers.client import PipesLauncherClient
from standpipe_orchestrator.launchers.protocol import Launcher
from standpipe_orchestrator.launchers.running import RunningWork
from standpipe_orchestrator.reading.execution_errors import PipesExecutionError, PipesLaunchError
from standpipe_orchestrator.testing.orchestrator_process import (
    IMPORTS,
    OUTPUT_IN_PARTS,
    PARTS,
    TARGETS,
    LauncherClient,
    OrchestratorProcess,
    invocations_of,
    wait_until,
)
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Event, Invocation

_FOR_EVER = 600.0
_Error = TypeVar("_Error", bound=Exception)


class LauncherConformance:
    """The tests. A subclass says at least `make_launcher`.

    Attributes:
        outlives_orchestrator: whether a job goes on, and can be taken up, when the process that launched it is killed.
        always_keyed: whether every run has a key.
        seed: of the moments at which the orchestrator is killed.
    """

    outlives_orchestrator: ClassVar[bool] = True
    always_keyed: ClassVar[bool] = False
    seed: ClassVar[int] = 1

    def make_launcher(self, folder: Path) -> Launcher:
        """The launcher to try.

        Args:
            folder: of one test; the same in a process that is started again.
        """
        raise NotImplementedError(f"{type(self).__name__} has to say `make_launcher`.")

    def make_client(
        self,
        broker: BrokerClient,
        folder: Path,
        *,
        termination_timeout_seconds: float = 10.0,
        cancel_grace_seconds: float = _FOR_EVER,
    ) -> LauncherClient:
        """What runs commands with the launcher; to be replaced where the launcher has a client of its own."""
        return PipesLauncherClient(
            self.make_launcher(folder),
            client=broker,
            forward_stdio=False,
            termination_timeout_seconds=termination_timeout_seconds,
            cancel_grace_seconds=cancel_grace_seconds,
        )

    def broker(self) -> BrokerClient:
        """The broker of the tests: that of `STANDPIPE_URL`, this home's server, or an embedded one."""
        return default_client()

    def python(self, code: str) -> Sequence[str]:
        """The command that runs Python code with the package `standpipe`, where the launcher runs commands."""
        return [sys.executable, "-c", code]

    def impossible_command(self) -> Sequence[str]:
        """A command that the launcher cannot start."""
        return ["/no/such/folder/no-such-program"]

    def test_work_that_ends_well_gives_what_it_reported(self, tmp_path: Path) -> None:
        completed = (
            self._client(tmp_path)
            .stream(
                context=TARGETS,
                command=self.python(
                    f"{IMPORTS}"
                    "print('to stdout', os.environ['GIVEN'])\n"
                    "print('to stderr', file=sys.stderr)\n"
                    "with open_pipes() as context:\n"
                    "    context.report_custom_message(context.extras)\n"
                    "    context.report_asset_materialization(asset_key='orders', metadata={'rows': 3})\n"
                ),
                extras={"number": 1},
                env={"GIVEN": "from the caller"},
                key=self._key(tmp_path),
            )
            .to_end()
        )
        (result,) = completed.get_results()
        assert result.metadata["rows"].value == 3, result
        assert completed.get_custom_messages() == ({"number": 1},)
        invocation = completed.invocation
        assert (invocation.verdict, invocation.exit_code) in (("succeeded", 0), ("succeeded", None)), invocation
        assert self._output(invocation, "stdout") == "to stdout from the caller\n"
        assert self._output(invocation, "stderr") == "to stderr\n"
        stored = self.broker().invocations.get(invocation.id)
        assert stored.platform is not None, "The launcher described no job."
        assert stored.platform.get("platform"), stored.platform
        assert stored.platform.get("job_id"), stored.platform

    def test_an_exit_code_is_a_failure_with_what_was_reported_before(self, tmp_path: Path) -> None:
        error = self._failure(
            tmp_path,
            f"{IMPORTS}"
            "with open_pipes() as context:\n"
            "    context.report_custom_message('before')\n"
            "print('the reason', file=sys.stderr)\n"
            "sys.exit(3)\n",
        )
        assert error.verdict == "failed", error
        assert error.exit_code == 3, error
        assert "the reason" in error.stderr_tail, error
        assert error.completed is not None
        assert error.completed.get_custom_messages() == ("before",)

    def test_work_that_is_killed_is_never_green(self, tmp_path: Path) -> None:
        error = self._failure(
            tmp_path,
            f"{IMPORTS}"
            "with open_pipes() as context:\n"
            "    context.report_custom_message('before')\n"
            "    context.flush(30)\n"
            "    os.kill(os.getpid(), signal.SIGKILL)\n",
        )
        assert error.verdict in ("failed", "incomplete"), error
        assert error.exit_code != 0, error
        assert error.completed is not None
        assert error.completed.get_custom_messages() == ("before",)

    def test_work_that_never_opens_is_incomplete(self, tmp_path: Path) -> None:
        error = self._failure(tmp_path, "print('no word')")
        assert error.verdict == "incomplete", error
        assert [reason.code for reason in error.reasons] == ["never-opened"], error

    def test_cancelled_work_that_listens_has_its_time_to_end(self, tmp_path: Path) -> None:
        with self._cancelled(
            self._client(tmp_path, cancel_grace_seconds=_FOR_EVER),
            tmp_path,
            f"{IMPORTS}"
            "with open_pipes(raise_on_cancel=False) as context:\n"
            "    context.report_custom_message('at work')\n"
            "    while not context.cancel_requested:\n"
            "        context.log.info('still at work')\n"
            "        time.sleep(0.05)\n"
            "    time.sleep(0.3)\n"
            "    context.report_custom_message('tidied up')\n",
        ) as running:
            completed = running.to_end()
        assert completed.get_custom_messages() == ("at work", "tidied up")
        assert completed.invocation.cancel_requested
        assert completed.invocation.verdict == "succeeded", completed.invocation

    def test_cancelled_work_that_is_deaf_to_every_request_is_killed(self, tmp_path: Path) -> None:
        with self._cancelled(
            self._client(tmp_path, cancel_grace_seconds=0.0, termination_timeout_seconds=0.3),
            tmp_path,
            f"{IMPORTS}"
            "for number in (signal.SIGTERM, signal.SIGINT):\n"
            "    signal.signal(number, signal.SIG_IGN)\n"
            "with open_pipes(raise_on_cancel=False) as context:\n"
            "    context.report_custom_message('at work')\n"
            f"    time.sleep({_FOR_EVER})\n",
        ) as running:
            error = _raised(PipesExecutionError, running.to_end)
        assert error.verdict == "cancelled", error
        assert error.exit_code != 0, error
        assert "may still run" not in str(error), error

    def test_work_without_an_end_is_ended_after_its_time(self, tmp_path: Path) -> None:
        error = self._failure(tmp_path, f"{IMPORTS}with open_pipes():\n    time.sleep({_FOR_EVER})\n", timeout=1.0)
        assert error.verdict == "failed", error
        assert "timeout" in [reason.code for reason in error.reasons], error
        assert "may still run" not in str(error), error

    def test_a_megabyte_in_one_line_is_captured_whole(self, tmp_path: Path) -> None:
        completed = (
            self._client(tmp_path)
            .stream(
                context=TARGETS,
                command=self.python(f"{IMPORTS}with open_pipes():\n    print('x' * 1_000_000)\n"),
                key=self._key(tmp_path),
            )
            .to_end()
        )
        assert self._output(completed.invocation, "stdout") == "x" * 1_000_000 + "\n"

    def test_a_launch_that_fails_says_so(self, tmp_path: Path) -> None:
        running = self._client(tmp_path).stream(
            context=TARGETS, command=self.impossible_command(), key=self._key(tmp_path)
        )
        error = _raised(PipesLaunchError, running.to_end)
        assert error.verdict == "incomplete", error
        assert [reason.code for reason in error.reasons] == ["not-launched"], error

    def test_work_is_launched_once_when_it_is_asked_for_twice(self, tmp_path: Path) -> None:
        with OrchestratorProcess(self, tmp_path) as one, OrchestratorProcess(self, tmp_path) as other:
            answers = [one.answer(), other.answer()]
        assert answers[0] == answers[1]
        self._assert_as_unbroken(answers[0], tmp_path)

    def test_an_orchestrator_that_is_killed_and_started_again_has_the_results_of_one_launch(
        self, tmp_path: Path
    ) -> None:
        # Moments are counted in stored events, so that a slow machine does not move them.
        for moment in sorted(random.Random(self.seed).sample(range(2 * PARTS), 3)):
            with OrchestratorProcess(self, tmp_path) as orchestrator:
                orchestrator.wait_for_events(moment)
                orchestrator.kill()
        with OrchestratorProcess(self, tmp_path) as orchestrator:
            answer = orchestrator.answer()
        if self.outlives_orchestrator or answer["verdict"] == "succeeded":
            self._assert_as_unbroken(answer, tmp_path)
        assert len(self._launched(tmp_path)) <= 1

    def _client(self, folder: Path, **settings: float) -> LauncherClient:
        return self.make_client(self.broker(), folder, **settings)

    def _key(self, folder: Path) -> str | None:
        return f"conformance/{folder}"[-200:] if self.always_keyed else None

    def _failure(self, folder: Path, code: str, *, timeout: float | None = None) -> PipesExecutionError:
        running = self._client(folder).stream(
            context=TARGETS, command=self.python(code), key=self._key(folder), timeout=timeout
        )
        return _raised(PipesExecutionError, running.to_end)

    @contextmanager
    def _cancelled(self, client: LauncherClient, folder: Path, code: str) -> Generator[RunningWork]:
        """Work whose invocation is cancelled once it has reported its first message."""
        with client.stream(context=ContextData(run_id="c"), command=self.python(code), key=self._key(folder)) as work:
            canceller = _Canceller(self.broker(), work)
            canceller.start()
            try:
                yield work
            finally:
                canceller.join()

    def _events(self, invocation: Invocation, method: str) -> list[Event]:
        return list(self.broker().events.iterate(invocation.id, methods=[method]))

    def _output(self, invocation: Invocation, stream: str) -> str:
        texts = [event.params for event in self._events(invocation, "log_external_stream")]
        return "".join(str(p["text"]) for p in texts if isinstance(p, dict) and p.get("stream") == stream)

    def _launched(self, folder: Path) -> list[Event]:
        """The openings of the orchestrators' work."""
        (invocation,) = invocations_of(self.broker(), folder)
        return self._events(invocation, "opened")

    def _assert_as_unbroken(self, answer: dict[str, object], folder: Path) -> None:
        assert answer["verdict"] == "succeeded", answer
        assert answer["messages"] == list(range(PARTS)), answer
        assert answer["results"] == 1, answer
        (invocation,) = invocations_of(self.broker(), folder)
        assert len(self._launched(folder)) == 1
        assert self._output(invocation, "stdout") == OUTPUT_IN_PARTS
        assert self._output(invocation, "stderr") == "ready\n"


class _Canceller(threading.Thread):
    """Cancels work as soon as it has reported a message."""

    def __init__(self, broker: BrokerClient, work: RunningWork) -> None:
        super().__init__(name="conformance-canceller", daemon=True)
        self._broker = broker
        self._work = work

    def run(self) -> None:
        wait_until(self._has_reported, what="the first message")
        if self._work.session is not None:
            self._broker.invocations.cancel(self._work.session.invocation_id)

    def _has_reported(self) -> bool:
        session = self._work.session
        if session is None:
            return False
        return session.reading.over or any(True for _ in session.iterate_custom_messages())


def _raised(kind: type[_Error], call: Callable[[], object]) -> _Error:
    try:
        call()
    except kind as error:
        return error
    raise AssertionError(f"Nothing was raised; a {kind.__name__} was expected.")

"""An orchestrator in a process of its own, which the conformance test kills and starts again.

`OrchestratorProcess` is the test's side. Run as a module, with the file and the name of the test's class and the test's
folder, it runs the work in parts under one key, and prints what became of it.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.launch_claims import KEY_TAG
from standpipe_orchestrator.launchers.running import RunningWork
from standpipe_orchestrator.reading.execution_errors import PipesExecutionError
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Invocation

PATIENCE_SECONDS = 60.0
"""How long a test waits for anything; only one that fails waits for so long."""
PARTS = 20
TARGETS = ContextData(asset_keys=("orders",), run_id="conformance")
IMPORTS = "import os, signal, sys, time\nfrom standpipe import open_pipes\n"
IN_PARTS = f"""{IMPORTS}
print("at work", flush=True)
with open_pipes() as context:
    for number in range({PARTS}):
        context.report_custom_message(number)
        print("part", number, flush=True)
        time.sleep(0.06)
    context.report_asset_materialization(asset_key="orders", metadata={{"parts": {PARTS}}})
print("ready", file=sys.stderr)
"""
"""Work that takes a while, of which each part is reported and printed."""
OUTPUT_IN_PARTS = "at work\n" + "".join(f"part {number}\n" for number in range(PARTS))


class LauncherClient(Protocol):
    """What runs commands with the launcher."""

    @property
    def stream(self) -> Callable[..., RunningWork]:
        """A method like `PipesLauncherClient.stream`."""
        ...


class LauncherUnderTest(Protocol):
    """What this side needs of the conformance test."""

    def broker(self) -> BrokerClient: ...

    def make_client(self, broker: BrokerClient, folder: Path) -> LauncherClient: ...

    def python(self, code: str) -> Sequence[str]: ...


class OrchestratorProcess:
    """A process that runs the work in parts under one key."""

    def __init__(self, test: LauncherUnderTest, folder: Path) -> None:
        self._broker = test.broker()
        self._folder = folder
        # A file each, since a job may hold the streams of the orchestrator that launched it open.
        self._output = folder / f"orchestrator-{len(list(folder.iterdir()))}"
        place = (inspect.getfile(type(test)), type(test).__qualname__, str(folder))
        variables = {
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
            "STANDPIPE_URL": self._broker.url,
            "STANDPIPE_API_KEY": self._broker.api_key,
        }
        with self._output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "standpipe_orchestrator.testing.orchestrator_process", *place],
                env={**os.environ, **variables},
                stdout=output,
                stderr=output,
            )

    def __enter__(self) -> OrchestratorProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def answer(self) -> dict[str, object]:
        """What it says of the work, once that has ended."""
        code, output = self._process.wait(PATIENCE_SECONDS), self._output.read_text(errors="replace")
        if code != 0:
            raise AssertionError(f"The orchestrator failed:\n{output}")
        answer: dict[str, object] = json.loads(output.splitlines()[-1])
        return answer

    def wait_for_events(self, number: int) -> None:
        """Waits until so many events are stored, or nothing more will come."""

        def reached() -> bool:
            if self._process.poll() is not None:
                return True
            return any(one.ended or (one.last_position or 0) >= number for one in self._invocations())

        wait_until(reached, what=f"{number} events")

    def _invocations(self) -> Sequence[Invocation]:
        return invocations_of(self._broker, self._folder)

    def kill(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE_SECONDS)


def orchestrators_key(folder: Path) -> str:
    """The key under which all orchestrators of a test run their work."""
    return f"conformance/orchestrators/{folder}"[-200:]


def invocations_of(broker: BrokerClient, folder: Path) -> Sequence[Invocation]:
    return broker.invocations.list(tag=f"{KEY_TAG}={orchestrators_key(folder)}").items


def wait_until(holds: Callable[[], bool], *, what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        if time.monotonic() >= deadline:
            raise AssertionError(f"Waited {PATIENCE_SECONDS:g} s for {what}.")
        time.sleep(0.02)


def main(file: str, name: str, folder: str) -> int:
    test, path = _load(file, name), Path(folder)
    client = test.make_client(test.broker(), path)
    running = client.stream(context=TARGETS, command=test.python(IN_PARTS), key=orchestrators_key(path))
    try:
        completed = running.to_end()
    except PipesExecutionError as error:
        if error.completed is None:
            raise
        completed = error.completed
    answer = {
        "verdict": completed.invocation.verdict,
        "exit_code": completed.invocation.exit_code,
        "messages": list(completed.get_custom_messages()),
        "results": len(completed.partial_results),
    }
    print(json.dumps(answer))  # noqa: T201  the test reads it
    return 0


def _load(file: str, name: str) -> LauncherUnderTest:
    spec = importlib.util.spec_from_file_location("launcher_under_test", file)
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018  of a Python file
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    test: LauncherUnderTest = getattr(module, name)()
    return test


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

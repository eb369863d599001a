"""The client in real processes: how they begin, fork and end, and what the broker has of them afterwards."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from standpipe.testing import RecordingBroker, recording_broker
from tests.support.processes import PYTHON, Process, child_environment, complaints, run, run_python


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker(asset_keys=["orders"], extras={"foo": "bar"}) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def environment(broker: RecordingBroker, home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    ours = {**broker.environment(), **(extra or {})}
    # A warning in the client is an error here too.
    return child_environment(ours, home=home, warnings="error")


def test_a_script_reads_its_context_and_reports(broker: RecordingBroker, home: Path) -> None:
    script = """
from standpipe import PipesContext, open_dagster_pipes

def main():
    context = PipesContext.get()
    print(context.extras, context.get_extra("foo"))
    context.report_asset_materialization(metadata={"rows": 3})

if __name__ == "__main__":
    with open_dagster_pipes():
        main()
"""
    done = run_python("-c", script, env=environment(broker, home))
    assert done.stdout == "{'foo': 'bar'} bar\n"
    assert complaints(done.stderr) == ""
    assert broker.methods == ("opened", "report_asset_materialization", "closed")
    # Nothing was left on disk for a run that had no trouble.
    assert list(home.rglob("*.ndjson")) == []


def test_importing_the_client_brings_none_of_the_heavy_modules() -> None:
    script = """
import sys
before = set(sys.modules)
from standpipe import PipesContext, open_pipes
heavy = {"httpx", "httpcore", "ssl", "asyncio", "email", "tempfile", "random", "hashlib", "dataclasses", "inspect",
         "logging", "json", "socket", "typing", "datetime"}
print(sorted(heavy & (set(sys.modules) - before)))
"""
    # Without site, whose start-up files import much of it by themselves.
    path = run_python("-c", "import sys; print(sys.path)").stdout.strip()
    there = script.replace("import sys\n", f"import sys\nsys.path[:0] = {path}\n", 1)
    assert run_python("-I", "-S", "-c", there).stdout == "[]\n"


def test_opening_brings_httpx_on_another_thread_only(broker: RecordingBroker, home: Path) -> None:
    script = """
import sys, threading
from standpipe import open_pipes
importers = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name == "httpx":
            importers.append(threading.current_thread() is threading.main_thread())
        return None
sys.meta_path.insert(0, Watch())
with open_pipes() as context:
    context.get_extra("foo")
print(importers)
"""
    assert run_python("-c", script, env=environment(broker, home)).stdout == "[False]\n"


def test_an_uncaught_exception_is_reported_and_ends_the_process_as_ever(broker: RecordingBroker, home: Path) -> None:
    script = """
from standpipe import open_pipes
with open_pipes() as context:
    raise ValueError("no orders")
"""
    done = run([PYTHON, "-c", script], env=environment(broker, home), check=False)
    assert done.returncode == 1
    assert "ValueError: no orders" in done.stderr
    closed = broker.closed
    assert closed is not None
    assert closed.exception is not None
    assert closed.exception.message == "ValueError: no orders\n"


@pytest.mark.parametrize(("left_by", "code", "clean"), [("sys.exit()", 0, True), ("sys.exit(3)", 3, False)])
def test_an_exit_code_is_kept_and_only_zero_is_clean(
    broker: RecordingBroker, home: Path, left_by: str, code: int, clean: bool
) -> None:
    script = f"import sys\nfrom standpipe import open_pipes\nwith open_pipes():\n    {left_by}\n"
    done = run([PYTHON, "-c", script], env=environment(broker, home), check=False)
    assert done.returncode == code
    assert broker.closed is not None
    assert (broker.closed.exception is None) == clean


def test_a_process_that_forgets_to_close_delivers_its_reports_and_no_end(broker: RecordingBroker, home: Path) -> None:
    script = """
from standpipe import open_pipes
context = open_pipes()
for n in range(1000):
    context.report_custom_message(n)
"""
    run_python("-c", script, env=environment(broker, home))
    assert broker.custom_messages == list(range(1000))
    assert broker.closed is None


def test_a_process_that_only_opens_says_so(broker: RecordingBroker, home: Path) -> None:
    run_python("-c", "from standpipe import open_pipes\nopen_pipes()", env=environment(broker, home))
    assert broker.methods == ("opened",)


def test_an_unreachable_server_is_named_at_the_line_that_needs_it(broker: RecordingBroker, home: Path) -> None:
    script = """
from standpipe import open_pipes
context = open_pipes()
print("opened")
context.get_extra("foo")
"""
    broker.stop()
    patience = {"STANDPIPE_OPEN_TIMEOUT": "0.5", "STANDPIPE_CLOSE_TIMEOUT": "0"}
    done = run([PYTHON, "-c", script], env=environment(broker, home, patience), check=False)
    assert (done.returncode, done.stdout) == (1, "opened\n")
    assert "PipesServerUnreachable" in done.stderr
    assert broker.url in done.stderr


def test_a_broker_killed_and_restarted_in_the_middle_has_everything_once(
    broker: RecordingBroker, home: Path, tmp_path: Path
) -> None:
    script = """
import os, sys, time
from standpipe import open_pipes
with open_pipes() as context:
    for n in range(300):
        context.report_custom_message(n)
        if n % 100 == 50:
            print("at", n, flush=True)
            while not os.path.exists(sys.argv[1] + str(n)):
                time.sleep(0.01)
"""
    broker.cut_after_store(1)
    go = tmp_path / "go"
    command = [PYTHON, "-c", script, go]
    with Process(command, log=tmp_path / "log", env=environment(broker, home)) as process:
        for n in (50, 150, 250):
            process.wait_for_output(f"at {n}")
            broker.stop()
            go.with_name(f"go{n}").touch()
            broker.start()
        assert process.wait() == 0
    assert broker.custom_messages == list(range(300))
    assert broker.closed is not None
    assert broker.closed.ledger is not None
    assert broker.closed.ledger.messages == 302 == len(broker.messages)


def test_proxies_of_the_environment_are_not_asked_for_a_server_on_loopback(broker: RecordingBroker, home: Path) -> None:
    proxies: dict[str, str] = dict.fromkeys(
        ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"), "http://127.0.0.1:9"
    )
    run_python(
        "-c",
        "from standpipe import open_pipes\nwith open_pipes() as c: c.get_extra('foo')",
        env=environment(broker, home, proxies),
    )
    assert broker.methods == ("opened", "closed")


def test_outside_an_orchestrator_a_script_runs_with_one_warning(home: Path) -> None:
    script = """
from standpipe import open_pipes
with open_pipes() as context:
    context.report_asset_materialization(metadata={"rows": 3})
print("done")
"""
    done = run_python("-c", script, env=child_environment(home=home))
    assert done.stdout == "done\n"
    assert done.stderr.count("DagsterPipesWarning") == 1


def test_a_notebook_cell_that_runs_twice_reports_twice(broker: RecordingBroker, home: Path) -> None:
    script = """
import code
cell = "with open_pipes() as context:\\n    context.report_custom_message(context.get_extra('foo'))\\n"
console = code.InteractiveConsole()
console.runcode("from standpipe import open_pipes")
for _ in range(2):
    console.runcode(compile(cell, "<cell>", "exec"))
"""
    done = run_python("-c", script, env=environment(broker, home))
    assert complaints(done.stderr) == ""
    assert broker.custom_messages == ["bar", "bar"]
    assert len({one.producer for one in broker.messages}) == 2

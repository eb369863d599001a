"""The exit status of a command is its own, or is not known; it is never taken for 0."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.support.processes import run, run_python
from tests.support.server import Server

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGCHLD")

LAUNCHES = '''
import json, os, signal, sys, threading
from standpipe_orchestrator import ContextData, PipesExecutionError, PipesSubprocessClient, open_pipes_session

REPORTS = """
import sys
from standpipe import open_pipes
with open_pipes() as context: context.report_asset_materialization()
sys.stdout.write("x" * 100_000)
raise SystemExit(int(sys.argv[1]))
"""

def launch(code, **more):
    command = [sys.executable, "-c", REPORTS, str(code)]
    try:
        context = ContextData(asset_keys=("orders",), run_id="r")
        invocation = PipesSubprocessClient(forward_stdio=False).run(context=context, command=command, **more).invocation
        return [invocation.verdict, invocation.exit_code, ""]
    except PipesExecutionError as error:
        return [error.verdict, error.exit_code, str(error)]

def in_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]
'''


def launch(broker: Server, code: str) -> object:
    """What a program prints that launches commands."""
    ended = run_python("-c", LAUNCHES + code, env=broker.orchestrator_environment(), timeout=120)
    return json.loads(ended.stdout.splitlines()[-1])


IGNORED = "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"


@pytest.mark.parametrize("where", ["{}()", "in_thread({})"], ids=["main thread", "another thread"])
@pytest.mark.parametrize("key", ["None", "'exit-status/{}'"], ids=["child", "runner"])
def test_the_exit_code_is_known_where_sigchld_is_ignored(broker: Server, where: str, key: str) -> None:
    ran = ["lambda: launch({}, key={})".format(code, key.format(f"{len(where)}/{code}")) for code in (0, 3)]
    succeeded, failed = [where.format(f"({one})") for one in ran]
    told = launch(broker, f"{IGNORED}print(json.dumps([{succeeded}, {failed}]))")
    assert isinstance(told, list)
    assert told[0] == ["succeeded", 0, ""]
    assert told[1][:2] == ["failed", 3]


def test_sigchld_is_ignored_again_afterwards_and_nothing_is_left_of_what_ended_meanwhile(broker: Server) -> None:
    code = f"""
{IGNORED}
forked = os.fork()
if not forked: os._exit(0)
found = launch(0)
forked = os.fork()
if not forked: os._exit(0)
try:
    os.waitpid(-1, 0)  # ends when no child is left, since none is kept
except ChildProcessError:
    print(json.dumps(found))
"""
    assert launch(broker, code) == ["succeeded", 0, ""]


def test_a_command_that_was_launched_has_sigchld_as_usual(broker: Server) -> None:
    code = f"""
{IGNORED}
inner = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, '-c', 'raise SystemExit(5)']).returncode)"
try:
    PipesSubprocessClient().run(context=None, command=[sys.executable, "-c", inner])
except PipesExecutionError as error:
    print(json.dumps(error.exit_code))
"""
    assert launch(broker, code) == 5


def test_a_status_that_other_code_has_taken_is_not_known_and_makes_nothing_green(broker: Server) -> None:
    code = """
from standpipe_orchestrator.sessions import exit_status
inner = exit_status.wait_for_status
def taken(process):
    os.waitpid(process.pid, 0)  # other code of this process is faster
    return inner(process)
sys.modules["standpipe_orchestrator.launchers.local.process_launcher"].wait_for_status = taken
print(json.dumps(launch(0)))
"""
    verdict, exit_code, sentence = launch(
        broker, "import standpipe_orchestrator.launchers.local.process_launcher\n" + code
    )  # type: ignore[misc]
    assert (verdict, exit_code) == ("incomplete", None)
    assert "its exit status is not known" in sentence


def test_whatever_waits_for_all_children_a_failed_command_never_passes(broker: Server) -> None:
    code = """
def reap():
    while True:
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            threading.Event().wait(0.001)
threading.Thread(target=reap, daemon=True).start()
print(json.dumps([launch(3) for _ in range(5)]))
"""
    told = launch(broker, code)
    assert isinstance(told, list)
    assert {(verdict, exit_code) for verdict, exit_code, _ in told} <= {("failed", 3), ("incomplete", None)}


def test_a_launcher_of_ones_own_learns_how_its_work_ended(broker: Server) -> None:
    code = f"""
{IGNORED}
import subprocess
with open_pipes_session(None, require_success=False) as session:
    env = {{**os.environ, **session.get_bootstrap_env_vars()}}
    command = [sys.executable, "-c", REPORTS.replace("report_asset_materialization()", "is_closed"), "3"]
    process = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        list(session.stream_results(wait=0.1))
    session.launch.finish(exit_code=process.returncode)
print(json.dumps([session.invocation.verdict, session.invocation.exit_code]))
"""
    assert launch(broker, code) == ["failed", 3]


def test_a_pipeline_started_with_sigchld_ignored_is_as_red_as_ever(broker: Server, tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text(
        """
import subprocess, sys
from standpipe_orchestrator import *

@asset
def orders():
    subprocess.run([sys.executable, "-c", "raise SystemExit(3)"], check=True)

defs = Definitions(assets=[orders])
"""
    )
    # What runs here is replaced by the command, which inherits the setting.
    code = f"""
import os, signal, sys
{IGNORED}
os.execv(sys.executable, [sys.executable, "-m", "standpipe.cli", "materialize", {str(tmp_path / "pipeline.py")!r}])
"""
    ended = run([sys.executable, "-c", code], env=broker.orchestrator_environment(), check=False)
    assert ended.returncode == 1
    assert "returned non-zero exit status 3" in ended.stderr

"""A terminal that nothing reads holds up neither results nor the end of a run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork_server import ForkServer
from tests.support.processes import PYTHON, child_environment, run
from tests.support.server import Server

pytestmark = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")

STANDPIPE = Path(sys.executable).parent / "standpipe"
BOUND = 60.0

WORK = """
import sys
from standpipe import open_pipes
with open_pipes() as context:
    for number in range(200):
        print("x" * 10_000, flush=True)
        print("y" * 1_000, file=sys.stderr, flush=True)
        context.log.info("line " * 200)
        context.log.warning("attention " * 200)
        context.report_custom_message(number)
    context.report_asset_materialization({"rows": 7})
"""

PIPELINE = """
import sys
from pathlib import Path
from standpipe_orchestrator import *

@asset
def orders(context):
    done = PipesSubprocessClient().run(context=context, command=[sys.executable, {work!r}])
    Path({answer!r}).write_text(str(len(done.get_custom_messages())))
    return done.get_materialize_result()

defs = Definitions(assets=[orders])
"""

PROGRAM = """
import sys
from pathlib import Path
from standpipe_orchestrator import ContextData, PipesSubprocessClient

done = PipesSubprocessClient().run(
    context=ContextData(run_id="r", asset_keys=("orders",)), command=[sys.executable, {work!r}]
)
Path({answer!r}).write_text(str(len(done.get_custom_messages())))
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("unread") / "home"
    with Server(folder, database_url=f"sqlite:///{folder / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


def written(tmp_path: Path, text: str) -> Path:
    """The program, with the paths of the work that it launches and of the file for its answer."""
    work = tmp_path / "work.py"
    work.write_text(WORK, encoding="utf-8")
    file = tmp_path / "program.py"
    file.write_text(textwrap.dedent(text).format(work=str(work), answer=str(tmp_path / "answer")), encoding="utf-8")
    return file


@pytest.mark.parametrize("terminal", ["a terminal", "a pipe"])
@pytest.mark.parametrize("what", ["a run of definitions", "a program"])
def test_results_arrive_and_the_run_ends_though_nothing_reads_the_terminal(
    what: str, terminal: str, tmp_path: Path, broker: Server
) -> None:
    file = written(tmp_path, PIPELINE if what == "a run of definitions" else PROGRAM)
    command = [STANDPIPE, "materialize", file] if what == "a run of definitions" else [PYTHON, file]
    if terminal == "a terminal":
        import pty

        ours, theirs = pty.openpty()
    else:
        ours, theirs = os.pipe()
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            env=child_environment({"TERM": "xterm-256color"}, home=broker.home),
        )
        os.close(theirs)
        try:
            code = process.wait(BOUND)
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(ours)

    assert code == 0
    assert (tmp_path / "answer").read_text(encoding="utf-8") == "200"
    listed = run([STANDPIPE, "ls", "--limit", "1", "--json"], env=child_environment(home=broker.home)).stdout
    assert json.loads(listed.splitlines()[0])["verdict"] == "succeeded"


def test_output_for_a_pipe_that_is_read_late_is_whole(tmp_path: Path, broker: Server) -> None:
    file = written(tmp_path, PROGRAM)
    process = subprocess.Popen(
        [PYTHON, file],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=child_environment(home=broker.home),
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        shown = pipe.read()
    assert process.wait(BOUND) == 0
    assert shown.count(b"x" * 10_000 + b"\n") == 200

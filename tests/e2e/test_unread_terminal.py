"""A terminal that nothing reads holds up neither results nor the end of a run; a pipe gets all of the output."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe_orchestrator.reading.output_queue import STALLED_SECONDS
from tests.support.fork_server import ForkServer
from tests.support.processes import PYTHON, child_environment, run
from tests.support.server import Server
from tests.support.waiting import wait_until

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


@pytest.mark.parametrize("what", ["a run of definitions", "a program"])
def test_results_arrive_and_the_run_ends_though_nothing_reads_the_terminal(
    what: str, tmp_path: Path, broker: Server
) -> None:
    import pty

    file = written(tmp_path, PIPELINE if what == "a run of definitions" else PROGRAM)
    command = [STANDPIPE, "materialize", file] if what == "a run of definitions" else [PYTHON, file]
    ours, theirs = pty.openpty()
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
    assert verdict(broker) == "succeeded"


def verdict(broker: Server) -> object:
    listed = run([STANDPIPE, "ls", "--limit", "1", "--json"], env=child_environment(home=broker.home)).stdout
    return json.loads(listed.splitlines()[0])["verdict"] if listed.strip() else None


@pytest.mark.parametrize("what", ["a run of definitions", "a program"])
def test_a_pipe_that_is_read_only_after_the_work_has_ended_gets_all_output(
    what: str, tmp_path: Path, broker: Server
) -> None:
    file = written(tmp_path, PIPELINE if what == "a run of definitions" else PROGRAM)
    command = [STANDPIPE, "materialize", file] if what == "a run of definitions" else [PYTHON, file]
    home = tmp_path / "home"
    with (
        Server(home, database_url=f"sqlite:///{home / 'standpipe.db'}") as server,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=child_environment(home=server.home),
        ) as process,
    ):
        # The results do not wait for the pipe.
        wait_until(lambda: verdict(server) == "succeeded", what="the verdict", timeout=BOUND)
        with pytest.raises(subprocess.TimeoutExpired):
            # The process waits for the pipe, for longer than a terminal has to be silent to be passed over.
            process.wait(2 * STALLED_SECONDS)
        assert process.stdout is not None
        shown = process.stdout.read()
        assert process.wait(BOUND) == 0
    # The two streams of the work meet in the middle of lines.
    assert shown.count(b"x") >= 200 * 10_000
    assert shown.count(b"y") >= 200 * 1_000
    assert shown.count(b"attention " * 200) == 200
    assert (b"All green" in shown) == (what == "a run of definitions")


def test_a_file_is_whole_though_nothing_reads_the_terminal_beside_it(tmp_path: Path, broker: Server) -> None:
    import pty

    ours, theirs = pty.openpty()
    with (tmp_path / "shown").open("wb") as file:
        process = subprocess.Popen(
            [STANDPIPE, "materialize", written(tmp_path, PIPELINE)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=theirs,
            env=child_environment({"TERM": "xterm-256color"}, home=broker.home),
        )
    os.close(theirs)
    try:
        assert process.wait(BOUND) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert (tmp_path / "shown").read_bytes().count(b"x" * 10_000 + b"\n") == 200


def test_what_a_terminal_did_not_take_is_counted_on_stderr(tmp_path: Path, broker: Server) -> None:
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [PYTHON, written(tmp_path, PROGRAM)],
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
        env=child_environment(home=broker.home),
    )
    os.close(theirs)
    try:
        said = process.communicate(timeout=BOUND)[1]
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    assert process.returncode == 0
    assert re.search(rb"standpipe: \d{7} bytes of output were not written, because nothing read them\.", said)


@pytest.mark.parametrize("what", ["a run of definitions", "a program"])
def test_an_interrupt_ends_the_wait_for_a_pipe_and_stderr_says_what_is_missing(what: str, tmp_path: Path) -> None:
    file = written(tmp_path, PIPELINE if what == "a run of definitions" else PROGRAM)
    command = [STANDPIPE, "materialize", file] if what == "a run of definitions" else [PYTHON, file]
    home, said = tmp_path / "home", tmp_path / "said"
    with (
        Server(home, database_url=f"sqlite:///{home / 'standpipe.db'}") as server,
        said.open("wb") as errors,
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=child_environment(home=server.home),
        ) as process,
    ):

        def ended() -> bool:
            # The first may come before the wait.
            process.send_signal(signal.SIGINT)
            return process.poll() is not None

        try:
            wait_until(lambda: verdict(server) == "succeeded", what="the verdict", timeout=BOUND)
            wait_until(ended, what="the end", timeout=BOUND, interval=2.0)
        finally:
            process.kill()
    assert re.search(rb"standpipe: \d+ bytes of output were not written", said.read_bytes())


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

"""`standpipe materialize`, `ls` and `show` as a user meets them: exit codes, what is shown, what is left unchanged."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fork_server import ForkServer
from tests.support.processes import Process, child_environment, run
from tests.support.server import Server
from tests.support.terminal import on_terminal
from tests.support.waiting import wait_until

STANDPIPE = Path(sys.executable).parent / "standpipe"

HEADER = """
import sys
from standpipe_orchestrator import *

LOUD = r'''
import os, sys
os.write(1, b"\\x1b[31m" + b"x" * 300 + b"\\n\\xff\\n")
'''
EVIL = r'''
from standpipe import open_pipes
with open_pipes() as context:
    context.log.info("now \\x1b[2J you see\\nme")
    context.report_asset_materialization({"name\\x1b[2J": "a\\x07b", "n": 7})
    context.report_asset_check("fine", True)
    context.report_custom_message({"rows": [1, 2]})
'''

def python(code):
    return [sys.executable, "-c", code]
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    """A running server whose home the commands use: they find it by the credentials in it."""
    folder = tmp_path_factory.mktemp("command") / "home"
    with Server(folder, database_url=f"sqlite:///{folder / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


def write(tmp_path: Path, body: str, name: str = "pipeline.py") -> Path:
    file = tmp_path / name
    file.write_text(HEADER + textwrap.dedent(body), encoding="utf-8")
    return file


def standpipe(*words: str | Path, home: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    return run([STANDPIPE, *words], env=child_environment(home=home), check=check)


def test_all_green_is_exit_code_0(tmp_path: Path, home: Path) -> None:
    file = write(
        tmp_path,
        """
        @asset
        def orders(): return [1, 2]
        @asset
        def total(orders): return Output(sum(orders), metadata={"total": sum(orders)})
        defs = Definitions(assets=[orders, total])
        """,
    )
    done = standpipe("materialize", file, home=home)

    assert done.stdout == ""
    assert "total materialized" in done.stderr
    assert "All green: 2 of 2 steps · 2 assets materialized" in done.stderr
    assert not (home / "credentials.json").exists(), "no broker is started where nothing external runs"


@pytest.mark.parametrize(("severity", "code"), [("WARN", 0), ("ERROR", 1)])
def test_a_failed_check_is_exit_code_1_unless_it_only_warns(
    tmp_path: Path, home: Path, severity: str, code: int
) -> None:
    file = write(
        tmp_path,
        f"""
        @asset
        def orders(): ...
        @asset_check(asset=orders)
        def complete(): return AssetCheckResult(passed=False, severity=AssetCheckSeverity.{severity})
        defs = Definitions(assets=[orders], asset_checks=[complete])
        """,
    )
    done = standpipe("materialize", file, home=home, check=False)

    assert done.returncode == code
    assert ("Not green" in done.stderr) is (code == 1)
    assert "check complete on orders failed" in done.stderr


def test_a_failed_step_is_exit_code_1_shows_the_users_own_frames_and_skips_what_is_downstream(
    tmp_path: Path, home: Path
) -> None:
    file = write(
        tmp_path,
        """
        def inner(): raise ValueError("no such \\x1b[31mtable")
        @asset
        def orders(): inner()
        @asset(deps=[orders])
        def report(): ...
        defs = Definitions(assets=[orders, report])
        """,
    )
    done = standpipe("materialize", file, home=home, check=False)

    assert done.returncode == 1
    assert "in inner" in done.stderr
    assert "definitions/running/run.py" not in done.stderr
    assert "ValueError: no such \\x1b[31mtable" in done.stderr
    assert "report skipped: `orders` failed" in done.stderr


@pytest.mark.parametrize(
    ("body", "words", "sentence"),
    [
        ("x = 1", (), "must hold one Definitions"),
        ("a, b = Definitions(), Definitions()", (), "it holds 2: a, b"),
        ("import no_such_module", (), "No module named 'no_such_module'"),
        ("defs = Definitions()", (), "There is nothing to run"),
        (
            "defs = Definitions(assets=[asset(lambda: 1, name='orders')])",
            ("--select", "ordes"),
            "did you mean 'orders'",
        ),
        ("defs = Definitions(assets=[asset(lambda: 1, name='orders')])", ("--partition", "x"), "is partitioned"),
        ("defs = Definitions()", ("--no-such-option",), "unrecognized arguments"),
    ],
)
def test_what_cannot_be_run_is_exit_code_2_and_a_sentence(
    tmp_path: Path, home: Path, body: str, words: tuple[str, ...], sentence: str
) -> None:
    done = standpipe("materialize", write(tmp_path, body), *words, home=home, check=False)

    assert done.returncode == 2
    assert sentence in done.stderr


def test_a_file_that_raises_shows_the_frames_from_the_file_on(tmp_path: Path, home: Path) -> None:
    done = standpipe("materialize", write(tmp_path, "def inner(): raise ValueError\ninner()"), home=home, check=False)

    assert "in inner" in done.stderr
    assert "importlib" not in done.stderr
    assert "definitions/files.py" not in done.stderr


def test_a_file_that_is_not_there_is_exit_code_2(tmp_path: Path, home: Path) -> None:
    done = standpipe("materialize", tmp_path / "nowhere.py", home=home, check=False)

    assert done.returncode == 2
    assert "There is no file" in done.stderr


def test_several_selections_add_up(tmp_path: Path, home: Path) -> None:
    file = write(
        tmp_path,
        """
        @asset
        def a(): ...
        @asset
        def b(): ...
        @asset
        def c(): ...
        defs = Definitions(assets=[a, b, c])
        """,
    )
    done = standpipe("materialize", file, "--select", "a", "--select", "c", home=home)

    assert "All green: 2 of 2 steps" in done.stderr


def test_a_file_imports_what_lies_beside_it(tmp_path: Path, home: Path) -> None:
    (tmp_path / "beside_it.py").write_text("NAME = 'orders'\n", encoding="utf-8")
    file = write(tmp_path, "import beside_it\ndefs = Definitions(assets=[asset(lambda: 1, name=beside_it.NAME)])")

    assert "orders materialized" in standpipe("materialize", file, home=home).stderr


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_an_interrupted_run_ends_its_external_process_and_says_so(
    tmp_path: Path, broker: Server, number: signal.Signals, code: int
) -> None:
    started = tmp_path / "started"
    file = write(
        tmp_path,
        f"""
        SLEEP = "import os, time; open({str(started)!r}, 'w').write(str(os.getpid())); time.sleep(300)"
        @asset
        def slow(context): return PipesSubprocessClient().run(context=context, command=python(SLEEP)).get_results()
        defs = Definitions(assets=[slow])
        """,
    )
    with Process(
        [STANDPIPE, "materialize", file], log=tmp_path / "log", env=child_environment(home=broker.home)
    ) as process:
        pid = wait_until(lambda: started.exists() and started.read_text(), what=process.output)
        process.signal(number)
        assert process.wait() == code
        assert "Interrupted: 0 of 1 step" in process.output()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)


def test_output_of_external_processes_is_forwarded_byte_for_byte(tmp_path: Path, broker: Server) -> None:
    file = write(
        tmp_path,
        """
        @asset
        def loud(context):
            return PipesSubprocessClient().run(context=context, command=python(LOUD + EVIL)).get_results()[0]
        defs = Definitions(assets=[loud])
        """,
    )
    done = subprocess.run(
        [STANDPIPE, "materialize", file],
        env=child_environment({"COLUMNS": "40"}, home=broker.home),
        capture_output=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout == b"\x1b[31m" + b"x" * 300 + b"\n\xff\n"


def test_what_was_reported_is_shown_with_its_control_characters_written_out(tmp_path: Path, broker: Server) -> None:
    file = write(
        tmp_path,
        """
        @asset(check_specs=[AssetCheckSpec("fine", asset="evil")])
        def evil(context):
            return PipesSubprocessClient().run(context=context, command=python(EVIL)).get_materialize_result()
        defs = Definitions(assets=[evil])
        """,
        name="evil.py",
    )
    done = standpipe("materialize", file, home=broker.home)
    listed = standpipe("ls", "--asset", "evil", "--limit", "1", home=broker.home)
    (invocation,) = (
        json.loads(line)
        for line in standpipe("ls", "--asset", "evil", "--limit", "1", "--json", home=broker.home).stdout.splitlines()
    )
    shown = standpipe("show", invocation["id"], home=broker.home)

    for text in (done.stderr, listed.stdout, shown.stdout):
        assert "\x1b" not in text
        assert "\x07" not in text
    assert "info: now \\x1b[2J you see" in done.stderr
    assert "name\\x1b[2J a\\x07b · n 7" in done.stderr
    assert listed.stdout.splitlines()[1].split()[:2] == [invocation["id"], "succeeded"]
    assert "evil materialized" in shown.stdout
    assert "check fine on evil passed" in shown.stdout
    assert 'custom message  {"rows": [1, 2]}' in shown.stdout
    assert shown.stdout.splitlines()[0] == f"Invocation  {invocation['id']}"
    events = [
        json.loads(line) for line in standpipe("show", invocation["id"], "--json", home=broker.home).stdout.splitlines()
    ]
    assert [event["method"] for event in events[1:]] == [
        "opened",
        "log",
        "report_asset_materialization",
        "report_asset_check",
        "report_custom_message",
        "closed",
    ]


def test_an_invocation_that_is_not_there_is_a_sentence_and_exit_code_1(broker: Server) -> None:
    done = standpipe("show", "inv_none", home=broker.home, check=False)

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("standpipe show: ")
    assert "Traceback" not in done.stderr


def test_an_id_without_a_character_is_exit_code_2_and_a_sentence(home: Path) -> None:
    done = standpipe("show", "", home=home, check=False)

    assert done.returncode == 2
    assert "`standpipe ls` lists" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_list_of_nothing_says_so(broker: Server) -> None:
    assert standpipe("ls", "--asset", "no/such/asset", home=broker.home).stdout == "No invocations that fit.\n"


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_on_a_terminal_a_line_changes_below_and_forwarded_output_stays_whole(tmp_path: Path, broker: Server) -> None:
    file = write(
        tmp_path,
        """
        SLOWLY = '''
        import sys, time
        sys.stdout.write("first half, "); sys.stdout.flush()
        time.sleep(0.5)
        print("second half")
        time.sleep(0.3)
        '''.replace("        ", "")
        @asset(check_specs=[])
        def slow(context):
            with open_pipes_session(context=context, require_success=False) as session:
                import subprocess
                from standpipe_orchestrator.reading.forwarded_output import forward_bytes
                process = subprocess.Popen(python(SLOWLY), stdout=subprocess.PIPE)
                while data := process.stdout.read1():
                    forward_bytes("stdout", data)
                process.wait()
            return MaterializeResult()
        defs = Definitions(assets=[slow])
        """,
    )
    shown, code = on_terminal([str(STANDPIPE), "materialize", str(file)], home=broker.home)

    assert code == 0, shown
    assert "\r\x1b[2K" in shown
    assert "step 1 of 1" in shown
    assert "first half, second half\r\n" in shown

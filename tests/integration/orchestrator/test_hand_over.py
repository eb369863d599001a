"""An embedded broker gives its home to a server that is started there, and no work that knows its address is lost."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from standpipe_orchestrator.client.discovery import proves_identity
from standpipe_protocol.home import read_credentials
from tests.conftest import ServerFactory
from tests.support.processes import Process, child_environment, run, run_python
from tests.support.waiting import wait_until

SERVE = [sys.executable, "-m", "standpipe_server", "serve"]
STANDPIPE = Path(sys.executable).parent / "standpipe"

# The command reports when it begins, and once a file says that it may end.
RUNS_A_COMMAND = """
import sys
from standpipe_orchestrator import ContextData, PipesSubprocessClient
code = '''
import os, sys, time
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message("begun")
    print("begun", flush=True)
    while not os.path.exists(sys.argv[1]):
        time.sleep(0.02)
    context.report_asset_materialization(metadata={"rows": 3})
'''
completed = PipesSubprocessClient().run(
    context=ContextData(asset_keys=("orders",), run_id="r"), command=[sys.executable, "-c", code, sys.argv[1]]
)
print("rows:", completed.get_materialize_result().metadata["rows"].value, completed.get_custom_messages())
PipesSubprocessClient().run(
    context=ContextData(asset_keys=("orders",), run_id="r"), command=[sys.executable, "-c", code, sys.argv[1]]
)
print("and the next")
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def pipeline(tmp_path: Path, *, home: Path, **env: str) -> Process:
    command = [sys.executable, "-c", RUNS_A_COMMAND, str(tmp_path / "go on")]
    return Process(command, log=tmp_path / "pipeline.log", env=child_environment(env, home=home))


def holder(home: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((home / "server.lock").read_text())
    return found


def url(home: Path) -> str:
    found = read_credentials(home)
    assert found is not None
    return found.url


def answers(home: Path) -> bool:
    found = read_credentials(home)
    return found is not None and proves_identity(found)


def test_a_server_takes_the_home_of_an_embedded_broker_whose_work_goes_on_with_it(tmp_path: Path, home: Path) -> None:
    env = child_environment(home=home)
    with pipeline(tmp_path, home=home) as running:
        running.wait_for_output("begun")
        before = url(home)
        assert holder(home)["embedded"] is True
        with Process([*SERVE, "--port", "0"], log=tmp_path / "server.log", env=env) as server:
            server.wait_for_output("Standpipe is listening on")
            assert holder(home)["embedded"] is False
            served = url(home)
            assert served != before
        # A restart of that server is no end of the work either.
        port = served.rpartition(":")[2]
        with Process([*SERVE, "--port", port], log=tmp_path / "server-2.log", env=env) as server:
            server.wait_for_output("Standpipe is listening on")
            (tmp_path / "go on").touch()
            assert running.wait(timeout=60) == 0, running.output()
            assert "rows: 3" in running.output()
            assert "and the next" in running.output()
            listed = run([STANDPIPE, "ls"], env=env).stdout
            assert listed.count("succeeded") == 2


@pytest.mark.parametrize("next_broker", ["server", "embedded"])
def test_work_of_an_embedded_broker_that_was_killed_reports_to_the_next_broker_of_the_home(
    start_server: ServerFactory, tmp_path: Path, home: Path, next_broker: str
) -> None:
    with pipeline(tmp_path, home=home) as running:
        running.wait_for_output("begun")
        pid = holder(home)["pid"]
        assert isinstance(pid, int)
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not answers(home), what="the embedded broker to be gone")
        if next_broker == "server":
            start_server(home=home)
            (tmp_path / "go on").touch()
            assert running.wait(timeout=60) == 0, running.output()
        else:
            program = (
                "from standpipe_orchestrator import default_client as use\nuse()\nprint('there', flush=True)\ninput()"
            )
            env = child_environment(home=home)
            with Process(
                [sys.executable, "-c", program], log=tmp_path / "other.log", env=env, keep_stdin_open=True
            ) as other:
                other.wait_for_output("there")
                (tmp_path / "go on").touch()
                assert running.wait(timeout=60) == 0, running.output()


def test_a_server_with_another_database_does_not_take_the_home(tmp_path: Path, home: Path) -> None:
    with pipeline(tmp_path, home=home) as running:
        running.wait_for_output("begun")
        env = child_environment(home=home)
        done = run([*SERVE, "--port", "0", "--database", f"sqlite:///{tmp_path / 'other.db'}"], env=env, check=False)
        assert done.returncode == 2
        assert "embedded broker" in done.stderr
        assert "works on another database" in done.stderr
        (tmp_path / "go on").touch()
        assert running.wait(timeout=60) == 0, running.output()


def test_the_address_of_an_embedded_broker_that_nobody_needs_is_free_again(
    start_server: ServerFactory, tmp_path: Path, home: Path
) -> None:
    (tmp_path / "go on").touch()
    run_python("-c", RUNS_A_COMMAND, str(tmp_path / "go on"), env=child_environment(home=home))
    wait_until(lambda: not answers(home), what="the embedded broker to end")
    wait_until(lambda: holder(home)["own"] is None, what="the embedded broker to have left nothing behind")
    server = start_server(home=home)
    assert holder(home)["former"] == []
    server.stop()


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"pid": 1}', '{"former": [["10.0.0.1", 80, 99999999999], [1], 7]}']
)
def test_whatever_stands_in_the_locks_file_a_server_starts(
    start_server: ServerFactory, home: Path, content: str
) -> None:
    home.mkdir()
    (home / "server.lock").write_text(content)
    (home / "hand-over.lock").touch()
    assert start_server(home=home).http.get("/invocations").status_code == 200

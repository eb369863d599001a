"""Processes that open beside another one and die at any moment after: none of them is missing from a green verdict."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe.spool.marks import LaunchMark
from standpipe.testing import RecordingBroker, recording_broker
from standpipe_orchestrator import BrokerClient, open_pipes_session
from tests.support.processes import PYTHON, Process, child_environment, run, run_python
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, register

LEAVING = {"exit": "os._exit(0)", "kill": "os.kill(os.getpid(), 9)"}


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker() as running:
        yield running


def opened(job: Job) -> list[str]:
    return [event["producer"] for event in job.events() if event["method"] == "opened"]


@pytest.mark.parametrize("report", ["", 'context.report_asset_check("not_empty", passed=False, asset_key="orders")'])
@pytest.mark.parametrize("leave", LEAVING.values(), ids=LEAVING)
def test_a_child_that_opens_and_is_gone_at_once_is_missed(
    shared_sqlite_server: Server, tmp_path: Path, report: str, leave: str
) -> None:
    child = f"import os\nfrom standpipe import open_pipes\ncontext = open_pipes()\n{report}\n{leave}\n"
    script = f"""
import subprocess, sys
from standpipe import open_pipes
with open_pipes() as context:
    subprocess.run([sys.executable, "-c", {child!r}])
    context.report_custom_message("parent")
"""
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    run_python("-c", script, env=child_environment(dict(job.registered["env"]), home=tmp_path / "home"))
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "incomplete"
    assert [reason["code"] for reason in ended["reasons"]] == ["never-closed"]
    assert len(opened(job)) == 2
    assert list((tmp_path / "home").rglob("*.ndjson")) == []


def test_a_process_that_opens_after_the_first_one_has_closed_is_missed_by_its_launcher(
    shared_sqlite_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "home"))
    with (
        BrokerClient(shared_sqlite_server.url, api_key=shared_sqlite_server.api_key) as client,
        open_pipes_session(None, client=client, require_success=False) as session,
    ):
        env = child_environment(session.get_bootstrap_env_vars(), home=tmp_path / "home")
        run_python("-c", "from standpipe import open_pipes\nwith open_pipes(): pass", env=env)
        leaving = "import os\nfrom standpipe import open_pipes\nopen_pipes().report_custom_message(1)\nos._exit(0)"
        run_python("-c", leaving, env=env)
        session.launch.finish(exit_code=0)
    assert session.invocation.verdict == "incomplete"
    assert [reason.code for reason in session.invocation.reasons] == ["never-closed"]
    assert session.get_custom_messages() == (1,)
    assert [path for path in (tmp_path / "home").rglob("*") if path.is_file()] == []


LIVING = """
import sys
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message("child")
    print("reported", flush=True)
    sys.stdin.read()
"""


def test_the_opening_of_a_process_that_lives_is_delivered_for_it_once_and_in_order(
    broker: RecordingBroker, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    env = child_environment(broker.environment(), home=home)
    mark = LaunchMark(broker.invocation, environment=env)
    broker.hold()
    command = [PYTHON, "-c", LIVING]
    with Process(command, log=tmp_path / "log", env=env, keep_stdin_open=True) as child:
        child.wait_for_output("reported")
        parent = [
            PYTHON,
            "-c",
            "from standpipe import open_pipes\nwith open_pipes(): print('closing', flush=True)",
        ]
        with Process(parent, log=tmp_path / "parent.log", env=env) as process:
            process.wait_for_output("closing")
            # The child's own request, and the one for it: both wait at the server.
            broker.wait_for(lambda b: sum(line.startswith("POST") for line in b.requests) >= 1)
            broker.let_go()
            assert process.wait() == 0
        assert broker.methods.count("opened") == 2
        child.close_stdin()
        assert child.wait() == 0
    mark.release()
    by_producer: dict[str, list[str]] = {}
    for message in broker.messages:
        by_producer.setdefault(message.producer, []).append(message.method)
    assert sorted(by_producer.values()) == [["opened", "closed"], ["opened", "report_custom_message", "closed"]]
    assert list(home.rglob("*.ndjson")) == []


def test_the_spool_of_a_process_that_lives_stays_its_own(broker: RecordingBroker, tmp_path: Path) -> None:
    home = tmp_path / "home"
    env = child_environment(broker.environment(), home=home)
    mark = LaunchMark(broker.invocation, environment=env)
    broker.stop()
    with Process([PYTHON, "-c", LIVING], log=tmp_path / "log", env=env, keep_stdin_open=True) as child:
        child.wait_for_output("reported")
        child.signal(signal.SIGSTOP)
        broker.start()
        run_python("-c", "from standpipe import open_pipes\nwith open_pipes(): pass", env=env)
        # Only that it exists: what it reported is its own to send.
        assert list(broker.methods) == ["opened", "opened", "closed"]
        child.signal(signal.SIGCONT)
        broker.wait_for(lambda b: b.custom_messages == ["child"], timeout=60)
        child.close_stdin()
        child.wait()
    mark.release()


def test_where_the_disk_may_not_be_the_launchers_the_first_report_waits_until_the_opening_is_stored(
    broker: RecordingBroker, tmp_path: Path
) -> None:
    # Its home is not the one in which the broker of this test has left its mark.
    env = child_environment(broker.environment(), home=tmp_path / "elsewhere")
    leaving = "import os\nfrom standpipe import open_pipes\nopen_pipes().report_custom_message(1)\nos._exit(0)"
    for n in range(1, 4):
        run_python("-c", leaving, env=env)
        assert broker.methods.count("opened") == n


def test_the_wait_for_the_opening_is_bounded_and_comes_once(broker: RecordingBroker, tmp_path: Path) -> None:
    env = child_environment({**broker.environment(), "STANDPIPE_CLOSE_TIMEOUT": "0"}, home=tmp_path / "elsewhere")
    script = """
import time
from standpipe import open_pipes
context = open_pipes()
for _ in range(2):
    begun = time.monotonic()
    context.report_custom_message(1)
    print(round(time.monotonic() - begun))
"""
    broker.stop()
    done = run_python("-W", "ignore", "-c", script, env=env)
    first, second = (int(line) for line in done.stdout.splitlines()[:2])
    assert 5 <= first < 15
    assert second == 0


@pytest.mark.skipif(os.geteuid() == 0 and sys.platform == "win32", reason="POSIX paths")
def test_without_a_disk_opening_waits_for_the_server(broker: RecordingBroker, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    env = child_environment(broker.environment(), home=tmp_path / "file")
    run_python("-c", "import os\nfrom standpipe import open_pipes\nopen_pipes()\nos._exit(0)", env=env)
    assert broker.methods == ("opened",)


def test_the_opening_is_on_disk_when_open_pipes_returns(broker: RecordingBroker, tmp_path: Path) -> None:
    env = child_environment(broker.environment(), home=tmp_path / "home")
    broker.stop()
    leaving = "import os\nfrom standpipe import open_pipes\nopen_pipes()\nos._exit(0)"
    for _ in range(3):
        run_python("-c", leaving, env=env)
    assert len(list((tmp_path / "home").rglob("*.ndjson"))) == 3
    broker.start()
    run([PYTHON, "-m", "standpipe.cli", "deliver"], env=env)
    assert broker.methods == ("opened",) * 3


def test_a_parent_that_cannot_deliver_an_opening_does_not_close_before_it(
    broker: RecordingBroker, tmp_path: Path
) -> None:
    env = child_environment({**broker.environment(), "STANDPIPE_CLOSE_TIMEOUT": "0.2"}, home=tmp_path / "home")
    script = """
import subprocess, sys
from standpipe import open_pipes
with open_pipes():
    subprocess.run([sys.executable, "-c", "import os; from standpipe import open_pipes; open_pipes(); os._exit(0)"])
"""
    broker.stop()
    run_python("-W", "ignore", "-c", script, env=env)
    broker.start()
    run([PYTHON, "-m", "standpipe.cli", "deliver"], env=env)
    wait_until(lambda: broker.methods.count("closed") == 1, what="the parent's close")
    assert broker.methods == ("opened", "opened", "closed")

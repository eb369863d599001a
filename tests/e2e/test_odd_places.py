"""Where Standpipe is installed: homes with odd names, variables that others set, databases that hold some text only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from standpipe_orchestrator import BrokerClient
from standpipe_orchestrator.errors import BrokerNotFound
from standpipe_protocol.context import ContextData
from tests.conftest import ServerFactory
from tests.support.postgres import Postgres
from tests.support.processes import child_environment, run, run_python
from tests.support.server import Server

STANDPIPE = Path(sys.executable).parent / "standpipe"
SERVE = [sys.executable, "-m", "standpipe_server", "serve", "--port", "0"]
MIGRATE = [sys.executable, "-m", "standpipe_server", "migrate"]

RUNS_A_COMMAND = """
import os, sys
from standpipe_orchestrator import ContextData, PipesSubprocessClient, close_default_client
code = '''
import os
os.chdir("/")
from standpipe import open_pipes
with open_pipes() as context:
    context.report_asset_materialization(metadata={"rows": 3})
'''
completed = PipesSubprocessClient().run(
    context=ContextData(asset_keys=("orders",), run_id="r"), command=[sys.executable, "-c", code], cwd=sys.argv[1]
)
print(completed.get_materialize_result().metadata["rows"].value)
"""


@pytest.mark.parametrize("name", ["job%2Fbranch", "what?mode=ro#x straße", os.fsdecode(b"b\xe9")])
def test_a_home_may_be_called_anything(tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    environment = child_environment(home=home)
    assert run_python("-c", RUNS_A_COMMAND, str(tmp_path), env=environment).stdout.split() == ["3"]
    assert (home / "standpipe.db").exists()
    assert [each for each in tmp_path.iterdir() if each != home] == []
    assert "orders" in run([STANDPIPE, "ls"], env=environment).stdout


@pytest.mark.parametrize("database", [None, "sqlite:///data/own.db"])
def test_a_relative_home_and_database_are_below_the_folder_of_who_names_them(
    tmp_path: Path, database: str | None
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "elsewhere").mkdir()
    environment = child_environment({"STANDPIPE_HOME": "data", "STANDPIPE_DATABASE": database})
    done = run_python("-c", RUNS_A_COMMAND, "elsewhere", env=environment, cwd=tmp_path)
    assert done.stdout.split() == ["3"]
    assert (tmp_path / "data" / ("own.db" if database else "standpipe.db")).exists()
    assert [path.parent for path in tmp_path.rglob("credentials.json")] == [tmp_path / "data"]
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_service_called_standpipe_breaks_neither_broker_nor_job_nor_terminal(tmp_path: Path) -> None:
    link = {"STANDPIPE_PORT": "tcp://10.96.0.12:8787", "STANDPIPE_SERVICE_HOST": "10.96.0.12"}
    environment = child_environment(link, home=tmp_path / "home")
    assert run_python("-c", RUNS_A_COMMAND, str(tmp_path), env=environment).stdout.split() == ["3"]
    assert "orders" in run([STANDPIPE, "ls"], env=environment).stdout


def test_a_token_with_the_end_of_its_line_is_that_token(server: Server) -> None:
    with BrokerClient(f" {server.url.replace('http', 'HTTP')}/\n", api_key=f"{server.api_key}\n") as client:
        registered = client.invocations.register(ContextData(asset_keys=("orders",)))
        written = {name: f"{value}\n" for name, value in registered.env.items()}
        written["STANDPIPE_URL"] = f"  {registered.env['STANDPIPE_URL'].replace('http', 'HTTP')} "
        program = "from standpipe import open_pipes\nwith open_pipes() as c: c.report_asset_materialization()"
        done = run_python("-c", program, env=child_environment(written, home=server.home.with_name("job")))
        assert registered.token not in done.stdout + done.stderr
        assert client.invocations.finish(registered.invocation.id, exit_code=0).verdict == "succeeded"


@pytest.mark.parametrize("inner", ["\n", "\u2026"])
def test_a_credential_that_http_cannot_carry_is_in_no_error(server: Server, inner: str) -> None:
    key = f"{server.api_key}{inner}more"
    with pytest.raises(BrokerNotFound) as refused:
        BrokerClient(server.url, api_key=key)
    assert server.api_key not in str(refused.value)
    written = {
        "STANDPIPE_URL": server.url,
        "STANDPIPE_INVOCATION": "inv_1",
        "STANDPIPE_TOKEN": f"spt_sesame{inner}more",
    }
    environment = child_environment({**written, "STANDPIPE_API_KEY": key}, home=server.home)
    program = "from standpipe import open_pipes\nwith open_pipes() as c: c.report_asset_materialization()"
    for command in ([sys.executable, "-c", program], [str(STANDPIPE), "ls"]):
        done = run(command, env=environment, check=False)
        assert done.returncode != 0
        assert "sesame" not in done.stdout + done.stderr
        assert server.api_key not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("verb", "database"),
    [
        (SERVE, "postgresql://user:sesame@127.0.0.1:port/name"),
        (MIGRATE, "postgresql://user:sesame@[::1/name"),
        (MIGRATE, "postgresql://user:sesame@127.0.0.1:1/name?sslmod=require"),
        (SERVE, "postgresql://user:sesame@127.0.0.1:1/name?connect_timeout=soon"),
        (MIGRATE, "postgresql://user:ses@ame@nowhere.invalid/name"),
        (MIGRATE, "postgresql://user:sesame@127.0.0.1:1/name"),
        (SERVE, "sqlite:////nowhere/at%2Fall/standpipe.db"),
    ],
)
def test_a_database_address_that_is_none_is_a_sentence_without_its_password(
    tmp_path: Path, verb: list[str], database: str
) -> None:
    environment = child_environment({"STANDPIPE_DATABASE": f"{database}"}, home=tmp_path / "home")
    done = run(verb, env=environment, check=False)
    assert done.returncode in (1, 2)
    assert "Traceback" not in done.stderr
    assert "ame@" not in done.stderr
    assert "sesame" not in done.stderr
    assert done.stderr.startswith("standpipe ")


@pytest.mark.parametrize(
    ("verb", "encoding"), [(SERVE, "LATIN1"), (SERVE, "SQL_ASCII"), (MIGRATE, "SQL_ASCII"), (MIGRATE, "EUC_JP")]
)
def test_a_database_that_holds_some_text_only_is_refused_at_the_start(
    tmp_path: Path, postgres: Postgres, verb: list[str], encoding: str
) -> None:
    url = postgres.create(encoding=encoding)
    environment = child_environment({"STANDPIPE_DATABASE": url}, home=tmp_path / "home")
    done = run(verb, env=environment, check=False)
    postgres.release(url)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert f"stores text as {encoding}" in done.stderr
    assert "ENCODING 'UTF8'" in done.stderr


def test_what_jobs_report_is_stored_as_text_whatever_encoding_the_drivers_environment_names(
    start_server: ServerFactory, postgres_url: str
) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        name = sql.Identifier(str(connection.info.dbname))
        connection.execute(sql.SQL("ALTER DATABASE {} SET client_encoding TO 'LATIN1'").format(name))
    server = start_server(database_url=postgres_url, env={"PGCLIENTENCODING": "LATIN1"})
    with BrokerClient(server.url, api_key=server.api_key) as client:
        registered = client.invocations.register(ContextData(asset_keys=("orders",), extras={"€": "→ 日本"}))
        assert client.invocations.get(registered.invocation.id).context["extras"] == {"€": "→ 日本"}

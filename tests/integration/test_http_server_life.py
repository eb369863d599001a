"""A server's life: first start, credentials, lock, restart, orderly end; and what its streams hold meanwhile."""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import stat
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

from standpipe_protocol.home import read_credentials
from tests.conftest import ServerFactory
from tests.support.processes import Process, child_environment, run
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import closed, custom, opened, register

SERVE = [sys.executable, "-m", "standpipe_server", "serve"]
KEY = "a-key-of-the-users-own-choice"


def test_the_first_start_writes_private_credentials_and_later_starts_keep_them(sqlite_server: Server) -> None:
    path = sqlite_server.home / "credentials.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(sqlite_server.home.stat().st_mode) == 0o700
    (database,) = sqlite_server.home.parent.glob("standpipe.db")
    assert stat.S_IMODE(database.stat().st_mode) == 0o600
    before = sqlite_server.credentials
    assert before.url == f"http://127.0.0.1:{sqlite_server.port}"
    sqlite_server.restart()
    after = sqlite_server.credentials
    assert (after.api_key, after.identity) == (before.api_key, before.identity)


def test_the_credentials_name_the_port_of_the_running_server(
    start_server: ServerFactory, tmp_path: Path, sqlite_url: str
) -> None:
    home = tmp_path / "home"
    first = start_server(home=home, database_url=sqlite_url)
    first.stop()
    second = start_server(home=home, database_url=sqlite_url)
    found = read_credentials(home)
    assert found is not None
    assert found.url == second.url
    assert httpx.get(f"{found.url}/healthz", trust_env=False).status_code == 200


def test_a_second_server_on_the_same_home_is_told_who_holds_it(sqlite_server: Server) -> None:
    env = child_environment(home=sqlite_server.home)
    done = run([*SERVE, "--port", "0"], env=env, check=False)
    assert done.returncode == 2
    assert f"process {sqlite_server.pid}" in done.stderr
    assert sqlite_server.url in done.stderr
    assert "Traceback" not in done.stderr
    assert sqlite_server.http.get("/limits").status_code == 200


def test_a_killed_server_leaves_no_lock_and_loses_nothing_it_acknowledged(server: Server) -> None:
    job = register(server)
    assert job.append([opened(), custom(1)], producer="p", first_seq=1).status_code == 200
    server.kill9()
    server.restart()
    job.http = server.client(token=job.registered["token"])
    assert [event["seq"] for event in job.events()] == [1, 2]
    assert job.append([custom(1), custom(2)], producer="p", first_seq=2).json()["last_position"] == 3


@pytest.mark.own_interpreter
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_signal_ends_the_streams_first_and_then_the_server(server: Server, number: int, code: int) -> None:
    job = register(server)
    with job.stream() as events, job.lines() as lines:
        job.append([custom(1)], producer="p", first_seq=1)
        assert next(events).id == "1"
        assert next(lines)["position"] == 1
        server.process.signal(number)
        assert [(event.event, event.id) for event in events] == [("bye", None)]
        assert list(lines) == [{"event": "bye"}]
    assert server.process.wait() == code
    assert "Traceback" not in server.output()
    assert "ERROR" not in server.output()


def test_who_does_not_read_or_send_on_does_not_keep_the_server_from_ending(sqlite_server: Server) -> None:
    job = register(sqlite_server)
    job.append([custom("x" * 200_000)] * 50)
    common = f"Host: 127.0.0.1\r\nAuthorization: Bearer {sqlite_server.api_key}\r\n"
    stream = f"GET /api/v1{job.path}/events HTTP/1.1\r\n{common}Accept: text/event-stream\r\n\r\n"
    half = f"POST /api/v1{job.path}/events HTTP/1.1\r\n{common}Content-Length: 100\r\n\r\n{{"
    with socket.socket() as reader, socket.socket() as sender:
        reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        for connection, request in ((reader, stream), (sender, half)):
            connection.connect(("127.0.0.1", sqlite_server.port))
            connection.sendall(request.encode())
        assert reader.recv(1)
        assert sqlite_server.process.stop() == 0
    assert "Traceback" not in sqlite_server.output()


def test_a_long_poll_is_answered_when_the_server_stops(server: Server) -> None:
    job = register(server)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(job.page, wait=60)
        wait_until(lambda: "standpipe_open_streams 1.0" in _metrics(server), what="the poll to be open")
        server.process.signal(signal.SIGTERM)
        assert waiting.result(30) == {"items": [], "next_after": 0, "ended": False, "last_position": 0}
    assert server.process.wait() == 0


def test_a_reader_that_comes_again_after_a_restart_misses_nothing(server: Server) -> None:
    job = register(server)
    with job.stream() as events:
        job.append([custom(1)], producer="p", first_seq=1)
        last = next(events).id
        server.process.signal(signal.SIGTERM)
        assert next(events).event == "bye"
    server.restart()
    job.http = server.client(token=job.registered["token"])
    job.append([opened(), closed()], producer="p", first_seq=2)
    job.finish(exit_code=0)
    with job.stream(headers={"Last-Event-ID": str(last)}) as events:
        assert [(event.event, event.id) for event in events] == [(None, "2"), (None, "3"), ("end", None)]


def test_fifty_idle_streams_hold_no_database_connection(server: Server) -> None:
    jobs = [register(server) for _ in range(50)]
    with ExitStack() as stack:
        streams = [stack.enter_context(job.stream()) for job in jobs]
        wait_until(lambda: "standpipe_open_streams 50.0" in _metrics(server), what="the streams to be open")
        wait_until(lambda: "standpipe_read_connections 0.0" in _metrics(server), what="every connection to be free")
        for job, stream in zip(jobs, streams, strict=True):
            job.append([custom(job.id)])
            assert next(stream).data["params"]["payload"] == job.id
        wait_until(lambda: "standpipe_read_connections 0.0" in _metrics(server), what="every connection to be free")


def _metrics(server: Server) -> str:
    return server.http.get(f"{server.url}/metrics").text


# The operator key


def test_beyond_loopback_a_key_of_the_users_own_is_needed(tmp_path: Path) -> None:
    env = child_environment(home=tmp_path / "home")
    done = run([*SERVE, "--host", "0.0.0.0", "--port", "0"], env=env, check=False)
    assert done.returncode == 2
    assert "STANDPIPE_API_KEY" in done.stderr
    assert not (tmp_path / "home").exists()
    short = run([*SERVE, "--host", "0.0.0.0", "--port", "0"], env=env | {"STANDPIPE_API_KEY": "short"}, check=False)
    assert (short.returncode, "16" in short.stderr) == (2, True)


@pytest.mark.parametrize("how", ["variable", "file"])
def test_a_given_key_counts_and_is_found_by_local_tools(start_server: ServerFactory, tmp_path: Path, how: str) -> None:
    secret = tmp_path / "secret"
    secret.write_text(KEY + "\n")
    env = {"STANDPIPE_API_KEY": KEY} if how == "variable" else {"STANDPIPE_API_KEY_FILE": str(secret)}
    server = start_server(env=env)
    assert server.credentials.api_key == KEY
    assert server.http.get("/limits").status_code == 200


def test_a_server_beyond_loopback_takes_any_host_name_and_says_where_it_is(
    start_server: ServerFactory, tmp_path: Path
) -> None:
    server = start_server(arguments=["--host", "0.0.0.0"], env={"STANDPIPE_API_KEY": KEY})
    assert server.url == f"http://127.0.0.1:{server.port}"
    headers = {"Host": f"pipes.example:{server.port}"}
    registered = server.http.post("/invocations", json={}, headers=headers).json()
    assert registered["url"] == f"http://pipes.example:{server.port}"


# What cannot be honoured is told in a sentence


@pytest.mark.parametrize(
    ("arguments", "env", "says"),
    [
        (["--port", "70000"], {}, "0 to 65535"),
        (["--public-url", "ftp://x"], {}, "http(s)://host"),
        (["--database", "mysql://x/y"], {}, "sqlite:///FILE or postgresql://"),
        ([], {"STANDPIPE_MIGRATE": "maybe"}, "auto, check, off"),
        ([], {"STANDPIPE_API_KEY": "a b"}, "printable"),
        ([], {"STANDPIPE_API_KEY": "x", "STANDPIPE_API_KEY_FILE": "y"}, "one of them"),
        ([], {"STANDPIPE_API_KEY_FILE": "/nowhere/key"}, "/nowhere/key"),
        (["--migrate", "check"], {}, "standpipe migrate"),
        (["--host", "192.0.2.1"], {"STANDPIPE_API_KEY": KEY}, "192.0.2.1"),
    ],
)
def test_a_wrong_setting_is_told_in_a_sentence(
    tmp_path: Path, arguments: list[str], env: dict[str, str], says: str
) -> None:
    done = run([*SERVE, "--port", "0", *arguments], env=child_environment(env, home=tmp_path / "home"), check=False)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_told_in_a_sentence(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run([*SERVE, "--port", str(port)], env=child_environment(home=tmp_path / "home"), check=False)
    assert (done.returncode, str(port) in done.stderr) == (2, True)


@pytest.mark.parametrize("verb", ["serve", "migrate"])
@pytest.mark.parametrize("database", ["postgresql://127.0.0.1:1/none", "sqlite:////proc/nowhere/x.db"])
def test_a_database_that_cannot_be_used_is_told_in_a_sentence(tmp_path: Path, verb: str, database: str) -> None:
    command = [sys.executable, "-m", "standpipe_server", verb, "--database", database]
    if verb == "serve":
        command += ["--port", "0"]
    done = run(command, env=child_environment(home=tmp_path / "home"), check=False)
    assert done.returncode in (1, 2)
    assert f"standpipe {verb}:" in done.stderr
    assert "Traceback" not in done.stderr


def test_migrate_brings_a_database_up_to_date_and_check_says_whether_it_is(tmp_path: Path, database_url: str) -> None:
    migrate = [sys.executable, "-m", "standpipe_server", "migrate", "--database", database_url]
    env = child_environment(home=tmp_path / "home")
    assert run([*migrate, "--check"], env=env, check=False).returncode == 1
    assert run(migrate, env=env, check=False).returncode == 0
    assert run([*migrate, "--check"], env=env, check=False).returncode == 0


# The embedded broker


def _embedded(home: Path, *, stdin: int | None = None) -> Process:
    return Process(
        [*SERVE, "--port", "0", "--stop-with-stdin"],
        log=home.with_name("embedded.log"),
        env=child_environment(home=home, warnings="error"),
        keep_stdin_open=stdin is None,
        stdin=stdin,
    )


def test_an_embedded_server_ends_with_whoever_started_it(tmp_path: Path) -> None:
    with _embedded(tmp_path / "home") as process:
        process.wait_for_output("Standpipe is listening on http://127.0.0.1:")
        process.close_stdin()
        assert process.wait() == 0
    assert "Warning" not in process.output()


def test_an_embedded_server_ends_when_its_stdin_cannot_be_read_any_more(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    with _embedded(tmp_path / "home", stdin=ours) as process:
        os.close(ours)
        process.wait_for_output("Standpipe is listening on http://127.0.0.1:")
        # Without its other side every read of a terminal's first side fails.
        os.close(theirs)
        assert process.wait() == 0
    assert "Traceback" not in process.output()


def test_an_embedded_server_ends_with_the_reset_of_its_stdin(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        ours = socket.create_connection(listener.getsockname())
        theirs, _ = listener.accept()
    with theirs, _embedded(tmp_path / "home", stdin=theirs.fileno()) as process:
        process.wait_for_output("Standpipe is listening on http://127.0.0.1:")
        # Closed so, a connection is reset.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ours.close()
        assert process.wait() == 0
    assert "Traceback" not in process.output()


def test_an_embedded_server_stays_until_the_last_reader_has_gone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with _embedded(home) as process:
        process.wait_for_output("Standpipe is listening on")
        found = read_credentials(home)
        assert found is not None
        headers = {"Authorization": f"Bearer {found.api_key}"}
        with httpx.Client(base_url=f"{found.url}/api/v1", headers=headers, trust_env=False, timeout=30) as client:
            registered = client.post("/invocations", json={}).json()
            path = f"/invocations/{registered['invocation']['id']}"
            with client.stream("GET", f"{path}/events", headers={"Accept": "application/x-ndjson"}) as answer:
                lines = answer.iter_lines()
                process.close_stdin()
                client.post(f"{path}/events", json=opened())
                assert json.loads(next(lines))["method"] == "opened"
                assert process.exit_code is None
                client.post(f"{path}/finish", json={"exit_code": 1})
                assert next(lines, None) is None
        assert process.wait() == 0


def test_an_embedded_server_stays_for_a_client_that_is_between_two_calls(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with _embedded(home) as process:
        process.wait_for_output("Standpipe is listening on")
        found = read_credentials(home)
        assert found is not None
        headers = {"Authorization": f"Bearer {found.api_key}"}
        with httpx.Client(base_url=f"{found.url}/api/v1", headers=headers, trust_env=False, timeout=30) as client:
            registered = client.post("/invocations", json={}).json()
            process.close_stdin()
            with pytest.raises(AssertionError, match="did not end within"):
                process.wait(timeout=1.0)
            assert client.get(f"/invocations/{registered['invocation']['id']}").status_code == 200
        assert process.wait() == 0

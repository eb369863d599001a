"""More than the server can take: it says 503 with Retry-After, its memory stays flat, and afterwards all is well."""

from __future__ import annotations

import select
import shutil
import socket
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex

import psycopg
import pytest

from tests.conftest import ServerFactory
from tests.support.disk import CannotMisbehave, StallingDisk, stalling_disk
from tests.support.processes import resident_mib
from tests.support.reporting import reporting
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import custom, register

_MIB = 1024 * 1024


@pytest.fixture
def disk() -> Iterator[StallingDisk]:
    folder = Path(tempfile.mkdtemp(prefix="standpipe-disk-"))
    try:
        yield stalling_disk(folder)
    except CannotMisbehave as reason:
        pytest.skip(str(reason))
    finally:
        shutil.rmtree(folder)


@contextmanager
def _connections(server: Server, count: int) -> Iterator[Sequence[socket.socket]]:
    with ExitStack() as stack:
        yield [
            stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=60)) for _ in range(count)
        ]


def _request(server: Server, head: str, *, token: str, body: bytes = b"", accept: str = "*/*") -> bytes:
    common = f"Host: 127.0.0.1\r\nAccept: {accept}\r\nAuthorization: Bearer {token}\r\nContent-Length: {len(body)}\r\n"
    return f"{head} HTTP/1.1\r\n{common}\r\n".encode() + body


def _refused(answer: bytes) -> bool:
    """Whether it is a refusal; the only other one that is allowed is a success."""
    status = answer.split(b" ", 2)[1]
    assert status in (b"200", b"503"), answer[:500]
    assert status == b"200" or b"retry-after: " in answer.lower()
    return status == b"503"


def _answered(connections: Sequence[socket.socket]) -> int:
    """How many of them have an answer to be read."""
    poll = select.poll()
    for connection in connections:
        poll.register(connection, select.POLLIN)
    return len(poll.poll(0))


def test_a_flood_of_appends_on_a_stalled_disk_does_not_fill_the_memory(
    sqlite_url: str, disk: StallingDisk, start_server: ServerFactory
) -> None:
    server = start_server(database_url=sqlite_url, env=disk.env)
    job = register(server, lease_seconds=300)
    token = job.registered["token"]
    before = resident_mib(server.pid)
    # 250 times two MiB are twice what may wait.
    body = b'{"method":"log","params":{"message":"%b"}}' % token_hex(_MIB).encode()
    request = _request(server, f"POST /api/v1{job.path}/events", token=token, body=body)
    disk.stall()
    with _connections(server, 250) as connections:
        for connection in connections:
            connection.sendall(request)
        # One after another, so that the last finds the room taken, and is told so while the disk stalls.
        assert _refused(connections[-1].recv(65536, socket.MSG_PEEK))
        during = resident_mib(server.pid)
        disk.go_on()
        answers = [connection.recv(65536) for connection in connections]
    told = sum(_refused(answer) for answer in answers)
    assert 50 < told < 250
    # 256 MiB may wait; of each there is what came, its messages, what will be stored, and room that is not given back.
    assert during - before < 4 * 256 + 64
    assert job.read()["last_position"] == 250 - told


def test_a_flood_of_reads_on_a_database_that_hangs_is_told_to_come_again(
    postgres_server: Server, postgres_url: str
) -> None:
    server, job = postgres_server, register(postgres_server, lease_seconds=300)
    job.append([custom(number) for number in range(100)])
    before = resident_mib(server.pid)
    request = _request(server, "GET /api/v1/invocations", token=server.api_key)
    with psycopg.connect(postgres_url) as other, _connections(server, 3_000) as connections:
        other.execute("LOCK TABLE invocation, segment IN ACCESS EXCLUSIVE MODE")
        for connection in connections:
            connection.sendall(request)
        # Eight are asked of the database, 2,048 wait.
        wait_until(lambda: _answered(connections) >= 3_000 - 2_048 - 8, what="the others to be refused")
        during = resident_mib(server.pid)
        other.rollback()
        told = sum(_refused(connection.recv(65536)) for connection in connections)
    assert 900 <= told < 3_000
    assert during - before < 256
    with reporting(register(server), server):
        pass


def test_readers_that_do_not_read_cost_the_server_a_buffer_each(server: Server) -> None:
    job = register(server, lease_seconds=300)
    for _ in range(10):
        job.append([custom(token_hex(100_000)) for _ in range(20)])
    before = resident_mib(server.pid)
    head = f"GET /api/v1{job.path}/events"
    request = _request(server, head, token=server.api_key, accept="text/event-stream")
    with _connections(server, 30) as connections:
        for connection in connections:
            connection.sendall(request)
        for connection in connections:
            assert connection.recv(16).startswith(b"HTTP/1.1 200")
        other = register(server)
        with reporting(other, server):
            wait_until(lambda: other.read()["last_position"] > 500, what="others to be served meanwhile")
        # 30 readers are sent 40 MiB each; a megabyte of it may lie in the server.
        assert resident_mib(server.pid) - before < 150

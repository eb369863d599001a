"""Who could not be heard is not judged: a server that stands still, and a request that takes its time."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from time import monotonic

import pytest

from tests.conftest import ServerFactory
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, custom, opened, register

_LEASE = 2.0


def _history(job: Job) -> list[str]:
    items = job.server.http.get(f"{job.path}/history").json()["items"]
    return [item["change"] for item in items]


@contextmanager
def _beating(job: Job) -> Generator[None]:
    """A process that beats often, and waits for each answer as long as it takes."""
    enough = threading.Event()

    def beat() -> None:
        with job.server.client(token=job.registered["token"], timeout=60) as http:
            while not enough.is_set():
                assert http.post(f"{job.path}/heartbeat").status_code == 200
                enough.wait(_LEASE / 20)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        yield
    finally:
        enough.set()
        thread.join(60)


@contextmanager
def _half_sent(job: Job, *, producer: str, first_seq: int) -> Generator[Callable[[], bytes]]:
    """A request of which half has come; gives what sends the rest, and answers how the answer begins."""
    body = json.dumps(custom("x" * 100_000)).encode()
    head = (
        f"POST /api/v1{job.path}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
        f"Authorization: Bearer {job.registered['token']}\r\nContent-Length: {len(body)}\r\n"
        f"Standpipe-Producer: {producer}\r\nStandpipe-First-Seq: {first_seq}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", job.server.port), timeout=30) as connection:
        connection.sendall(head.encode() + body[:50_000])

        def send_rest() -> bytes:
            connection.sendall(body[50_000:])
            return connection.recv(65_536)

        yield send_rest


def test_a_server_that_stood_still_for_longer_than_a_lease_loses_nobody(server: Server) -> None:
    jobs = [register(server, lease_seconds=_LEASE) for _ in range(5)]
    for job in jobs:
        job.append([opened()])
    with _beating(jobs[0]), _beating(jobs[1]):
        for _ in range(3):
            server.process.signal(signal.SIGSTOP)
            stopped_at = monotonic()
            # Time is all that this is about: nothing comes of a process that is stopped.
            wait_until(lambda since=stopped_at: monotonic() - since > 1.5 * _LEASE, what="a lease to pass")
            server.process.signal(signal.SIGCONT)
            assert jobs[0].read()["verdict"] is None
    for job in jobs[:2]:
        assert "lease-expired" not in _history(job)
    assert "The server did not listen for " in server.output()
    # Who is silent now is lost as ever.
    wait_until(lambda: all(job.read()["verdict"] == "lost" for job in jobs), what="all of them to be lost")


@pytest.mark.parametrize("producer", ["launcher", None])
def test_output_that_a_launcher_still_sends_hides_no_process_that_died(server: Server, producer: str | None) -> None:
    job = register(server, lease_seconds=_LEASE)
    assert job.append([opened()], producer="p", first_seq=1).status_code == 200
    lost = threading.Event()

    def output() -> Iterator[bytes]:
        line = {"method": "log_external_stream", "params": {"stream": "stdout", "text": "alive\n", "extras": {}}}
        while not lost.is_set():
            yield json.dumps(line).encode() + b"\n"
            lost.wait(_LEASE / 4)

    def send() -> int:
        headers = {"Content-Type": "application/x-ndjson"}
        if producer is not None:
            headers |= {"Standpipe-Producer": producer, "Standpipe-First-Seq": "1"}
        with job.server.client(token=job.registered["token"], timeout=60) as http:
            return http.post(f"{job.path}/events", content=output(), headers=headers).status_code

    with ThreadPoolExecutor(1) as executor:
        answer = executor.submit(send)
        try:
            wait_until(lambda: job.read()["verdict"] == "lost", what="the process to be lost")
        finally:
            lost.set()
        assert answer.result(60) == 200


def test_no_other_server_on_the_database_judges_while_a_request_is_under_way(
    postgres_url: str, start_server: ServerFactory
) -> None:
    reading, sweeping = (start_server(database_url=postgres_url) for _ in range(2))
    lease = 6.0
    speaking = register(reading, lease_seconds=lease)
    assert speaking.append([opened()], producer="p", first_seq=1).status_code == 200
    silent = register(reading, lease_seconds=lease)
    assert silent.append([opened()]).status_code == 200
    with _half_sent(speaking, producer="p", first_seq=2) as send_rest:
        # Whichever of the two judges it.
        wait_until(lambda: silent.read()["verdict"] == "lost", what="the silent one to be lost")
        assert speaking.read()["verdict"] is None
        assert send_rest().startswith(b"HTTP/1.1 200")
    assert "lease-expired" not in _history(speaking)
    assert sweeping.process.exit_code is None


def test_no_lease_runs_out_while_a_request_is_under_way(server: Server) -> None:
    speaking, silent = (register(server, lease_seconds=_LEASE) for _ in range(2))
    for job in (speaking, silent):
        job.append([opened()], producer="p", first_seq=1)
    with _half_sent(speaking, producer="p", first_seq=2) as send_rest:
        wait_until(lambda: silent.read()["verdict"] == "lost", what="the silent one to be lost")
        assert speaking.read()["verdict"] is None
        assert send_rest().startswith(b"HTTP/1.1 200")
    assert "lease-expired" not in _history(speaking)
    wait_until(lambda: speaking.read()["verdict"] == "lost", what="the other to be lost, too")

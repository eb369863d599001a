"""Producers and readers that go on through trouble; afterwards nothing may be missing, double or out of order.

They speak HTTP as the protocol says and know nothing of the SDK, so that what they show is the server's doing.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import httpx

from standpipe_orchestrator import BrokerClient
from tests.support.server import Server, plain_client
from tests.support.wire import Job, Json, closed, custom, opened

_EACH = 5


class Producer:
    """Numbers and sends as the protocol says: what is not acknowledged is sent again, to one server after another."""

    def __init__(self, name: str, path: str, clients: list[httpx.Client]) -> None:
        self.name = name
        self.sent = 0
        self.troubles = 0
        self._path = path
        self._clients = itertools.cycle(clients)
        self._client = next(self._clients)
        self._enough = threading.Event()
        self._patience = threading.Event()
        self._given_up = False

    def run(self) -> int:
        """Reports until it is told that it is enough; answers how many messages it has sent."""
        self._send(opened())
        while not self._enough.is_set():
            self._send(*(custom(self.sent + offset) for offset in range(_EACH)))
        self._send(closed())
        return self.sent

    def enough(self) -> None:
        self._enough.set()

    def give_up(self) -> None:
        """For a test that has failed: who still waits would hide why."""
        self._given_up = True
        self._enough.set()

    def _send(self, *messages: Json) -> None:
        headers = {"Standpipe-Producer": self.name, "Standpipe-First-Seq": str(self.sent + 1)}
        last = self.sent + len(messages)
        for attempt in range(600):
            if self._given_up:
                break
            try:
                answer = self._client.post(f"{self._path}/events", json=list(messages), headers=headers)
            except httpx.TransportError:
                pass
            else:
                if answer.status_code == 200 and answer.json()["accepted_through"] >= last:
                    self.sent = last
                    return
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["Retry-After"]) >= 1
            self.troubles += 1
            self._client = next(self._clients)
            # Sooner than told, so that the test is done soon.
            self._patience.wait(min(0.02 * attempt, 0.2))
        raise AssertionError(f"Messages {self.sent + 1}-{last} of {self.name} were not taken.")


@contextmanager
def reporting(job: Job, *servers: Server) -> Generator[list[Producer]]:
    """Three producers that report while the block runs, through these servers; then everything is checked."""
    token = job.registered["token"]
    with _Clients() as clients, ThreadPoolExecutor(3) as pool:
        producers = [
            Producer(f"p{number}", job.path, [clients.open(server, token) for server in servers]) for number in range(3)
        ]
        running: list[Future[int]] = [pool.submit(producer.run) for producer in producers]
        try:
            yield producers
        except BaseException:
            for producer in producers:
                producer.give_up()
            raise
        for producer in producers:
            producer.enough()
        sent = {producer.name: future.result(90) for producer, future in zip(producers, running, strict=True)}
    _check(job, sent)


class _Clients:
    """Clients that know an address and stay when its server is gone."""

    def __init__(self) -> None:
        self._open: list[httpx.Client] = []

    def open(self, server: Server, token: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"}
        made = plain_client(base_url=f"{server.url}/api/v1", headers=headers, timeout=20)
        self._open.append(made)
        return made

    def __enter__(self) -> _Clients:
        return self

    def __exit__(self, *_: object) -> None:
        for client in self._open:
            client.close()


def _check(job: Job, sent: dict[str, int]) -> None:
    """Everything is stored once and in each producer's order, and the positions have no gap."""
    with BrokerClient(job.server.url, api_key=job.server.api_key) as client:
        events = list(client.events.iterate(job.id))
    assert [event.position for event in events] == list(range(1, sum(sent.values()) + 1))
    for name, count in sent.items():
        assert [event.seq for event in events if event.producer == name] == list(range(1, count + 1))
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])


@contextmanager
def reading(job: Job, server: Server) -> Generator[list[int]]:
    """A reader that resumes by itself; after the block it must have had every position once, and the end."""
    positions: list[int] = []
    with BrokerClient(server.url, api_key=server.api_key) as client:
        stream = client.events.stream(job.id, patience_seconds=60)

        def read() -> None:
            for event in stream:
                positions.append(event.position)

        with ThreadPoolExecutor(1) as pool:
            done = pool.submit(read)
            try:
                yield positions
            except BaseException:
                stream.stop()
                raise
            done.result(60)
        assert stream.invocation is not None
        assert stream.invocation.verdict == "succeeded"
        assert positions == list(range(1, stream.invocation.last_position + 1))

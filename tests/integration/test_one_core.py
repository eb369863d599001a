"""Which core the server's busy threads are on: real threads and a real server; only the clocks are the tests' own."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from standpipe_server.one_core import BUSY, CROWDED_LOOKS, REST_SECONDS, OneCore, can_choose, read_busy
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import custom, opened, register

pytestmark = pytest.mark.skipif(not can_choose(), reason="here no thread can choose among cores")


@dataclass
class Machine:
    """What the clocks say: how long the threads and every core have been at work."""

    now: float = 0.0
    used: float = 0.0
    busy: dict[int, float] = field(default_factory=lambda: dict.fromkeys(os.sched_getaffinity(0), 0.0))

    def passes(self, place: OneCore, *, own: float, others: dict[int, float] | None = None) -> None:
        """A second in which the threads are at work for `own`, where they are, and others on their cores."""
        self.now += 1.0
        self.used += own
        for core in self.busy:
            mine = own if place.core == core else own / len(self.busy) if place.core is None else 0.0
            self.busy[core] += mine + (others or {}).get(core, 0.0)
        place.look()


@contextmanager
def two_threads() -> Generator[list[threading.Thread]]:
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield threads
    finally:
        over.set()
        for thread in threads:
            thread.join()


def cores_of(threads: list[threading.Thread]) -> list[set[int]]:
    return [os.sched_getaffinity(thread.native_id or 0) for thread in threads]


def place_of(threads: list[threading.Thread], machine: Machine) -> OneCore:
    return OneCore(threads, clock=lambda: machine.now, used=lambda: machine.used, busy=lambda: dict(machine.busy))


def test_busy_threads_are_put_on_the_idlest_core_and_let_go_when_they_are_quiet() -> None:
    everywhere, machine = os.sched_getaffinity(0), Machine()
    idlest = max(everywhere)
    others = dict.fromkeys(everywhere - {idlest}, 0.2)
    with two_threads() as threads:
        place = place_of(threads, machine)
        machine.passes(place, own=BUSY - 0.1, others=others)
        assert cores_of(threads) == [everywhere] * 2
        machine.passes(place, own=0.9, others=others)
        assert cores_of(threads) == [{idlest}] * 2
        machine.passes(place, own=0.3, others=others)
        assert place.core == idlest
        machine.passes(place, own=0.01)
        assert place.core is None
        assert cores_of(threads) == [everywhere] * 2
    assert os.sched_getaffinity(0) == everywhere


def test_a_core_that_others_need_is_left_to_them_for_a_while() -> None:
    everywhere, machine = os.sched_getaffinity(0), Machine()
    crowd = dict.fromkeys(everywhere, 0.5)
    with two_threads() as threads:
        place = place_of(threads, machine)
        for _ in range(2):
            machine.passes(place, own=0.9)
        # For a moment somebody may be there whom the kernel is about to move.
        for _ in range(CROWDED_LOOKS - 1):
            machine.passes(place, own=0.5, others=crowd)
        machine.passes(place, own=0.9)
        assert place.core is not None
        for _ in range(CROWDED_LOOKS):
            machine.passes(place, own=0.5, others=crowd)
        assert cores_of(threads) == [everywhere] * 2
        for _ in range(int(REST_SECONDS) - 1):
            machine.passes(place, own=0.9)
            assert place.core is None
        for _ in range(2):
            machine.passes(place, own=0.9)
        assert place.core is not None
        place.leave()


def test_a_thread_that_starts_where_they_are_may_go_anywhere() -> None:
    everywhere, machine = os.sched_getaffinity(0), Machine()
    place = place_of([threading.current_thread()], machine)
    try:
        for _ in range(2):
            machine.passes(place, own=0.9)
        assert os.sched_getaffinity(0) == {place.core}
        with two_threads() as threads:
            assert cores_of(threads) == [{place.core}] * 2
            machine.passes(place, own=0.9)
            assert cores_of(threads) == [everywhere] * 2
            assert os.sched_getaffinity(0) == {place.core}
    finally:
        place.leave()
    assert os.sched_getaffinity(0) == everywhere


def test_a_machine_that_says_nothing_of_its_cores_is_left_to_the_kernel() -> None:
    machine = Machine(busy={})
    with two_threads() as threads:
        place = place_of(threads, machine)
        for _ in range(3):
            machine.passes(place, own=0.9)
        assert place.core is None


def test_what_the_system_says_of_its_cores_covers_them_all_and_grows() -> None:
    before = read_busy()
    assert before.keys() >= os.sched_getaffinity(0)
    end = time.thread_time() + 0.05
    while time.thread_time() < end:
        pass
    assert sum(read_busy().values()) >= sum(before.values()) + 0.02


def test_a_server_under_small_messages_comes_together_and_lets_go_again(sqlite_server: Server) -> None:
    def allowed() -> str:
        status = Path(f"/proc/{sqlite_server.pid}/task/{sqlite_server.pid}/status").read_text()
        return status.partition("Cpus_allowed_list:\t")[2].partition("\n")[0]

    def is_together_after_a_round() -> bool:
        for connection in connections:
            connection.sendall(message)
        for connection in connections:
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        return allowed().isdigit()

    everywhere, job = allowed(), register(sqlite_server)
    token = job.registered["token"]
    head = (
        f"POST /api/v1{job.path}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        "Content-Type: application/json\r\nContent-Length: "
    )
    body = json.dumps(custom("a word")).encode()
    message = f"{head}{len(body)}\r\n\r\n".encode() + body
    with ExitStack() as stack:
        connections = [
            stack.enter_context(socket.create_connection(("127.0.0.1", sqlite_server.port))) for _ in range(16)
        ]
        job.append(opened())
        wait_until(is_together_after_a_round, what="the busy threads to be on one core", timeout=60.0, interval=0.0)
    wait_until(lambda: allowed() == everywhere, what=f"the quiet server to run on {everywhere} again")

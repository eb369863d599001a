"""Which core the server's busy threads are on: real threads and a real server; only the clocks are the tests' own."""

from __future__ import annotations

import json
import os
import resource
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from standpipe_server.one_core import BUSY, CROWDED_LOOKS, REST_SECONDS, OneCore, can_choose, read_busy
from tests.conftest import ServerFactory
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


def test_a_mask_that_somebody_sets_meanwhile_is_kept_to() -> None:
    everywhere, machine = os.sched_getaffinity(0), Machine()
    with two_threads() as threads:
        place = place_of([threading.current_thread(), *threads], machine)
        for _ in range(2):
            machine.passes(place, own=0.9)
        assert place.core is not None
        chosen = {max(everywhere - {place.core})}
        try:
            for thread in (threading.current_thread(), *threads):
                os.sched_setaffinity(thread.native_id or 0, chosen)
            for _ in range(3):
                machine.passes(place, own=0.9)
            assert place.core is None
            assert cores_of([threading.current_thread(), *threads]) == [chosen] * 3
        finally:
            place.leave()
            os.sched_setaffinity(0, everywhere)


def test_out_of_descriptors_the_threads_are_let_go_all_the_same() -> None:
    everywhere, machine = os.sched_getaffinity(0), Machine()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    with two_threads() as threads:
        place = place_of(threads, machine)
        for _ in range(2):
            machine.passes(place, own=0.9)
        assert place.core is not None
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
        try:
            with pytest.raises(OSError, match="Too many open files"):
                place.leave()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert cores_of(threads) == [everywhere] * 2


def test_a_machine_that_says_nothing_of_its_cores_is_left_to_the_kernel() -> None:
    machine = Machine(busy={})
    with two_threads() as threads:
        place = place_of(threads, machine)
        for _ in range(3):
            machine.passes(place, own=0.9)
        assert place.core is None
        # Nor one whose numbers are not those of the cores that can be chosen.
        machine.busy = {max(os.sched_getaffinity(0)): 0.0}
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


def on_one_core(server: Server) -> int:
    """How many of its threads."""
    tasks = Path(f"/proc/{server.pid}/task").iterdir()
    return sum(len(os.sched_getaffinity(int(task.name))) == 1 for task in tasks)


@contextmanager
def sending(server: Server) -> Generator[Callable[[], None]]:
    """A function that sends a small message over each of 16 connections, and waits for the answers."""
    job = register(server)
    job.append(opened())
    body = json.dumps(custom("a word")).encode()
    token = job.registered["token"]
    head = (
        f"POST /api/v1{job.path}/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with ExitStack() as stack:
        connections = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(16)]

        def send() -> None:
            for connection in connections:
                connection.sendall(head.encode() + body)
            for connection in connections:
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")

        yield send


def test_a_server_under_small_messages_comes_together_and_lets_go_again(
    start_server: ServerFactory, sqlite_url: str
) -> None:
    server = start_server(database_url=sqlite_url, arguments=["--requests-per-second", "0"])
    with sending(server) as send:

        def is_together_after_a_round() -> bool:
            send()
            return on_one_core(server) == 2  # the event loop, and SQLite's only writer

        wait_until(is_together_after_a_round, what="the busy threads to be on one core", timeout=60.0, interval=0.0)
    wait_until(lambda: on_one_core(server) == 0, what="the quiet server to run on all cores again")


def test_a_server_that_was_told_not_to_stays_where_the_system_puts_it(
    start_server: ServerFactory, sqlite_url: str
) -> None:
    server = start_server(database_url=sqlite_url, arguments=["--requests-per-second", "0", "--one-core", "off"])
    with sending(server) as send:
        # Two seconds' work or more, of which the first is enough for the other.
        for _ in range(1000):
            send()
            assert on_one_core(server) == 0

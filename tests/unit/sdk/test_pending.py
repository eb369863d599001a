"""What waits for its acknowledgement: kept without a gap in memory and on disk, whatever interrupts whom."""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from standpipe.delivery.message_queue import MessageQueue
from standpipe.spool.format import SpoolHeader
from standpipe.spool.spool_file import Spool
from standpipe_protocol.bootstrap import Bootstrap
from tests.support.waiting import wait_until

HEADER = SpoolHeader(bootstrap=Bootstrap(url="http://x", invocation="inv_1", token="t"), producer="p")
FAR = float("inf")


def made(n: int, method: str = "report_custom_message") -> bytes:
    return b'{"method":"%s","params":{"payload":%d}}' % (method.encode(), n)


def note(dropped: int) -> tuple[str, bytes]:
    return "log", made(dropped, "log")


def spools(folder: Path, *, max_bytes: int = 1_000_000) -> Callable[[int], Spool]:
    return lambda first: Spool(folder / "p.ndjson", header=replace(HEADER, first_seq=first), max_bytes=max_bytes)


def taken(pending: MessageQueue, *, messages: int = 1000) -> list[tuple[int, bytes]]:
    """Takes and acknowledges everything."""
    found: list[tuple[int, bytes]] = []
    while (batch := pending.take(messages=messages, size=100_000)) is not None:
        found += enumerate(batch.bodies, batch.first_seq)
        pending.acknowledge(batch.first_seq + len(batch.bodies) - 1)
    pending.spool_all()
    return found


def on_disk(folder: Path) -> list[bytes]:
    return [line for file in sorted(folder.glob("*.ndjson")) for line in file.read_bytes().splitlines()[1:]]


@pytest.mark.parametrize("always_spool", [False, True])
def test_what_was_read_from_disk_stays_there_until_it_is_acknowledged(tmp_path: Path, always_spool: bool) -> None:
    pending = MessageQueue(spool=spools(tmp_path), memory_messages=3, always_spool=always_spool)
    for n in range(10):
        assert pending.put("report_custom_message", made(n))
    for _ in range(2):
        batch = pending.take(messages=100, size=100_000)
        assert batch is not None
        # All of them, though some were read.
        assert len(on_disk(tmp_path)) == 10
    pending.acknowledge(3)
    assert pending.take(messages=100, size=100_000) is not None
    assert len(on_disk(tmp_path)) == 10
    assert [seq for seq, _ in taken(pending)] == list(range(4, 11))
    assert on_disk(tmp_path) == []


def test_disk_first_has_every_message_on_disk_before_put_returns(tmp_path: Path) -> None:
    pending = MessageQueue(spool=spools(tmp_path), memory_messages=3, always_spool=True)
    for n in range(10):
        pending.put("report_custom_message", made(n))
        assert made(n) in on_disk(tmp_path)[-1]
        if n == 5:
            pending.acknowledge(3)
    assert [seq for seq, _ in taken(pending)] == list(range(4, 11))


STORIES = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(1, 20)),
        st.tuples(st.just("put"), st.integers(1, 20)),
        st.tuples(st.just("take"), st.integers(1, 10)),
        st.tuples(st.just("shelter"), st.just(0)),
        st.tuples(st.just("spill"), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    story=STORIES,
    memory=st.sampled_from([1, 4, 1000]),
    disk=st.sampled_from([300, 1500, 1_000_000]),
    always_spool=st.booleans(),
)
def test_in_every_story_the_numbers_are_consecutive_and_each_has_its_message(
    story: list[tuple[str, int]], memory: int, disk: int, always_spool: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    pending = MessageQueue(spool=spools(folder, max_bytes=disk), memory_messages=memory, always_spool=always_spool)
    kept: list[bytes] = []
    got: list[tuple[int, bytes]] = []
    n = 0
    for what, times in story:
        match what:
            case "put":
                for _ in range(times):
                    n += 1
                    if pending.put("report_custom_message", made(n)):
                        kept.append(made(n))
                assert pending.numbered == len(kept)
            case "take":
                batch = pending.take(messages=times, size=100_000)
                if batch is not None:
                    got += enumerate(batch.bodies, batch.first_seq)
                    pending.acknowledge(batch.first_seq + len(batch.bodies) - 1)
            case "shelter":
                pending.spool_until_acknowledged()
            case _:
                try:
                    pending.spool_all()
                except OSError:
                    assert disk == 300
        assert pending.numbered == len(kept)
    got += taken(pending)
    assert got == list(enumerate(kept, 1))
    assert pending.dropped == n - len(kept)


def test_a_report_in_the_middle_of_a_report_waits_for_its_turn_and_blocks_nomade(tmp_path: Path) -> None:
    """As a signal handler or a finaliser does it: on the same thread, at the worst moment."""
    make = spools(tmp_path)
    interruptions = iter([True, True])

    class Interrupted(Spool):
        def append(self, body: bytes, *, reserve: float = 0.0, read: bool = False) -> bool:
            if next(interruptions, False):
                assert pending.put("report_custom_message", made(100))
                # What cannot go on meanwhile is not waited for.
                assert not pending.wait_for_acknowledgement(through=1, deadline=FAR)
            return super().append(body, reserve=reserve, read=read)

    def interrupted(first: int) -> Spool:
        make(first).discard()
        return Interrupted(tmp_path / "p.ndjson", header=replace(HEADER, first_seq=first), max_bytes=10_000)

    pending = MessageQueue(spool=interrupted, always_spool=True)
    done = threading.Event()

    def report() -> None:
        pending.put("report_custom_message", made(1))
        pending.put("report_custom_message", made(2))
        done.set()

    threading.Thread(target=report, daemon=True).start()
    assert done.wait(10)
    assert [one for _, one in taken(pending)] == [made(1), made(100), made(100), made(2)]
    assert pending.by_method == {"report_custom_message": 4}


def test_log_lines_leave_room_for_reports_and_the_number_dropped_is_told(tmp_path: Path) -> None:
    pending = MessageQueue(spool=spools(tmp_path, max_bytes=4000), memory_messages=8, dropped_note=note)
    for n in range(200):
        pending.put("log", made(n, "log"))
    kept = pending.numbered
    assert pending.dropped_logs == 200 - kept > 0
    for n in range(5):
        assert pending.put("report_asset_check", made(n, "report_asset_check"))
    dropped = pending.dropped_logs
    taken(pending, messages=3)
    # There is room again: the number comes with the next message, and once.
    pending.put("log", made(7, "log"))
    pending.put("log", made(8, "log"))
    assert [one for _, one in taken(pending)] == [made(7, "log"), made(dropped, "log"), made(8, "log")]
    assert pending.dropped == 0
    assert pending.numbered == kept + 5 + 3


def test_the_number_dropped_is_told_at_the_latest_with_the_last_message(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    pending = MessageQueue(spool=spools(tmp_path / "file"), memory_messages=8, dropped_note=note)
    for n in range(10):
        pending.put("log", made(n, "log"))
    assert (pending.numbered, pending.dropped_logs) == (6, 4)
    assert pending.put_closing(lambda ledger: made(ledger.messages, "closed"))
    assert [one for _, one in taken(pending)][-2:] == [made(4, "log"), made(8, "closed")]
    assert pending.dropped == 0


def test_an_acknowledged_half_of_a_full_file_makes_room(tmp_path: Path) -> None:
    pending = MessageQueue(spool=spools(tmp_path, max_bytes=4000), memory_messages=5, always_spool=True)
    numbered = 0
    while pending.put("report_custom_message", made(numbered)):
        numbered += 1
    got: list[bytes] = []
    # Read and acknowledged, but for a few that must survive the writing anew.
    while len(got) < numbered - 5:
        batch = pending.take(messages=5, size=100_000)
        assert batch is not None
        got += batch.bodies
        pending.acknowledge(len(got))
    for n in range(numbered, numbered + 20):
        assert pending.put("report_custom_message", made(n))
    assert (tmp_path / "p.ndjson").stat().st_size <= 4000
    assert list(tmp_path.iterdir()) == [tmp_path / "p.ndjson"]
    got += [one for _, one in taken(pending)]
    assert got == [made(n) for n in range(numbered + 20)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_a_forked_child_lets_go_of_a_file_that_a_thread_of_its_parent_was_reading(tmp_path: Path) -> None:
    reading, read = threading.Event(), threading.Event()

    class Slow(io.FileIO):
        def readinto(self, buffer: object) -> int:
            reading.set()
            read.wait(20)
            return 0

    made_spools: list[Spool] = []

    def slow(first: int) -> Spool:
        spool = spools(tmp_path)(first)
        spool._reader.close()
        spool._reader = cast("io.BufferedReader", io.BufferedReader(Slow(spool.path, "rb")))
        made_spools.append(spool)
        return spool

    pending = MessageQueue(spool=slow, always_spool=True)
    assert pending.put("log", made(1, "log"))
    # Inside the reader, whose own lock a child inherits as held, by a thread that is not there.
    thread = threading.Thread(target=made_spools[0]._reader.read, args=(1,))
    thread.start()
    assert reading.wait(20)
    child = os.fork()
    if child == 0:
        pending.forget_in_child()
        os._exit(0)
    try:
        wait_until(
            lambda: os.waitpid(child, os.WNOHANG) == (child, 0), what="the child to let go of the file", timeout=5
        )
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, 9)
        read.set()
        thread.join()
    pending.acknowledge(1)
    pending.spool_all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork, and no such signals")
def test_a_signal_handler_that_reports_all_the_time_neither_blocks_nor_loses(tmp_path: Path) -> None:
    import signal

    for always_spool in (False, True):
        folder = tmp_path / str(always_spool)
        pending = MessageQueue(spool=spools(folder), always_spool=always_spool)
        fired = 0

        def handle(number: int, frame: object, *, pending: MessageQueue = pending) -> None:
            nonlocal fired
            fired += 1
            pending.put("report_custom_message", made(-fired))

        before = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.0002)
        try:
            sent, until = 0, time.monotonic() + 20
            while fired < 200 and time.monotonic() < until:
                sent += 1
                pending.put("report_custom_message", made(sent))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        assert fired >= 200
        got = taken(pending)
        assert [seq for seq, _ in got] == list(range(1, sent + fired + 1))
        assert sorted(one for _, one in got) == sorted(
            [made(n) for n in range(1, sent + 1)] + [made(-n) for n in range(1, fired + 1)]
        )
        assert pending.by_method == {"report_custom_message": sent + fired}


def test_a_close_in_the_middle_of_a_report_waits_for_no_acknowledgement_that_waits_for_the_report(
    tmp_path: Path,
) -> None:
    """As a signal handler closes, while the delivering thread acknowledges."""
    acknowledging: list[threading.Thread] = []

    def spool(first: int) -> Spool:
        if not acknowledging:
            acknowledging.append(threading.Thread(target=pending.acknowledge, args=(0,), daemon=True))
            acknowledging[0].start()
            # It cannot get on before this report is over.
            acknowledging[0].join(0.2)
            pending.put_closing(lambda ledger: made(ledger.messages, "closed"))
        return spools(tmp_path)(first)

    pending = MessageQueue(spool=spool, always_spool=True)
    report = threading.Thread(target=pending.put, args=("report_custom_message", made(1)), daemon=True)
    report.start()
    report.join(10)
    assert not report.is_alive()
    acknowledging[0].join(10)
    assert [body for _, body in taken(pending)] == [made(1), made(2, "closed")]

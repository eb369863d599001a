"""Children, their output and the context they are given: real processes, no broker."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import random
import signal
import sys
import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from standpipe_orchestrator import AssetKey, ContextData, forwarding_to
from standpipe_orchestrator.launchers import Command, Job, JobEnd, PipeStream, Work
from standpipe_orchestrator.launchers.capture import StreamCapture
from standpipe_orchestrator.launchers.job_thread import JobThread
from standpipe_orchestrator.launchers.local.process_launcher import SubprocessLauncher
from standpipe_orchestrator.reading.forwarded_output import flush_forwarded, forward_bytes
from standpipe_orchestrator.sessions.run_context import context_data_for, logger_of
from standpipe_protocol.context import KeyRange, TimeWindow
from standpipe_protocol.messages import LogExternalStream
from tests.support.waiting import wait_until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and process groups are POSIX's here")


class Pieces:
    def __init__(self) -> None:
        self.messages: list[LogExternalStream] = []

    def __call__(self, message: LogExternalStream) -> None:
        self.messages.append(message)

    @property
    def texts(self) -> list[str]:
        return [message.text for message in self.messages]


def capture(pieces: Pieces, *, forward: bool = False) -> tuple[StreamCapture, io.FileIO]:
    reading, writing = os.pipe()
    stream = PipeStream("stdout", os.fdopen(reading, "rb", buffering=0))
    return StreamCapture(stream, report=pieces, forward=forward), io.FileIO(writing, "wb")


class Child(JobThread):
    """A command of this machine, whose output nothing reads unless a test does."""

    def __init__(self, command: Command, **arguments: Any) -> None:
        work = Work(invocation_id="inv_x", command=command, env={}, bootstrap={})
        super().__init__(lambda: SubprocessLauncher().launch(work), **arguments)


def close_streams(job: Job) -> None:
    for stream in job.output():
        stream.close()


def test_captured_pieces_end_where_lines_end_and_lose_nothing() -> None:
    pieces = Pieces()
    made, pipe = capture(pieces)
    with pipe:
        pipe.write(b"one\ntw")
        wait_until(lambda: pieces.texts == ["one\n"] or len(pieces.texts) > 1, what="the first line")
        pipe.write(b"o\nthree")
    assert made.join(10)
    assert "".join(pieces.texts) == "one\ntwo\nthree"
    assert all("\ufffd" not in text for text in pieces.texts)


def test_a_line_that_does_not_end_is_shown_after_a_moment() -> None:
    pieces = Pieces()
    made, pipe = capture(pieces)
    with pipe:
        pipe.write(b"working ...")
        wait_until(lambda: pieces.texts == ["working ..."], what="the beginning of the line")
    assert made.join(10)
    assert pieces.texts == ["working ..."]


def test_a_character_is_never_split_and_bytes_that_are_none_are_replaced() -> None:
    pieces = Pieces()
    made, pipe = capture(pieces)
    snowman = "☃".encode()
    with pipe:
        pipe.write(b"a\n" + snowman[:1])
        wait_until(lambda: pieces.texts, what="the first line")
        pipe.write(snowman[1:] + b"\n\xff\n" + snowman[:2])
    assert made.join(10)
    assert "".join(pieces.texts) == "a\n☃\n\ufffd\n\ufffd"


def test_output_without_lines_is_cut_into_bounded_pieces() -> None:
    pieces = Pieces()
    made, pipe = capture(pieces)
    with pipe:
        for _ in range(300):
            pipe.write(b"x" * 1000)
    assert made.join(10)
    assert sum(map(len, pieces.texts)) == 300_000
    assert max(map(len, pieces.texts)) <= 64 * 1024


def test_the_tail_is_the_end_of_what_came_and_at_most_4_kb() -> None:
    pieces = Pieces()
    made, pipe = capture(pieces)
    with pipe:
        for number in range(3000):
            pipe.write(f"line {number}\n".encode())
    assert made.join(10)
    assert len(made.tail().encode()) <= 4096
    assert made.tail().endswith("line 2998\nline 2999\n")


def test_forwarded_bytes_are_the_bytes_that_came(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    made, pipe = capture(Pieces(), forward=True)
    with pipe:
        pipe.write(b"\xff\x00 raw\r\nno end")
    assert made.join(10)
    flush_forwarded()
    assert capfdbinary.readouterr().out == b"\xff\x00 raw\r\nno end"


def test_whoever_draws_on_the_terminal_can_take_the_bytes_over() -> None:
    taken: list[tuple[str, bytes]] = []
    with forwarding_to(lambda stream, data: taken.append((stream, data))):
        forward_bytes("stderr", b"x")
    assert taken == [("stderr", b"x")]


def test_an_ended_child_calls_back_and_has_its_exit_code() -> None:
    ended = threading.Event()
    child = Child([sys.executable, "-c", "raise SystemExit(3)"], on_change=ended.set, on_launch=close_streams)
    child.start()
    assert ended.wait(20)
    assert child.wait(10) == child.end == JobEnd(exit_code=3)


def test_ending_a_child_ends_what_it_started_too(tmp_path: Path) -> None:
    ready = tmp_path / "pid"
    # A background job of a shell ignores SIGINT, and would hold the output open.
    command = f"sleep 600 & echo $! > {ready}.part; mv {ready}.part {ready}; wait"
    child = Child(command, on_launch=close_streams)
    child.start()
    grandchild = int(wait_until(lambda: ready.exists() and ready.read_text(), what="the shell's background job"))
    assert child.stop(grace_seconds=10, reason="interrupted") is not None
    wait_until(lambda: _is_gone(grandchild), what="the background job to be gone")


def test_a_child_that_ignores_the_request_is_killed_after_the_grace() -> None:
    program = "import signal, sys, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('on', flush=True); "
    child = Child([sys.executable, "-c", program + "time.sleep(600)"])
    child.start()
    assert child.job is not None
    assert (child.job.output()[0].read(None) or b"").startswith(b"on")
    assert child.stop(grace_seconds=0.2, reason="interrupted") == JobEnd(exit_code=-signal.SIGKILL)
    close_streams(child.job)


def test_a_child_that_was_ended_before_it_was_started_is_not_started(tmp_path: Path) -> None:
    made = tmp_path / "made"
    child = Child(f"touch {made}")
    assert child.stop(grace_seconds=10, reason="interrupted") is None
    child.start()
    assert child.wait() is None
    assert not child.launched
    assert not made.exists()


def test_a_child_whose_start_fails_halfway_is_known_to_run() -> None:
    def fail(job: Job) -> None:
        close_streams(job)
        raise OSError("no thread")

    child = Child("exec sleep 600", on_launch=fail)
    with pytest.raises(RuntimeError, match="was started, and what had to follow failed: no thread"):
        child.start()
    assert child.launched
    assert child.stop(grace_seconds=10, reason="interrupted") is not None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which processes there are")
def test_ctrl_c_at_any_moment_of_a_start_leaves_nothing_running() -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    before, handler, moments = _children(), signal.signal(signal.SIGALRM, interrupt), random.Random(7)
    try:
        for _ in range(200):
            child = Child("exec sleep 600", on_launch=close_streams)
            try:
                signal.setitimer(signal.ITIMER_REAL, moments.uniform(0.0001, 0.004))
                child.start()
                while True:
                    child.wait(0.1)
            except (KeyboardInterrupt, RuntimeError):  # the latter from within Thread.start, which waits for an Event
                # Where SIGINT is ignored (in the background of a shell) it has to be killed.
                child.stop(grace_seconds=0.1, reason="interrupted")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    wait_until(lambda: _children() <= before, what=lambda: f"{_children() - before} to be gone")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells which processes there are")
def test_a_second_ctrl_c_while_it_still_starts_leaves_nothing_running_either() -> None:
    slow, times = threading.Event(), 0

    def interrupt(number: int, frame: object) -> None:
        nonlocal times
        times += 1
        if times <= 3:
            raise KeyboardInterrupt
        slow.set()

    def start_slowly(job: Job) -> None:
        slow.wait()
        close_streams(job)

    before, handler = _children(), signal.signal(signal.SIGALRM, interrupt)
    child = Child("exec sleep 600", on_launch=start_slowly)
    try:
        # The first comes to `start`, the second to `stop`, the third to the `kill` in it.
        signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
        with pytest.raises(KeyboardInterrupt):
            child.start()
        with pytest.raises(KeyboardInterrupt):
            child.stop(grace_seconds=600, reason="interrupted")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)
    wait_until(lambda: _children() <= before, what=lambda: f"{_children() - before} to be gone")


def _children() -> set[int]:
    """Of this process, those that are not over."""
    found = set[int]()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            if int(parent) == os.getpid() and state != "Z":
                found.add(int(stat.parent.name))
    return found


def test_context_data_is_taken_as_it_is_and_extras_added() -> None:
    given = ContextData(asset_keys=("a",), run_id="r", extras={"x": 1, "y": 1})
    assert context_data_for(given, {"y": 2}) == ContextData(asset_keys=("a",), run_id="r", extras={"x": 1, "y": 2})
    assert context_data_for(None, {"y": 2}) == ContextData(run_id="EPHEMERAL", extras={"y": 2})


@dataclass
class SomebodyElsesContext:
    """A context with upstream's attributes, outside a partitioned run."""

    run_id: str = "r"
    job_name: str = "job"
    retry_number: int = 2
    asset_keys: tuple[AssetKey, ...] = (AssetKey("b"), AssetKey(["a", "x/y"]))
    has_partition_key: bool = False

    @property
    def partition_key(self) -> str:
        raise AssertionError("asked for the partition key of a run without one")


def test_a_context_of_somebody_elses_is_read_by_its_attributes() -> None:
    assert context_data_for(SomebodyElsesContext(), None) == ContextData(
        asset_keys=(r"a/x\/y", "b"), run_id="r", job_name="job", retry_number=2
    )

    @dataclass
    class Window:
        start: datetime
        end: datetime

    class Partitioned:
        run_id = "r"
        has_partition_key = True
        partition_key = "2024-01"
        partition_time_window = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))
        code_version_by_asset_key = {AssetKey("a"): "v1"}  # noqa: RUF012
        log = logging.getLogger("theirs")

    data = context_data_for(Partitioned(), None)
    assert data.partition_key_range == KeyRange(start="2024-01", end="2024-01")
    assert data.partition_time_window == TimeWindow(start="2024-01-01T00:00:00+00:00", end="2024-02-01T00:00:00+00:00")
    assert data.code_version_by_asset_key == {"a": "v1"}
    assert logger_of(Partitioned()).name == "theirs"


def test_extras_that_json_cannot_carry_and_a_context_without_a_run_are_refused() -> None:
    with pytest.raises(TypeError, match="Invalid type for extra 'when'"):
        context_data_for(None, {"when": datetime(2024, 1, 1, tzinfo=UTC)})
    with pytest.raises(TypeError, match=r"The context given \(object\) has no `run_id`"):
        context_data_for(object(), None)  # type: ignore[arg-type]


def _is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # A zombie whose parent has not looked yet is gone as well.
    stat = Path(f"/proc/{pid}/stat")
    try:
        return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True

"""Children that multiprocessing and its like start: what ends in order closes by itself, what raises says so.

`STANDPIPE_TEST_PYTHON` names another interpreter that has the SDK, for the programs here.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from standpipe.spool.creation import SUFFIX
from tests.support.processes import child_environment, run
from tests.support.server import Server
from tests.support.wire import Job, Json, register

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows can only spawn")

PYTHON = os.environ.get("STANDPIPE_TEST_PYTHON", sys.executable)
METHODS = ("fork", "spawn", "forkserver")


@pytest.fixture
def job(shared_sqlite_server: Server) -> Job:
    return register(shared_sqlite_server, context={}, launcher={"kind": "test"})


def run_program(job: Job, tmp_path: Path, script: str, *, check: bool = True) -> Json:
    """Runs a program as a file, as `spawn` wants it, and answers how its invocation ended."""
    path = tmp_path / "program.py"
    path.write_text(script)
    environment = child_environment(dict(job.registered["env"]), home=tmp_path / "home")
    done = run([PYTHON, "-W", "ignore", path], env=environment, check=check)
    # As launchers do: on a busy machine the last word of a worker that was terminated may be on disk.
    if any((tmp_path / "home").rglob(f"*{SUFFIX}")):
        run([PYTHON, "-m", "standpipe.cli", "deliver"], env=environment)
    return job.finish(exit_code=done.returncode)


def verdict(ended: Json) -> tuple[str, list[str]]:
    return ended["verdict"], sorted({reason["code"] for reason in ended["reasons"]})


def openings(job: Job) -> dict[str, Json]:
    events = job.events()
    return {event["producer"]: event["params"]["extras"] for event in events if event["method"] == "opened"}


def payloads(job: Job) -> list[object]:
    return [e["params"]["payload"] for e in job.events() if e["method"] == "report_custom_message"]


PROCESSES = """
import multiprocessing, os, sys
from standpipe import open_pipes

def work(n):
    open_pipes().report_custom_message(n)
    if n == 2:
        {ending}

if __name__ == "__main__":
    with open_pipes() as context:
        workers = [multiprocessing.get_context({method!r}).Process(target=work, args=(n,)) for n in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        context.report_custom_message("parent")
"""


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ending", ["pass", "sys.exit()", "sys.exit(0)"])
def test_workers_that_end_in_order_close_by_themselves(job: Job, tmp_path: Path, method: str, ending: str) -> None:
    ended = run_program(job, tmp_path, PROCESSES.format(method=method, ending=ending))
    assert verdict(ended) == ("succeeded", [])
    assert sorted(map(str, payloads(job))) == ["0", "1", "2", "parent"]
    # A child may be faster than its parent.
    (parent,) = (producer for producer, extras in openings(job).items() if "parent" not in extras)
    assert [extras["parent"] for producer, extras in openings(job).items() if producer != parent] == [parent] * 3


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("ending", "name"), [("raise ValueError('no such day')", "ValueError"), ("sys.exit(3)", "SystemExit")]
)
def test_a_worker_that_raises_says_so(job: Job, tmp_path: Path, method: str, ending: str, name: str) -> None:
    ended = run_program(job, tmp_path, PROCESSES.format(method=method, ending=ending))
    assert verdict(ended) == ("failed", ["exception"])
    assert [reason["exception"]["name"] for reason in ended["reasons"]] == [name]
    assert sorted(map(str, payloads(job))) == ["0", "1", "2", "parent"]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("ending", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_worker_that_leaves_without_a_word_is_missed(job: Job, tmp_path: Path, method: str, ending: str) -> None:
    ended = run_program(job, tmp_path, PROCESSES.format(method=method, ending=ending))
    assert verdict(ended) == ("incomplete", ["never-closed"])


def test_what_is_handled_while_a_worker_is_forked_is_no_exception_of_the_worker(job: Job, tmp_path: Path) -> None:
    script = """
import multiprocessing
from standpipe import open_pipes

with open_pipes() as context:
    def work():
        context.report_custom_message("worker")

    try:
        raise KeyError("tried once")
    except KeyError:
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
"""
    assert verdict(run_program(job, tmp_path, script)) == ("succeeded", [])
    assert payloads(job) == ["worker"]


POOL = """
import multiprocessing
from standpipe import open_pipes

def work(n):
    open_pipes().report_custom_message(n)
    return n * n

if __name__ == "__main__":
    {block}
"""
BLOCKS = {
    "inside": """with open_pipes() as context:
        with multiprocessing.get_context({method!r}).Pool(2) as pool:
            context.report_custom_message(sum(pool.map(work, range(6))))
""",
    "early": """pool = multiprocessing.get_context({method!r}).Pool(2)
    with open_pipes() as context:
        with pool:
            context.report_custom_message(sum(pool.map(work, range(6))))
""",
    "around": """with multiprocessing.get_context({method!r}).Pool(2) as pool:
        with open_pipes() as context:
            context.report_custom_message(sum(pool.map(work, range(6))))
""",
    "closed": """with open_pipes() as context:
        pool = multiprocessing.get_context({method!r}).Pool(2)
        context.report_custom_message(sum(pool.map(work, range(6))))
        pool.close()
        pool.join()
""",
    "executor": """from concurrent.futures import ProcessPoolExecutor
    with open_pipes() as context:
        with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context({method!r})) as pool:
            context.report_custom_message(sum(pool.map(work, range(6))))
""",
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("block", BLOCKS.values(), ids=BLOCKS)
def test_a_pool_whose_work_is_done_is_green(job: Job, tmp_path: Path, method: str, block: str) -> None:
    ended = run_program(job, tmp_path, POOL.format(block=block.format(method=method)))
    assert verdict(ended) == ("succeeded", [])
    assert sorted(map(str, payloads(job))) == ["0", "1", "2", "3", "4", "5", "55"]
    # Also a worker that was there before its parent opened says whose child it is.
    (parent,) = (producer for producer, extras in openings(job).items() if "parent" not in extras)
    assert {extras["parent"] for extras in openings(job).values() if "parent" in extras} == {parent}


SUBPROCESS = """
import subprocess, sys
from standpipe import open_pipes
CHILD = '''
import sys
from standpipe import open_pipes
def main():
    open_pipes().report_custom_message("child")
    {ending}
if __name__ == "__main__":
    main()
'''
with open_pipes() as context:
    subprocess.run([sys.executable, "-c", CHILD])
"""


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("pass", ("succeeded", [])),
        ("raise ValueError('in the child')", ("failed", ["exception"])),
        # What its exit code was nobody here knows.
        ("sys.exit(1)", ("incomplete", ["never-closed"])),
    ],
)
def test_a_child_that_nobody_closes_is_closed_only_when_it_ran_to_its_end(
    job: Job, tmp_path: Path, ending: str, expected: tuple[str, list[str]]
) -> None:
    assert verdict(run_program(job, tmp_path, SUBPROCESS.format(ending=ending))) == expected
    assert payloads(job) == ["child"]


def test_marks_say_whose_child_a_process_is_and_go_with_their_contexts(job: Job, tmp_path: Path) -> None:
    script = """
import os, subprocess, sys
from standpipe import open_pipes

def below(*, depth):
    code = "import program; program.level(%d)" % depth
    subprocess.run([sys.executable, "-c", code], check=True, cwd=os.path.dirname(__file__))

def level(depth):
    if depth == 1:
        below(depth=2)  # opens nothing itself: its child is a child of the one above it
        return
    with open_pipes() as context:
        context.report_custom_message(depth)
        if depth == 0:
            below(depth=1)
        if depth == 2 and not os.environ.get("AGAIN"):
            # The same process, run anew: what it had open is not above it.
            os.environ["AGAIN"] = "1"
            context.close()
            os.execv(sys.executable, [sys.executable, "-c", "import program; program.level(2)"])

if __name__ == "__main__":
    # The mark of another invocation says nothing of this one.
    os.environ["STANDPIPE_PARENT"] = "inv_other/py-other/1/1"
    level(0)
    assert os.environ["STANDPIPE_PARENT"] == "inv_other/py-other/1/1"
"""
    assert verdict(run_program(job, tmp_path, script)) == ("succeeded", [])
    first, *others = openings(job).items()
    assert "parent" not in first[1]
    assert [extras["parent"] for _, extras in others] == [first[0], first[0]]


def test_a_process_that_inherits_a_mark_and_never_opens_is_not_missed(job: Job, tmp_path: Path) -> None:
    script = """
import subprocess, sys
from standpipe import open_pipes
with open_pipes():
    subprocess.run([sys.executable, "-c", "import os, standpipe; os._exit(1)"])
"""
    assert verdict(run_program(job, tmp_path, script)) == ("succeeded", [])


@pytest.mark.skipif(not Path("/proc/self/syscall").exists(), reason="Where a thread waits is read from Linux's /proc")
def test_a_worker_that_waits_in_c_ends_by_a_signal_that_only_its_flag_knows_of(job: Job, tmp_path: Path) -> None:
    # Python notes a signal and runs its handler later. Between its last look and a wait that no signal interrupts any
    # more, one is noted only: as here, where another thread takes it.
    script = """
import multiprocessing, os, signal, sys, threading, time
from standpipe import open_pipes

def is_waiting(main):
    with open(f"/proc/self/task/{main}/syscall") as file:
        return file.read().split()[0] == FUTEX

def note():
    frames, main = sys._current_frames, threading.main_thread()
    while frames()[main.ident].f_code.co_name != "wait_for_ever" or not is_waiting(main.native_id):
        time.sleep(0.01)
    signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

def wait_for_ever():
    multiprocessing.Semaphore(0).acquire()

def work():
    with open_pipes() as context:
        context.report_custom_message("waits")
        context.flush(30)
        threading.Thread(target=note, daemon=True).start()
        wait_for_ever()

FUTEX = "202" if os.uname().machine == "x86_64" else "98"

if __name__ == "__main__":
    with open_pipes() as context:
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
        assert worker.exitcode == -signal.SIGTERM
"""
    ended = run_program(job, tmp_path, script)
    # Its parent closed after it, without an exception.
    assert verdict(ended) == ("succeeded", [])
    assert [note["code"] for note in ended["notes"]] == ["child-terminated"]
    assert payloads(job) == ["waits"]


def test_between_two_pieces_of_work_a_worker_is_idle_wherever_it_stands(job: Job, tmp_path: Path) -> None:
    # Each line that the loop of a pool's worker comes to is asked for, as a signal may come at any.
    script = """
import json, linecache, multiprocessing, sys
from standpipe import open_pipes
from standpipe.lifecycle.orderly_exit import is_idle_worker

seen = []

def look(frame, event, argument):
    if event == "line":
        line = linecache.getline(frame.f_code.co_filename, frame.f_lineno).strip()
        seen.append([line, is_idle_worker(frame)])
    return look

def watch():
    sys.settrace(lambda *about: None)
    sys._getframe(1).f_trace = look

def work(n):
    return list(seen)

if __name__ == "__main__":
    with open_pipes() as context:
        with multiprocessing.get_context("fork").Pool(1, watch) as pool:
            pool.map(work, [1])
            context.report_custom_message(pool.map(work, [2])[0])
"""
    assert verdict(run_program(job, tmp_path, script)) == ("succeeded", [])
    (lines,) = payloads(job)
    assert isinstance(lines, list)
    whole = [line for line, _ in lines]
    first, second = (index for index, line in enumerate(whole) if line.startswith("result = (True, func("))
    begins = whole.index("job, i, func, args, kwds = task", first)
    after = next(index for index, line in enumerate(whole) if index > first and line.startswith("put("))
    # The line before `begins` asks whether this was the last: the next piece has been taken by then.
    between = [done for _, done in lines[after : begins - 1]]
    assert between
    assert all(between)
    assert not any(done for _, done in lines[begins : second + 1])


def test_what_is_handled_at_the_end_of_a_worker_is_no_exception_of_its_work(job: Job, tmp_path: Path) -> None:
    # As in the middle of an import that looks for a module which is not installed.
    script = """
import multiprocessing, multiprocessing.util, os, signal
from standpipe import open_pipes

def leave():
    try:
        raise ImportError("not installed")
    except ImportError:
        os.kill(os.getpid(), signal.SIGTERM)

def work():
    open_pipes().report_custom_message("done")
    multiprocessing.util.Finalize(None, leave, exitpriority=1)

if __name__ == "__main__":
    with open_pipes() as context:
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
        assert worker.exitcode == -signal.SIGTERM
"""
    ended = run_program(job, tmp_path, script)
    assert verdict(ended) == ("succeeded", [])
    assert ended["notes"] == []
    assert payloads(job) == ["done"]


def test_work_in_a_greenlet_that_is_terminated_is_not_taken_for_done(job: Job, tmp_path: Path) -> None:
    script = """
import multiprocessing, os, signal
from greenlet import greenlet
from standpipe import open_pipes

def work():
    open_pipes().report_custom_message("begun")
    greenlet(lambda: os.kill(os.getpid(), signal.SIGTERM)).switch()

if __name__ == "__main__":
    with open_pipes() as context:
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
        worker.join()
"""
    if run([PYTHON, "-c", "import greenlet"], check=False).returncode:
        pytest.skip("greenlet is not installed there")
    ended = run_program(job, tmp_path, script)
    assert [note["code"] for note in ended["notes"]] == ["child-terminated"]

"""SIGTERM that comes while the main thread is between two steps of an import.

`STANDPIPE_TEST_PYTHON` names another interpreter that has the SDK, for the programs here.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from standpipe.testing import recording_broker
from tests.support.processes import PYTHON, Process, child_environment, run
from tests.support.server import Server
from tests.support.wire import register

SCRIPT = """
import os, signal, sys, threading
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from standpipe import open_pipes

NAME = "standpipe.exceptions"  # what closing imports, too

class Slow(MetaPathFinder, Loader):
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self) if name == NAME else None

    def exec_module(self, module):
        # The other thread is in the middle of it, and goes on to a module of its own.
        imports.set()
        locked.wait()
        import colorsys
        sys.meta_path.remove(self)
        del sys.modules[NAME]
        import standpipe.exceptions as real
        vars(module).update(vars(real))

def in_lock(frame, event, argument):
    if event == "line" and frame.f_locals["name"] == "wave":
        lines.append(frame.f_lineno)
        if len(lines) == 2:  # the first has taken the lock that every import takes
            locked.set()
            os.kill(os.getpid(), signal.SIGTERM)
    return in_lock

def call(frame, event, argument):
    return in_lock if frame.f_code.co_name == "_get_module_lock" else None

lines, imports, locked = [], threading.Event(), threading.Event()
with open_pipes() as context:
    context.report_custom_message("before")
    context.flush(30)
    sys.modules.pop(NAME, None)
    sys.meta_path.insert(0, Slow())
    threading.Thread(target=__import__, args=(NAME,), daemon=True).start()
    imports.wait()
    sys.settrace(call)
    import wave
    sys.settrace(None)
    signal.pause()
"""


def test_it_waits_until_the_import_has_let_go_of_its_lock(sqlite_server: Server, tmp_path: Path) -> None:
    job = register(sqlite_server, context={}, launcher={"kind": "test"})
    environment = child_environment(dict(job.registered["env"]), home=tmp_path / "home")
    with Process([PYTHON, "-c", SCRIPT], log=tmp_path / "log", env=environment) as process:
        assert process.wait() == -signal.SIGTERM
    closed = job.events()[-1]
    assert closed["method"] == "closed"
    assert closed["params"]["exception"]["name"] == "SIGTERM"


def test_signals_that_come_one_after_another_end_a_worker(tmp_path: Path) -> None:
    script = """
import multiprocessing, os, signal, sys
from standpipe import take_sigterm

def work(ready):
    take_sigterm()
    ready.send(True)
    signal.pause()

if __name__ == "__main__":
    for _ in range(150):
        here, there = multiprocessing.Pipe()
        worker = multiprocessing.get_context("fork").Process(target=work, args=(there,))
        worker.start()
        here.recv()
        for count in range(6):
            os.kill(worker.pid, signal.SIGTERM)
            for _ in range(50 * count):
                pass
        worker.join(10)
        if worker.is_alive():
            worker.kill()
            sys.exit("A worker did not end.")
"""
    # A warning that a signal came twice is Python's.
    run([PYTHON, "-W", "ignore", "-c", script], env=child_environment(home=tmp_path / "home"))


def test_a_worker_that_waits_long_for_an_import_is_closed_in_full(tmp_path: Path) -> None:
    script = """
import multiprocessing, os, signal, sys, threading, time
from standpipe import open_pipes

def work():
    context = open_pipes()
    context.report_custom_message("before")
    context.flush(30)
    threading.Thread(target=__import__, args=("slow",), daemon=True).start()
    while "slow" not in sys.modules:
        time.sleep(0.01)
    print("imports", os.getpid(), flush=True)
    import slow
    signal.pause()

if __name__ == "__main__":
    worker = multiprocessing.get_context("fork").Process(target=work)
    worker.start()
    worker.join()
    assert worker.exitcode == -15
"""
    (tmp_path / "slow.py").write_text("import time\ntime.sleep(1)\n")
    with recording_broker() as broker:
        environment = child_environment({**broker.environment(), "PYTHONPATH": str(tmp_path)}, home=tmp_path / "home")
        with Process([PYTHON, "-W", "ignore", "-c", script], log=tmp_path / "log", env=environment) as process:
            process.wait_for_output("imports")
            # The last word takes its time, in which nothing may end the process.
            broker.stop()
            os.kill(int(process.output().split("imports ")[1].split()[0]), signal.SIGTERM)
            assert process.wait() == 0
        broker.start()
        run([PYTHON, "-m", "standpipe.cli", "deliver"], env=environment)
        assert broker.closed is not None
        assert broker.closed.exception is not None

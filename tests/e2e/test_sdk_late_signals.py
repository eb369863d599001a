"""SIGTERM that comes while the main thread is between two steps of an import.

`STANDPIPE_TEST_PYTHON` names another interpreter that has the SDK, for the programs here.
"""

from __future__ import annotations

import signal
from pathlib import Path

from tests.support.processes import PYTHON, Process, child_environment
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

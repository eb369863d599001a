"""Programs in a subinterpreter, as mod_wsgi and embedding applications run them: reporting works, or breaks nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.processes import child_environment, run

# Runs CODE in a subinterpreter of its own, in the main thread or in another one, and says what the broker has got.
RUNS = """
import signal, sys, threading
from standpipe.testing import recording_broker
kind, where, code = sys.argv[1:]
try:
    import _interpreters
    create = lambda: _interpreters.create("isolated" if kind == "isolated" else "legacy")
    def execute(identity, text):
        failure = _interpreters.exec(identity, text)
        if failure is not None:
            sys.exit(failure.errdisplay)
    destroy = _interpreters.destroy
except ImportError:
    import _xxsubinterpreters
    create = lambda: _xxsubinterpreters.create(isolated=kind == "isolated")
    execute, destroy = _xxsubinterpreters.run_string, _xxsubinterpreters.destroy
with recording_broker(extras={"day": 29}) as broker:
    before = f"import os, sys\\nos.environ.update({dict(broker.environment())!r})\\nsys.path[:] = {sys.path!r}\\n"
    identity = create()
    failures = []
    def work():
        try:
            execute(identity, before + code)
        except BaseException as error:
            failures.append(error)
        # Before 3.12 it cannot be ended while one of its threads is on its way out.
        for _ in range(400):
            try:
                return destroy(identity)
            except RuntimeError:
                threading.Event().wait(0.02)
    if where == "thread":
        running = threading.Thread(target=work)
        running.start()
        running.join()
    else:
        work()
    if failures:
        raise failures[0]
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    print(*broker.methods)
"""
REPORTS = """
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message(context.get_extra("day"))
"""
ONLY_REPORTS = """
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message(29)
"""
FORGETS_TO_CLOSE = """
from standpipe import open_pipes
open_pipes().report_custom_message(29)
"""
IN_A_THREAD_OF_ITS_OWN = """
import threading
from standpipe import open_pipes
def work():
    with open_pipes() as context:
        context.report_custom_message(context.get_extra("day"))
thread = threading.Thread(target=work)
thread.start()
thread.join()
"""
ALL = "opened report_custom_message closed"


def methods(kind: str, code: str, *, where: str = "main", home: Path) -> str:
    env = child_environment({"STANDPIPE_HOME": str(home), "STANDPIPE_CLOSE_TIMEOUT": "20"})
    return run([sys.executable, "-c", RUNS, kind, where, code], env=env).stdout.strip()


@pytest.mark.parametrize("where", ["main", "thread"])
@pytest.mark.parametrize("code", [REPORTS, IN_A_THREAD_OF_ITS_OWN], ids=["plain", "thread"])
def test_a_program_in_a_subinterpreter_reports_as_any_other(tmp_path: Path, code: str, where: str) -> None:
    assert methods("shared", code, where=where, home=tmp_path) == ALL


@pytest.mark.skipif(sys.version_info < (3, 12), reason="its end cannot be asked for before that of its threads")
def test_what_a_subinterpreter_leaves_open_is_delivered_at_its_end(tmp_path: Path) -> None:
    assert methods("shared", FORGETS_TO_CLOSE, home=tmp_path) == "opened report_custom_message"


@pytest.mark.skipif(sys.version_info < (3, 13), reason="an isolated one had no threads, and crashed")
@pytest.mark.parametrize("code", [REPORTS, FORGETS_TO_CLOSE], ids=["plain", "open"])
def test_a_program_in_an_isolated_one_reports_and_ends(tmp_path: Path, code: str) -> None:
    assert methods("isolated", code, home=tmp_path).startswith("opened report_custom_message")


@pytest.mark.skipif(sys.version_info >= (3, 12), reason="from 3.12 on an isolated one has threads")
def test_where_there_are_no_threads_reports_wait_on_disk_and_the_program_goes_on(tmp_path: Path) -> None:
    assert methods("isolated", ONLY_REPORTS, home=tmp_path) == ""


def test_sigterm_cannot_be_taken_there_and_a_sentence_says_so(tmp_path: Path) -> None:
    code = """
from standpipe import DagsterPipesError, take_sigterm
try:
    take_sigterm()
except DagsterPipesError as error:
    assert "subinterpreter" in str(error), error
else:
    raise AssertionError("taken")
"""
    assert methods("shared", code, home=tmp_path) == ""

"""The client in forked children: each is a producer of its own that opens, delivers and closes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from standpipe.testing import RecordingBroker, recording_broker
from tests.support.processes import PYTHON, child_environment, complaints, run, run_python

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker(asset_keys=["orders"], extras={"foo": "bar"}) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def environment(broker: RecordingBroker, home: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    ours = {**broker.environment(), **(extra or {})}
    # A warning in the client is an error here too.
    return child_environment(ours, home=home, warnings="error")


def test_a_forked_child_is_a_producer_of_its_own(broker: RecordingBroker, home: Path) -> None:
    script = """
import os, sys
from standpipe import open_pipes
context = open_pipes()
context.report_custom_message("parent before")
children = []
for n in range(3):
    pid = os.fork()
    if pid == 0:
        for k in range(50):
            context.report_custom_message([n, k])
        sys.exit(0)
    children.append(pid)
for pid in children:
    assert os.waitpid(pid, 0)[1] == 0
context.report_custom_message("parent after")
context.close()
"""
    env = environment(broker, home)
    env["PYTHONWARNINGS"] = "error,default:This process:DeprecationWarning"
    run_python("-c", script, env=env)
    by_producer: dict[str, list[object]] = {}
    for one in broker.messages:
        if one.method == "report_custom_message":
            by_producer.setdefault(one.producer, []).append(one.params["payload"])
    # Not the first message's: a child may be faster than its parent.
    parent = next(one.producer for one in broker.messages if one.params.get("payload") == "parent before")
    assert by_producer.pop(parent) == ["parent before", "parent after"]
    assert sorted(map(str, by_producer.values())) == sorted(str([[n, k] for k in range(50)]) for n in range(3))
    # Each opens with its first report and closes at its orderly end, though only the parent was asked to.
    assert broker.methods.count("opened") == broker.methods.count("closed") == 4


def test_a_child_forked_at_once_does_not_hang_on_a_half_done_import(broker: RecordingBroker, home: Path) -> None:
    script = """
import os, sys
from standpipe import open_pipes
context = open_pipes()
pid = os.fork()
if pid == 0:
    assert context.get_extra("foo") == "bar"
    context.report_custom_message("child")
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
context.close()
"""
    env = environment(broker, home)
    env["PYTHONWARNINGS"] = "error,default:This process:DeprecationWarning"
    run_python("-c", script, env=env)
    assert broker.custom_messages == ["child"]


def test_workers_of_a_pool_report_and_lose_nothing(broker: RecordingBroker, home: Path, tmp_path: Path) -> None:
    script = """
import multiprocessing
from standpipe import PipesContext, open_pipes

def work(n):
    PipesContext.get().report_custom_message(n)

if __name__ == "__main__":
    with open_pipes() as context:
        workers = [multiprocessing.get_context("fork").Process(target=work, args=(n,)) for n in range(4)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
            assert worker.exitcode == 0
"""
    path = tmp_path / "pool.py"
    path.write_text(script)
    env = environment(broker, home)
    env["PYTHONWARNINGS"] = "error,default:This process:DeprecationWarning"
    run_python(path, env=env)
    assert sorted(map(str, broker.custom_messages)) == ["0", "1", "2", "3"]
    assert broker.methods[-1] == "closed"


def test_a_child_that_leaves_the_block_by_an_exception_reports_it(broker: RecordingBroker, home: Path) -> None:
    script = """
import os
from standpipe import open_pipes
with open_pipes() as context:
    pid = os.fork()
    if pid == 0:
        raise ValueError("in the child")
    os.waitpid(pid, 0)
"""
    env = environment(broker, home)
    env["PYTHONWARNINGS"] = "error,default:This process:DeprecationWarning"
    run([PYTHON, "-c", script], env=env)
    exceptions = [one.params.get("exception") for one in broker.messages if one.method == "closed"]
    assert len(exceptions) == 2
    assert [isinstance(exception, dict) for exception in exceptions] == [True, False]


def test_a_child_that_is_terminated_as_soon_as_it_is_forked_ends(broker: RecordingBroker, home: Path) -> None:
    script = """
import os, signal
from standpipe import open_pipes

with open_pipes():
    for _ in range(100):
        child = os.fork()
        if not child:
            signal.pause()
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ()), "what was blocked for the fork is let through again"
"""
    run_python("-c", script, env=environment(broker, home))
    assert broker.methods == ("opened", "closed")


def test_idle_workers_that_a_pool_terminates_say_nothing(broker: RecordingBroker, home: Path) -> None:
    script = """
import multiprocessing
from standpipe import open_pipes

def square(n):
    return n * n

with open_pipes() as context:
    assert context.flush(30)
    with multiprocessing.get_context("fork").Pool(3) as pool:
        context.report_custom_message(sum(pool.map(square, range(10))))
"""
    done = run_python("-c", script, env=environment(broker, home))
    assert complaints(done.stderr) == ""
    assert broker.methods == ("opened", "report_custom_message", "closed")
    assert broker.closed is not None
    assert broker.closed.exception is None

"""Workers in which gevent makes threads greenlets: whatever was opened before the patch, reports arrive and return."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from standpipe.testing import recording_broker
from tests.support.processes import child_environment, run_python
from tests.support.server import Server
from tests.support.wire import register

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")

# As `gunicorn --preload -k gevent` does it.
PRELOADED = """
import os, sys
from standpipe import open_pipes
context = open_pipes()
context.log.info("in the master")
assert context.flush(20)
workers = []
for number in range(2):
    pid = os.fork()
    if pid == 0:
        from gevent import monkey
        monkey.patch_all()
        context.report_custom_message(number)
        sys.exit(0)
    workers.append(pid)
assert [os.waitpid(pid, 0)[1] for pid in workers] == [0, 0]
context.close()
"""
PRELOADED_MODULES = """
import os, sys
from standpipe import open_pipes
import standpipe.delivery.outbox
pid = os.fork()
if pid == 0:
    from gevent import monkey
    monkey.patch_all()
    with open_pipes() as context:
        context.report_custom_message(0)
        context.report_custom_message(1)
    os._exit(0)
assert os.waitpid(pid, 0)[1] == 0
"""
PATCHED_FIRST = """
from gevent import monkey
monkey.patch_all()
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message(0)
    context.report_custom_message(1)
"""
GREENLETS = """
import os, sys
from standpipe import open_pipes
context = open_pipes()
assert context.flush(20)
pid = os.fork()
if pid == 0:
    from gevent import monkey
    monkey.patch_all()
    import gevent
    gevent.joinall([gevent.spawn(context.report_custom_message, n) for n in range(50)], raise_error=True)
    assert context.flush(20)
    # The heart beats while the work waits.
    gevent.sleep(1.5)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
context.close()
"""


@pytest.mark.parametrize(
    "script", [PRELOADED, PRELOADED_MODULES, PATCHED_FIRST], ids=["preloaded", "modules", "patched-first"]
)
def test_reports_of_a_worker_with_greenlets_return_and_arrive(
    shared_sqlite_server: Server, tmp_path: Path, script: str
) -> None:
    job = register(shared_sqlite_server, context={}, launcher={"kind": "test"})
    run_python("-c", script, env=child_environment(dict(job.registered["env"]), home=tmp_path / "home"), timeout=45)
    ended = job.finish(exit_code=0)
    payloads = [event["params"]["payload"] for event in job.events() if event["method"] == "report_custom_message"]
    assert sorted(payloads) == [0, 1]
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])
    assert list((tmp_path / "home").rglob("*.ndjson")) == []


def test_greenlets_share_one_sequence_and_one_heart(tmp_path: Path) -> None:
    with recording_broker(lease_seconds=1.0) as broker:
        run_python("-c", GREENLETS, env=child_environment(broker.environment(), home=tmp_path / "home"), timeout=45)
        assert sorted(int(str(one)) for one in broker.custom_messages) == list(range(50))
        child = next(one.producer for one in broker.messages if one.method == "report_custom_message")
        of_child = [one.seq for one in broker.messages if one.producer == child]
        assert of_child == list(range(1, 53))
        assert any(beat["producer"] == child for beat in broker.heartbeats)
        assert broker.rejected == ()

"""The ledger that the client sends is the one that the server comes to from what it has stored."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.processes import PYTHON, Process, child_environment, run
from tests.support.server import Server
from tests.support.wire import Job, Json, register


def only_producer(ended: Json) -> Json:
    (producer,) = ended["receipt"]["producers"]
    return producer


def told(job: Job) -> Json:
    """The ledger in the only `closed`."""
    (closed,) = job.server.http.get(f"{job.path}/events", params={"method": "closed"}).json()["items"]
    return closed["params"]["ledger"]


@pytest.mark.parametrize("reports", [1, 7_000])
def test_the_sum_over_everything_agrees(server: Server, tmp_path: Path, reports: int) -> None:
    script = f"""
from standpipe import open_pipes
with open_pipes() as context:
    for n in range({reports}):
        context.report_custom_message({{"n": n, "text": "é\\u2028\\x00" * (n % 50)}})
    context.report_custom_message("half a pair: \\ud800, and a whole one: \\U0001f600")
    context.report_asset_materialization(asset_key="a", metadata={{"nan": float("nan"), "large": 10**40}})
"""
    job = register(server, launcher={"kind": "test"})
    run([PYTHON, "-c", script], env=child_environment(dict(job.registered["env"]), home=tmp_path))
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])
    assert ended["receipt"]["whole"] is True
    assert only_producer(ended)["ledger"] == "agrees"
    assert len(told(job)["sha256"]) == 64


def test_the_sum_agrees_where_some_of_it_waited_on_disk(sqlite_server: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = f"""
import os, time
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message("before")
    assert context.flush(30)
    print("opened", flush=True)
    while not os.path.exists({str(go)!r}):
        time.sleep(0.01)
    for n in range(3000):
        context.report_custom_message("x" * 1000)
"""
    job = register(sqlite_server, launcher={"kind": "test"})
    environment = child_environment(dict(job.registered["env"]), home=tmp_path) | {"STANDPIPE_CLOSE_TIMEOUT": "0.2"}
    with Process([PYTHON, "-c", script], log=tmp_path / "log", env=environment) as process:
        process.wait_for_output("opened")
        sqlite_server.kill9()
        go.touch()
        assert process.wait() == 0
    sqlite_server.restart()
    run([PYTHON, "-m", "standpipe.cli", "deliver"], env=environment)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])
    assert only_producer(ended)["ledger"] == "agrees"
    assert len(told(job)["sha256"]) == 64


def test_lines_that_were_dropped_are_in_the_receipt(sqlite_server: Server, tmp_path: Path) -> None:
    """Memory for a hundred messages and no disk: what floods is dropped and counted, and the reports are all there."""
    job: Job = register(sqlite_server, launcher={"kind": "test"})
    script = """
from standpipe.delivery.outbox import Outbox
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.messages import Closed, Log, Opened, ReportCustomMessage
import os
outbox = Outbox.connect(Bootstrap.from_environment(os.environ), memory_messages=100)
outbox.send(Opened())
for n in range(20_000):
    outbox.send(Log(message="flood", level="INFO"))
outbox.send(ReportCustomMessage(payload="kept"))
outbox.send(Closed())
print(outbox.close(60).undelivered)
"""
    environment = child_environment(dict(job.registered["env"]), home=tmp_path)
    done = run([PYTHON, "-c", script], env=environment | {"STANDPIPE_SPOOL_BYTES": "0"})
    assert done.stdout == "0\n"
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "succeeded"
    producer = only_producer(ended)
    assert producer["ledger"] == "agrees"
    assert producer["dropped_logs"] > 0
    events = job.events(limit=10_000)
    flood = [event for event in events if event["params"].get("message") == "flood"]
    assert len(flood) + producer["dropped_logs"] == 20_000
    assert [event["params"]["payload"] for event in events if event["method"] == "report_custom_message"] == ["kept"]

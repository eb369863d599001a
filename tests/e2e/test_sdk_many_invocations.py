"""A process that stays and serves many invocations: each gets its own reports and its own verdict."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.processes import PYTHON, child_environment, run
from tests.support.server import Server
from tests.support.wire import Job, Json, register

# As AWS Lambda runs it: the module is loaded once, `handler` is called with one event after the other, and a handler
# that raises ends that call and not the process.
WORKER = """
import json, sys
from standpipe import PipesContext, PipesMappingParamsLoader, open_pipes

def work(event):
    if event["fails"]:
        raise ValueError("the download failed")
    PipesContext.get().report_asset_materialization(metadata={"day": PipesContext.get().get_extra("day")})

def opened_for(event):
    return open_pipes(params_loader=PipesMappingParamsLoader(event["pipes"]))

HANDLER
for line in sys.stdin:
    try:
        handler(json.loads(line))
    except ValueError as error:
        print("raised:", error)
"""
WITHOUT_A_BLOCK = """
def handler(event):
    context = opened_for(event)
    work(event)
    context.close()
"""
WITH_A_BLOCK = """
def handler(event):
    with opened_for(event):
        work(event)
"""


def serve(handler: str, jobs: list[Job], *, fails: list[bool], home: Path) -> None:
    events = [{"pipes": job.registered["env"], "fails": each} for job, each in zip(jobs, fails, strict=True)]
    lines = "".join(json.dumps(event) + "\n" for event in events)
    run([PYTHON, "-c", WORKER.replace("HANDLER", handler)], env=child_environment({}, home=home), input=lines)


def verdicts(jobs: list[Job]) -> list[Json]:
    return [job.finish(exit_code=0)["verdict"] for job in jobs]


def days(job: Job) -> list[int]:
    reports = [event for event in job.events() if event["method"] == "report_asset_materialization"]
    return [event["params"]["metadata"]["day"]["raw_value"] for event in reports]


def test_a_warm_worker_reports_each_event_to_its_own_invocation(shared_sqlite_server: Server, tmp_path: Path) -> None:
    fails = [False, True, True, False, True, False]
    jobs = [
        register(shared_sqlite_server, context={"asset_keys": ["orders"], "extras": {"day": day}})
        for day in range(len(fails))
    ]
    serve(WITHOUT_A_BLOCK, jobs, fails=fails, home=tmp_path)
    assert [days(job) for job in jobs] == [[] if each else [day] for day, each in enumerate(fails)]
    assert verdicts(jobs) == ["incomplete" if each else "succeeded" for each in fails]
    assert [job.read()["reasons"][0]["code"] for job in jobs if job.read()["reasons"]] == ["never-closed"] * 3


def test_a_block_tells_what_the_handler_raised_and_an_event_may_come_again(
    shared_sqlite_server: Server, tmp_path: Path
) -> None:
    failing, other = (
        register(shared_sqlite_server, context={"asset_keys": ["orders"], "extras": {"day": day}}) for day in range(2)
    )
    # The first is delivered again after another, as a queue does it.
    serve(WITH_A_BLOCK, [failing, other, failing], fails=[True, False, False], home=tmp_path)
    assert days(failing) == [0]
    assert verdicts([failing, other]) == ["failed", "succeeded"]

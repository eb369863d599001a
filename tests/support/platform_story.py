"""Invocations as platforms make them: queued, judged by their launcher, started again, stopped, killed, supervised."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.server import Server
from tests.support.wire import Job, Json, check, closed, custom, log, materialization, opened, register

HOSTILE_URL = "javascript:document.title='owned'"
JOB_URL = "https://cluster.example.com/jobs/4711"
CAUSE: Json = {
    "code": "out-of-memory",
    "detail": "OOMKilled: container `main` used more than its limit of 512 MiB",
    "signal": "SIGKILL",
    "exit_code": 137,
    "peak_memory_bytes": 512 * 1024 * 1024,
    "node": "n7",
}


def opening(**extras: object) -> Json:
    return {"method": "opened", "params": {"extras": extras}}


def process_end(**members: object) -> Json:
    return {"method": "report_process_end", "params": members}


def send(job: Job, producer: str, *messages: Json, first_seq: int = 1) -> None:
    answer = job.append(list(messages), producer=producer, first_seq=first_seq)
    assert answer.status_code in (200, 207), answer.text


def launch(job: Job, state: str, *, ago: float | None = None, **members: Any) -> Json:
    """The launcher's word on the way; `ago` seconds before now, else now."""
    at = {} if ago is None else {"at": (datetime.now(UTC) - timedelta(seconds=ago)).isoformat()}
    answer = job.server.http.post(f"{job.path}/launch", json={"state": state, **at, **members})
    assert answer.status_code == 200, answer.text
    return answer.json()


def number(job: Job, attempt: int | list[int], name: str | None = None) -> Json:
    members: Json = {"attempt": attempt} | ({"name": name} if name else {})
    answer = job.server.http.post(f"{job.path}/attempts", json=members)
    assert answer.status_code == 200, answer.text
    return answer.json()


def queued(server: Server) -> Job:
    """It waits on its platform, whose page is named by an address that is none of the web's."""
    job = register(server, context={"asset_keys": ["platform/queued"], "job_name": "waits"}, launcher="slurm")
    launch(job, "submitted", ago=200, platform="slurm", job_id="4711", url=HOSTILE_URL)
    launch(job, "queued", ago=185)
    return job


def on_its_way(server: Server) -> Job:
    """It waited for two minutes, its image was fetched, and it runs."""
    job = register(
        server, context={"asset_keys": ["platform/running"], "job_name": "on its way"}, launcher="kubernetes"
    )
    launch(job, "submitted", ago=200, platform="kubernetes", job_id="default/train-4711", image="shop/train:17")
    launch(job, "queued", ago=199)
    launch(job, "starting", ago=79, node="n7", url=JOB_URL)
    launch(job, "running", ago=60)
    send(job, "worker", opening(rank=0, host="n7", pid=41), log("epoch 1"))
    return job


def judged_green(server: Server) -> Job:
    """A program that nobody can change: no process reports, and its exit code is the verdict."""
    job = register(
        server,
        context={"asset_keys": ["platform/judged"], "job_name": "not to be changed"},
        launcher="subprocess",
        pipes="optional",
    )
    launch(job, "running", ago=3, platform="subprocess", job_id="pid 411")
    job.finish(exit_code=0)
    return job


def judged_red(server: Server) -> Job:
    job = register(server, context={"job_name": "not to be changed"}, launcher="batch", pipes="optional")
    job.finish(outcome="failed", cause={"code": "timeout", "detail": "DeadlineExceeded"})
    return job


def killed_for_memory(server: Server) -> Job:
    """The platform says why; what the client said when SIGTERM came is a detail of that."""
    job = register(server, context={"asset_keys": ["platform/killed"], "job_name": "killed"}, launcher="kubernetes")
    launch(job, "queued", ago=90, platform="kubernetes", job_id="default/train-9")
    launch(job, "running", ago=30, node="n7")
    stopped: Json = {"name": "SystemExit", "message": "SIGTERM came", "stack": []}
    send(job, "worker", opened(), log("loading"), closed(exception=stopped, signal="SIGTERM"))
    job.finish(outcome="failed", exit_code=0, cause=CAUSE)
    return job


def supervised(server: Server) -> Job:
    """The end was said from inside, and no launcher spoke."""
    job = register(server, context={"asset_keys": ["platform/supervised"], "job_name": "supervised"})
    send(job, "exec-1", opening(role="supervisor", host="n9", pid=7))
    send(job, "worker", opening(parent="exec-1", host="n9", pid=8), materialization("platform/supervised"), closed())
    send(job, "exec-1", process_end(outcome="failed", exit_code=3, reason="disk full"), first_seq=2)
    job.finish()
    return job


def started_again(server: Server) -> Job:
    """The first attempt failed in every way; the second is complete, and one of its ranks was started again."""
    job = register(
        server,
        context={"asset_keys": ["platform/again", "platform/other"], "job_name": "started again"},
        expected={"asset_keys": ["platform/again"], "checks": [{"asset_key": "platform/again", "check_name": "fresh"}]},
        launcher="kubernetes",
    )
    launch(job, "running", ago=100, platform="kubernetes", job_id="default/again")
    send(
        job,
        "old-0",
        opening(rank=0, attempt_name="pod-a"),
        log("the first attempt"),
        materialization("platform/again", metadata={"rows": {"type": "int", "raw_value": 1}}),
        check("platform/again", "fresh", passed=False),
        {"method": "report_nonsense", "params": {}},
        closed(exception={"name": "ValueError", "message": "the first attempt broke", "stack": []}),
    )
    send(job, "old-1", opening(rank=1, attempt_name="pod-b"), log("never closed"))
    number(job, 1, "pod-c")
    launch(job, "queued", ago=40, attempt=1)
    launch(job, "running", ago=10, attempt=1)
    send(job, "new-0", opening(rank=0, attempt_name="pod-c"), log("the second attempt"))
    send(job, "new-0a", opening(rank=1, parent="new-0", rank_attempt=[0]), log("rank 1"))
    send(job, "new-0b", opening(rank=1, parent="new-0", rank_attempt=[1]), closed())
    send(
        job,
        "new-0",
        materialization("platform/again", metadata={"rows": {"type": "int", "raw_value": 2}}),
        materialization("platform/other"),
        check("platform/again", "fresh"),
        closed(),
        first_seq=3,
    )
    send(job, "old-1", custom("a late word"), first_seq=3)
    job.finish(exit_code=0)
    return job


def queued_again(server: Server) -> Job:
    """The platform took the work away while it ran, and it waits for its second attempt."""
    job = register(server, context={"asset_keys": ["platform/requeued"], "job_name": "requeued"}, launcher="slurm")
    launch(job, "running", ago=100, platform="slurm", job_id="9", node="n1")
    send(job, "first", opened(), log("working"))
    launch(job, "queued", attempt=1)
    return job


def pool_worker_ended(server: Server) -> Job:
    """Succeeded, with a note: the pool ended a worker by SIGTERM."""
    job = register(server, context={"job_name": "pool"})
    send(job, "main", opening(pid=1))
    send(job, "child", opening(parent="main", pid=2))
    stopped = {"name": "SystemExit", "message": "SIGTERM came"}
    send(job, "child", closed(exception=stopped, signal="SIGTERM"), first_seq=2)
    send(job, "main", closed(), first_seq=2)
    job.finish(exit_code=0)
    return job


def refused(server: Server) -> Job:
    """A script whose second report is no JSON, and which closes all the same."""
    job = register(server, context={"asset_keys": ["platform/refused"], "job_name": "curl"})
    job.append([opened(), materialization("platform/refused")])
    assert job.append('{"method": "log", "params": {"message": "said "loud""}}').status_code == 400
    job.append(closed())
    job.finish(exit_code=0)
    return job


def platform_story(server: Server) -> dict[str, Job]:
    """One of each, by name."""
    return {
        "queued": queued(server),
        "on its way": on_its_way(server),
        "judged green": judged_green(server),
        "judged red": judged_red(server),
        "killed": killed_for_memory(server),
        "supervised": supervised(server),
        "started again": started_again(server),
        "queued again": queued_again(server),
        "pool": pool_worker_ended(server),
        "refused": refused(server),
    }

"""The badge that a list shows is the badge that it is filtered and counted by; over real HTTP on both databases."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import Server
from tests.support.wire import Job, check, closed, opened, problem_of, register

BOOM = {"name": "ValueError", "message": "boom", "stack": []}


def _cancelled(job: Job) -> None:
    job.server.http.post(f"{job.path}/cancel")
    job.finish(outcome="cancelled")


ENDS: dict[str, Callable[[Job], Any]] = {
    "running": lambda job: None,
    "cancelling": lambda job: job.server.http.post(f"{job.path}/cancel"),
    "succeeded": lambda job: (job.append([closed()]), job.finish(exit_code=0)),
    "failed": lambda job: (job.append([closed(exception=BOOM)]), job.finish()),
    "incomplete": lambda job: job.finish(exit_code=0),
    "cancelled": _cancelled,
}
CHECKS = {
    "none": [],
    "passed": [check("a", "c")],
    "warned": [check("a", "c", passed=False, severity="WARN"), check("a", "d")],
    "failed": [check("a", "c", passed=False)],
    "both": [check("a", "c", passed=False), check("a", "d", passed=False, severity="WARN")],
}


def _listed(server: Server, **query: Any) -> list[dict[str, Any]]:
    """Through all pages, short ones too."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        page = server.http.get("/invocations", params={**query, **cursor}).json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def test_each_badge_is_a_filter_and_a_count(shared_server: Server) -> None:
    name = f"job-{uuid.uuid4()}"
    register(shared_server, context={"job_name": name})
    for end, checks in itertools.product(ENDS, CHECKS):
        job = register(shared_server, context={"job_name": name})
        job.append([opened(), *CHECKS[checks]])
        ENDS[end](job)

    shown = {item["id"]: item["badge"] for item in _listed(shared_server, job_name=name)}
    assert len(shown) == 1 + len(ENDS) * len(CHECKS)
    assert set(shown.values()) == {"registered", "warned", "check-failed", *ENDS}
    for badge in set(shown.values()):
        found = [item["id"] for item in _listed(shared_server, job_name=name, badge=badge)]
        assert (badge, found) == (badge, [id for id, one in shown.items() if one == badge])
    some = [item["id"] for item in _listed(shared_server, job_name=name, badge=["failed", "warned"], limit=2)]
    assert some == [id for id, one in shown.items() if one in ("failed", "warned")]

    counts = shared_server.http.get("/invocations/counts", params={"job_name": name, "by": "badge"}).json()
    assert counts["total"] == Counter(shown.values())
    with_text = {"text": name, "by": "badge", "badge": "check-failed"}
    counted = shared_server.http.get("/invocations/counts", params=with_text).json()["total"]
    assert counted == {"check-failed": Counter(shown.values())["check-failed"]}


@pytest.mark.parametrize("query", [{"badge": "green"}, {"by": "colour"}])
def test_a_badge_that_is_none_is_refused_with_those_there_are(shared_server: Server, query: dict[str, str]) -> None:
    problem = problem_of(
        shared_server.http.get("/invocations/counts", params=query), status=422, name="invalid-request"
    )
    assert problem["pointer"].startswith(f"/query/{next(iter(query))}")


def test_a_clean_last_good_one_has_no_check_that_did_not_pass(shared_server: Server) -> None:
    name = f"job-{uuid.uuid4()}"

    def good(*checks: Any, partition: str | None = "p1") -> Job:
        job = register(shared_server, context={"job_name": name, "partition_key": partition})
        job.append([opened(), *checks, closed()])
        job.finish(exit_code=0)
        return job

    def last_good(job: Job, **query: Any) -> Any:
        answer = shared_server.http.get(f"{job.path}/last-good", params=query).json()
        return answer["invocation"] and answer["invocation"]["id"]

    elsewhere = good(CHECKS["passed"][0], partition="p2")
    warned = good(*CHECKS["warned"])
    now = good()
    assert last_good(now) == warned.id
    assert last_good(now, clean=True) == elsewhere.id
    clean = good(*CHECKS["passed"])
    failed = good(*CHECKS["both"])
    later = good()
    assert last_good(later) == failed.id
    assert last_good(later, clean=True) == clean.id
    assert last_good(elsewhere, clean=True) is None

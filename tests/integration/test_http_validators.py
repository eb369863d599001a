"""Conditional reads: whatever an invocation shows, a change of it alone makes another state."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.server import Server
from tests.support.wire import Job, closed, custom, opened, register

CHANGES: dict[str, Callable[[Job], object]] = {
    "a message": lambda job: job.append([custom(1)], producer="p", first_seq=3),
    "the same message again": lambda job: job.append([opened()], producer="p", first_seq=1),
    "a first heartbeat": lambda job: job.heartbeat(),
    "a cancel": lambda job: job.server.http.post(f"{job.path}/cancel"),
    "a pin": lambda job: job.server.http.post(f"{job.path}/pin"),
    "a word of the launcher": lambda job: job.server.http.post(f"{job.path}/launch", json={"state": "running"}),
    "an attempt": lambda job: job.server.http.post(f"{job.path}/attempts", json={"attempt": [1]}),
    "an end": lambda job: job.finish(exit_code=0),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_another_state(shared_server: Server, change: str) -> None:
    job = register(shared_server)
    assert job.append([opened(), closed()], producer="p", first_seq=1).is_success
    before = shared_server.http.get(job.path)
    CHANGES[change](job)
    after = shared_server.http.get(job.path, headers={"If-None-Match": before.headers["etag"]})
    assert (after.status_code, before.json() != after.json()) == (200, True)
    again = shared_server.http.get(job.path, headers={"If-None-Match": after.headers["etag"]})
    assert again.status_code == 304


def test_a_verdict_that_is_revised_is_another_state(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="p", first_seq=1)
    job.finish()
    before = shared_server.http.get(job.path)
    job.finish(exit_code=3)
    after = shared_server.http.get(job.path, headers={"If-None-Match": before.headers["etag"]})
    assert after.json()["verdict"] == "failed"

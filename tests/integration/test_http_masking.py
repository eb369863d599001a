"""With `mask=true` no answer about an invocation holds what looks like a credential; without, all is as it came."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.server import Server
from tests.support.wire import Job, closed, opened, register

DIGITS = "9" * 700
SHOWN = {"host": "db", "rate": 1.5, "many": [1, 2]}


def _job(server: Server) -> Job:
    extras = {**SHOWN, "db": {"password": "hunter1"}, "url": "postgresql://me:hunter2@db/x", "n": 1}
    return register(
        server,
        context={"job_name": f"job-{uuid.uuid4()}", "asset_keys": ["a"], "extras": extras},
        tags={"team": "sales", "api_token": "hunter3"},
        launcher={
            "kind": "pod",
            "command": ["load", "--password", "hunter4", "--token=hunter5"],
            "env": {"PGPASSWORD": "hunter6"},
        },
    )


def _finished(job: Job) -> Job:
    job.append([opened(), closed()])
    job.finish(exit_code=0)
    return job


ANSWERS: dict[str, Callable[[Job, dict[str, str]], Any]] = {
    "one": lambda job, query: job.server.http.get(job.path, params=query),
    "list": lambda job, query: job.server.http.get("/invocations", params={"limit": 1, **query}),
    "cancel": lambda job, query: job.server.http.post(f"{job.path}/cancel", params=query),
    "pin": lambda job, query: job.server.http.post(f"{job.path}/pin", params=query),
    "unpin": lambda job, query: job.server.http.delete(f"{job.path}/pin", params=query),
    "launch": lambda job, query: job.server.http.post(f"{job.path}/launch", json={"state": "queued"}, params=query),
    "attempts": lambda job, query: job.server.http.post(f"{job.path}/attempts", json={"attempt": 1}, params=query),
    "finish": lambda job, query: job.server.http.post(f"{job.path}/finish", params=query),
    "end of a stream": lambda job, query: job.server.http.get(
        f"{_finished(job).path}/events", params=query, headers={"Accept": "text/event-stream"}
    ),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_answer_is_masked_where_that_is_asked(shared_server: Server, answer: str) -> None:
    job = _job(shared_server)
    masked = ANSWERS[answer](job, {"mask": "true"}).text
    assert job.id in masked
    assert "hunter" not in masked
    assert "sales" in masked
    assert all(f"hunter{number}" in ANSWERS[answer](job, {}).text for number in range(1, 7))


def test_the_last_good_one_is_masked_too(shared_server: Server) -> None:
    good = _finished(_job(shared_server))
    name = good.read()["context"]["job_name"]
    later = register(shared_server, context={"job_name": name, "asset_keys": ["a"]})
    masked = shared_server.http.get(f"{later.path}/last-good", params={"mask": "true"})
    assert masked.json()["invocation"]["id"] == good.id
    assert "hunter" not in masked.text


def test_all_but_the_credentials_is_there_and_the_process_gets_them(shared_server: Server) -> None:
    job = _job(shared_server)
    plain, masked = (shared_server.http.get(job.path, params=query).json() for query in ({}, {"mask": "true"}))
    extras = {**SHOWN, "db": {"password": "***"}, "url": "postgresql://***@db/x", "n": 1}
    assert masked["context"] == {**plain["context"], "extras": extras}
    assert masked["launcher"]["command"] == ["load", "--password", "***", "--token=***"]
    assert {name for name in plain if plain[name] != masked[name]} == {"context", "tags", "launcher"}
    assert "hunter1" in job.http.get(f"{job.path}/context").text


def test_the_two_are_two_states_to_a_conditional_read(shared_server: Server) -> None:
    job = _job(shared_server)
    etag = shared_server.http.get(job.path).headers["etag"]
    again = {"If-None-Match": etag}
    assert shared_server.http.get(job.path, headers=again).status_code == 304
    masked = shared_server.http.get(job.path, headers=again, params={"mask": "true"})
    assert masked.status_code == 200
    again = {"If-None-Match": masked.headers["etag"]}
    assert shared_server.http.get(job.path, headers=again, params={"mask": "true"}).status_code == 304


def test_a_number_of_any_length_stays_what_it_is(shared_server: Server) -> None:
    body = f'{{"context": {{"extras": {{"n": {DIGITS}, "token": {DIGITS}}}}}}}'
    answer = shared_server.http.post("/invocations", content=body)
    invocation = answer.json()["invocation"]["id"]
    masked = shared_server.http.get(f"/invocations/{invocation}", params={"mask": "true"}).text
    assert f'"n":{DIGITS},"token":"***"' in masked.replace(" ", "")


def test_what_a_search_found_is_masked_too(shared_server: Server) -> None:
    name = f"job-{uuid.uuid4()}"
    register(shared_server, context={"job_name": name}, tags={"db_password": "hunter2secretvalue"})
    query = {"text": name, "mask": "true"}
    (item,) = shared_server.http.get("/invocations", params=query).json()["items"]
    assert item["tags"] == {"db_password": "***"}
    assert "hunter2" not in str(item["matched"])


def test_changes_of_state_are_masked_too_in_their_words(shared_server: Server) -> None:
    job = _job(shared_server)
    url = "https://me:hunter7@cluster.example.com/47"
    job.server.http.post(f"{job.path}/launch", json={"state": "queued", "platform": "slurm", "url": url})
    plain, masked = (
        shared_server.http.get(f"{job.path}/history", params=query).json()["items"][-1]
        for query in ({}, {"mask": "true"})
    )
    assert (plain["detail"]["url"], plain["description"]) == (url, f"queued on slurm, {url}")
    assert masked["detail"]["url"] == "https://***@cluster.example.com/47"
    assert masked["description"] == "queued on slurm, https://***@cluster.example.com/47"
    shown = shared_server.http.get(job.path, params={"mask": "true"}).json()
    assert shown["description"] == "Queued on `slurm`. No process has opened yet."
    assert (shown["waiting"], [stage["name"] for stage in shown["stages"]]) == ("queued", ["queued"])

"""What an invocation's token is good for: how often, and after the end."""

from __future__ import annotations

import pytest

from tests.conftest import ServerFactory
from tests.support.server import Server
from tests.support.wire import closed, custom, opened, problem_of, register


@pytest.mark.parametrize("cancel", [False, True])
def test_after_a_final_verdict_a_token_is_good_for_retries_and_heartbeats_only(
    shared_server: Server, cancel: bool
) -> None:
    job = register(shared_server, context={"extras": {"secret": 1}})
    job.append([opened(), custom(1)], producer="p", first_seq=1)
    assert job.http.get(f"{job.path}/context").status_code == 200
    if cancel:
        shared_server.http.post(f"{job.path}/cancel")
        assert job.finish(exit_code=143)["verdict"] == "cancelled"
    else:
        job.append([closed()], producer="p", first_seq=3)
        assert job.finish(exit_code=0)["verdict"] == "succeeded"
    problem = problem_of(job.http.get(f"{job.path}/context"), status=404, name="not-found")
    assert problem["control"] == {"cancel_requested": cancel}
    assert "secret" not in problem["detail"]
    assert job.append([opened(), custom(1)], producer="p", first_seq=1).status_code == 200
    assert job.heartbeat(producer="p").status_code == 200
    late = job.append([custom(2)], producer="q", first_seq=1)
    problem_of(late, status=409, name="invocation-ended")
    told = shared_server.http.get(f"{job.path}/context").json()["context"]
    assert told["extras"] == {"secret": 1}


@pytest.mark.parametrize("word", [{"exit_code": 1}, {"exit_code": 0}])
def test_after_any_other_end_late_events_and_the_context_stay_open(shared_server: Server, word: dict[str, int]) -> None:
    job = register(shared_server)
    job.append([opened()], producer="p", first_seq=1)
    assert job.finish(**word)["verdict"] in ("failed", "incomplete")
    assert job.http.get(f"{job.path}/context").status_code == 200
    assert job.append([custom(1), closed()], producer="p", first_seq=2).status_code == 200
    context = job.http.get(f"{job.path}/context")
    assert context.status_code == (404 if job.read()["verdict"] == "succeeded" else 200)


def test_a_verdict_that_a_later_word_changes_opens_the_context_again(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened(), closed()], producer="p", first_seq=1)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"
    assert job.http.get(f"{job.path}/context").status_code == 404
    assert job.finish(exit_code=1)["verdict"] == "failed"
    assert job.http.get(f"{job.path}/context").status_code == 200


def test_one_job_that_floods_is_told_when_to_come_again_and_the_others_are_served(
    start_server: ServerFactory, database_url: str
) -> None:
    server = start_server(database_url=database_url, arguments=["--requests-per-second", "1"])
    flooding, other = register(server), register(server)
    assert flooding.append([opened()], producer="p", first_seq=1).status_code == 200
    limits = flooding.http.get(f"{flooding.path}/context").json()["limits"]
    assert limits["requests_per_second"] == 1
    answers = [flooding.append([custom(1)], producer="p", first_seq=2) for _ in range(20)]
    refused = [answer for answer in answers if answer.status_code != 200]
    assert len(refused) >= 5
    problem = problem_of(refused[-1], status=429, name="rate-limited")
    assert int(refused[-1].headers["retry-after"]) == problem["retry_after"] >= 1
    assert problem["control"] == {"cancel_requested": False}
    assert flooding.http.get(f"{flooding.path}/context").status_code == 429
    assert other.append([opened()], producer="p", first_seq=1).status_code == 200
    assert [event["seq"] for event in flooding.events()] == [1, 2]
    assert server.http.get("/limits").json()["requests_per_second"] == 1


def test_a_rate_that_is_none_is_refused_at_the_start(start_server: ServerFactory) -> None:
    server = start_server(start=False, env={"STANDPIPE_REQUESTS_PER_SECOND": "many"})
    with pytest.raises(AssertionError, match="requests per second are 'many'; expected a number"):
        server.start()

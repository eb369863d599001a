"""How an invocation ends: cancelled, finished, settled, lost; its verdict, its history and its errors."""

from __future__ import annotations

import itertools

import pytest

from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, Json, check, closed, custom, log, materialization, opened, problem_of, register


def test_a_process_hears_that_it_is_asked_to_stop_in_every_answer(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="p", first_seq=1)
    asked = shared_server.http.post(f"{job.path}/cancel")
    assert (asked.status_code, asked.json()["cancel_requested"]) == (200, True)
    for answer in (
        job.append([custom(1)], producer="p", first_seq=2),
        job.append([custom(1)], producer="p", first_seq=9),
        job.append(b"{"),
        job.append([custom(1)], headers={"Content-Encoding": "br"}),
        job.heartbeat(),
        job.heartbeat(numbered="x"),
        job.http.get(f"{job.path}/context"),
    ):
        assert answer.json()["control"] == {"cancel_requested": True}, answer.text
    assert shared_server.http.post(f"{job.path}/cancel").status_code == 200
    ended = job.finish(exit_code=143)
    assert ended["verdict"] == "cancelled"


def test_a_process_that_closes_complete_and_clean_after_a_cancel_has_succeeded(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="p", first_seq=1)
    shared_server.http.post(f"{job.path}/cancel")
    job.append([closed()], producer="p", first_seq=2)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"


EXCEPTION = {"message": "boom", "name": "ValueError", "stack": ["line 1\n"], "cause": None, "context": None}
VERDICTS = {
    "succeeded": ([opened(), closed()], {"exit_code": 0}),
    "exception": ([opened(), closed(exception=EXCEPTION)], {"exit_code": 0}),
    "exit code": ([opened(), closed()], {"exit_code": 3, "reason": "Killed"}),
    "rejected": ([opened(), {"method": "log", "params": {}}, closed()], {"exit_code": 0}),
    "never opened": ([], {"exit_code": 0}),
    "never closed": ([opened(), custom(1)], {"exit_code": 0}),
    "ledger": ([opened(), {**closed(), "ledger": {"messages": 7, "by_method": {}}}], {"exit_code": 0}),
}


@pytest.mark.parametrize(
    ("case", "verdict", "says"),
    [
        ("succeeded", "succeeded", None),
        ("exception", "failed", "boom"),
        ("exit code", "failed", "3"),
        ("rejected", "failed", ""),
        ("never opened", "incomplete", ""),
        ("never closed", "incomplete", ""),
        ("ledger", "incomplete", "7"),
    ],
)
def test_the_verdict_follows_what_is_known(shared_server: Server, case: str, verdict: str, says: str | None) -> None:
    messages, word = VERDICTS[case]
    job = register(shared_server)
    if messages:
        job.append(messages, producer="p", first_seq=1)
    ended = job.finish(**word)
    assert (ended["status"], ended["verdict"]) == ("ended", verdict)
    assert bool(ended["reasons"]) == (verdict != "succeeded")
    assert ended["ended_at"]
    if says is not None:
        assert any(says in reason["detail"] for reason in ended["reasons"])


def test_something_expected_that_was_not_reported_is_named(shared_server: Server) -> None:
    expected = {
        "asset_keys": ["a", "b"],
        "checks": [{"asset_key": "a", "check_name": "fresh"}],
        "custom_messages": 1,
    }
    job = register(shared_server, expected=expected)
    assert job.read()["expected"] == expected
    job.append([opened(), materialization("a"), check("a", "other"), closed()], producer="p", first_seq=1)
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "incomplete"
    told = " ".join(reason["detail"] for reason in ended["reasons"])
    assert "b" in told
    assert "fresh" in told
    assert len(ended["reasons"]) == 3


def test_a_failed_check_is_a_result_and_not_a_verdict(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened(), check("a", "c", passed=False), closed()], producer="p", first_seq=1)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"


def test_finish_is_idempotent_and_may_come_without_a_body(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened(), closed()], producer="p", first_seq=1)
    first = shared_server.http.post(f"{job.path}/finish").json()
    again = job.finish()
    assert (first["verdict"], again["revision"]) == ("succeeded", first["revision"])


def test_a_wrong_finish_is_told_what_was_expected(shared_server: Server) -> None:
    job = register(shared_server)
    answer = shared_server.http.post(f"{job.path}/finish", json={"exit_code": "zero"})
    assert problem_of(answer, status=422, name="invalid-request")["pointer"] == "/exit_code"


def test_when_nobody_calls_finish_the_invocation_settles(shared_server: Server) -> None:
    job = register(shared_server, settle_seconds=0.2)
    job.append([opened(), closed()], producer="p", first_seq=1)
    with job.stream(after=2) as events:
        assert next(events).data["verdict"] == "succeeded"


def _lost(server: Server, *messages: Json, lease_seconds: float = 0.3) -> Job:
    """An invocation whose process `p` has sent these and then was silent."""
    job = register(server, lease_seconds=lease_seconds)
    job.append(list(messages), producer="p", first_seq=1)
    with job.stream(after=len(messages)) as events:
        assert next(events).data["verdict"] == "lost"
    return job


@pytest.mark.parametrize("word", ["message", "retry", "heartbeat"])
def test_a_lost_process_that_speaks_again_comes_back_to_life(shared_server: Server, word: str) -> None:
    job = _lost(shared_server, opened(), custom(1), lease_seconds=2)
    match word:
        case "message":
            assert job.append([custom(2)], producer="p", first_seq=3).status_code == 200
        case "retry":
            assert job.append([custom(1)], producer="p", first_seq=2).status_code == 200
        case _:
            assert job.heartbeat(producer="p").json()["lease"]["expires_at"] is not None
    job.heartbeat(producer="p")
    again = job.read()
    assert (again["status"], again["verdict"], again["ended_at"], again["receipt"]) == ("running", None, None, None)
    assert (again["revision"], again["reasons"]) == (1, [])
    after = again["last_position"]
    with job.stream(after=after) as events:
        assert job.append([custom(3), closed()], producer="p", first_seq=after + 1).status_code == 200
        assert [next(events).id, next(events).id] == [str(after + 1), str(after + 2)]
        assert job.finish(exit_code=0)["verdict"] == "succeeded"
        assert next(events).event == "end"
    assert [item["change"] for item in _history(job)][-4:] == ["ended", "revived", "finished", "ended"]


def test_what_comes_back_to_life_and_falls_silent_is_lost_again(shared_server: Server) -> None:
    job = _lost(shared_server, opened())
    job.heartbeat(producer="p")
    again = wait_until(lambda: (found := job.read())["revision"] == 1 and found["verdict"] and found, what="the lease")
    assert (again["verdict"], [item["change"] for item in _history(job)][-2:]) == ("lost", ["lease-expired", "ended"])


def test_no_rank_of_a_lost_invocation_is_refused_because_another_has_closed(shared_server: Server) -> None:
    job = register(shared_server, lease_seconds=0.4)
    for rank in ("p", "q"):
        job.append([opened()], producer=rank, first_seq=1)
    with job.stream(after=2) as events:
        assert next(events).data["verdict"] == "lost"
    for rank in ("p", "q"):
        assert job.append([custom(rank), closed()], producer=rank, first_seq=2).status_code == 200
    assert job.finish()["verdict"] == "succeeded"


def test_a_finished_invocation_stays_ended_whoever_speaks(shared_server: Server) -> None:
    job = _lost(shared_server, opened())
    assert job.finish()["verdict"] == "lost"
    job.heartbeat(producer="p")
    assert job.read()["status"] == "ended"
    assert job.append([custom(1), closed()], producer="p", first_seq=2).status_code == 200
    assert job.read()["verdict"] == "succeeded"


def test_a_launcher_that_lives_does_not_hide_a_process_that_died(shared_server: Server) -> None:
    job = register(shared_server, lease_seconds=3)
    output = {"method": "log_external_stream", "params": {"stream": "stdout", "text": "x"}}
    job.append([output], producer="launcher", first_seq=1)
    job.heartbeat(producer="launcher")
    job.append([opened()], producer="p", first_seq=1)
    expires = job.read()["lease_expires_at"]
    job.append([output], producer="launcher", first_seq=2)
    assert job.heartbeat(producer="launcher", numbered=2).json()["lease"]["expires_at"] == expires
    assert job.read()["lease_expires_at"] == expires
    assert job.heartbeat(producer="p").json()["lease"]["expires_at"] > expires

    def lost() -> bool:
        job.heartbeat(producer="launcher")
        return job.read()["verdict"] == "lost"

    wait_until(lost, what="the lease to run out though the launcher beats")
    job.append([output], producer="launcher", first_seq=3)
    assert job.read()["verdict"] == "lost"


def _history(job: Job) -> list[Json]:
    return job.server.http.get(f"{job.path}/history").json()["items"]


def test_an_invocation_that_never_opens_ends_incomplete(shared_server: Server) -> None:
    job = register(shared_server, open_within_seconds=0.2)
    ended = wait_until(lambda: (found := job.read())["status"] == "ended" and found, what="the deadline")
    assert ended["verdict"] == "incomplete"


def test_history_tells_the_changes_of_state_in_their_order(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="p", first_seq=1)
    shared_server.http.post(f"{job.path}/cancel")
    job.finish(exit_code=1)
    answer = shared_server.http.get(f"{job.path}/history").json()
    assert [item["change"] for item in answer["items"]] == [
        "registered",
        "opened",
        "cancel-requested",
        "finished",
        "ended",
    ]
    times = [item["at"] for item in answer["items"]]
    assert all(before <= after for before, after in itertools.pairwise(times))


def test_the_first_error_of_each_kind_is_found_across_invocations(shared_server: Server) -> None:
    job = register(shared_server, context={"job_name": "failing"})
    since = job.read()["created_at"]
    messages = [log("fine"), log("bad", level="ERROR"), log("worse", level="ERROR"), {"method": "log", "params": {}}]
    job.append([*messages, closed(exception=EXCEPTION)], producer="p", first_seq=1)
    query = {"since": since, "limit": 100}
    items = shared_server.http.get("/errors", params=query).json()["items"]
    mine = {item["kind"]: item for item in items if item["invocation_id"] == job.id}
    assert {kind: item["position"] for kind, item in mine.items()} == {"log": 2, "rejected": 4, "exception": 5}
    assert mine["log"]["summary"] == "bad"
    assert "boom" in mine["exception"]["summary"]
    only = shared_server.http.get("/errors", params={**query, "kind": "rejected"}).json()["items"]
    assert {item["kind"] for item in only} == {"rejected"}
    problem_of(shared_server.http.get("/errors", params={"kind": "x"}), status=422, name="invalid-request")

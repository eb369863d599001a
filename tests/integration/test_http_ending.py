"""How an invocation ends: cancelled, finished, settled, lost; its verdict, its history and its errors."""

from __future__ import annotations

import itertools

import pytest

from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import check, closed, custom, log, materialization, opened, problem_of, register


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


def test_a_lease_that_runs_out_without_a_word_is_lost_and_a_late_word_revises_it(shared_server: Server) -> None:
    job = register(shared_server, lease_seconds=0.3)
    job.append([opened()], producer="p", first_seq=1)
    with job.stream(after=1) as events:
        assert next(events).data["verdict"] == "lost"
    assert job.append([custom("spooled")], producer="p", first_seq=2).status_code == 200
    assert job.read()["revision"] == 1


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

"""Attempts in odd orders and large numbers: what supersedes nothing, and what never vanishes with an attempt."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from tests.support.attempts import CURRENT, SUPERSEDED, codes, notes, number, opening, send
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, closed, custom, log, materialization, opened, register


def seconds_between(begin: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(begin)).total_seconds()


def seconds_since(text: str) -> float:
    return (datetime.now(UTC) - datetime.fromisoformat(text)).total_seconds()


def began_at(job: Job) -> str:
    items = job.server.http.get(f"{job.path}/history").json()["items"]
    return next(item["at"] for item in items if item["change"] == "attempt")


def test_a_word_about_an_older_attempt_is_history_and_ends_nothing(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "a", opened())
    send(job, "b", opening(attempt=[1]))
    old = {"code": "evicted", "detail": "", "attempt": 0}
    for _ in range(2):
        assert job.finish(outcome="failed", cause=old)["status"] == "running"
    items = shared_server.http.get(f"{job.path}/history").json()["items"]
    finished = [item["detail"] for item in items if item["change"] == "finished"]
    assert [(detail["outcome"], detail["older_attempt"]) for detail in finished] == [("failed", True)]
    send(job, "b", closed(), first_seq=2)
    assert job.finish(exit_code=1)["verdict"] == "failed"
    assert codes(job.finish(outcome="failed", cause=old)) == ["exit-code"]
    # What names no attempt counts, also when a newer one begins.
    send(job, "c", opening(attempt=[2]), closed())
    assert codes(job.read()) == ["exit-code"]


def test_a_failing_word_is_not_taken_for_one_about_the_attempt_before(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "b", opening(attempt=[1]))
    job.finish(outcome="failed", cause={"code": "evicted", "detail": "", "attempt": 1})
    send(job, "c", opening(attempt=[2]), closed())
    assert job.read()["verdict"] == "succeeded"
    assert job.finish(exit_code=137)["verdict"] == "failed"


def test_a_second_program_that_counts_its_ranks_anew_is_not_taken_for_an_older_one(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "train-0", opening(rank=0))
    send(job, "train-1", opening(rank=0, rank_attempt=[1]), closed())
    assert send(job, "eval-0", opening(rank=0), closed(exception={"message": "bad"}))["control"] == CURRENT
    assert codes(job.finish(exit_code=0)) == ["exception"]
    # One that is delivered late, and was opened before, is the older one all the same.
    again = register(shared_server)
    send(again, "new", opening(rank=0, rank_attempt=[1]))
    early = opening(rank=0) | {"sent_at": "2020-01-01T00:00:00.000000Z"}
    assert send(again, "old", early)["control"] == SUPERSEDED
    send(again, "new", closed(), first_seq=2)
    assert again.finish(exit_code=0)["verdict"] == "succeeded"


def test_a_child_that_opens_before_its_parent_has_its_parents_number(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "q", opening(attempt=[1]), closed())
    send(job, "child", opening(parent="p"))
    assert send(job, "p", opening(attempt=[1]), closed())["control"] == CURRENT
    assert send(job, "child", closed(exception={"message": "bad"}), first_seq=2)["control"] == CURRENT
    assert codes(job.finish(exit_code=0)) == ["exception"]


def test_only_numbers_that_count_supersede(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "p", opening(attempt=[0]), closed(exception={"message": "bad"}))
    job.append([opening(attempt=[1]), closed()])
    assert codes(job.finish(exit_code=0)) == ["exception"]
    # The launcher's number for a name counts more than the process's own.
    named = register(shared_server)
    number(named, 1, "pod-b")
    assert send(named, "b", opening(attempt=[2], attempt_name="pod-b"), closed())["control"] == CURRENT
    assert (ended := named.finish(exit_code=0))["verdict"] == "succeeded"
    assert ended["attempt"] == [1]


def test_what_lives_on_beside_numbered_processes_that_it_started_is_not_superseded(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "s", opening(role="supervisor"))
    send(job, "one", opening(parent="s"))
    send(job, "two", opening(parent="s", attempt=[1]), closed())
    end = {"method": "report_process_end", "params": {"exit_code": 1}}
    assert send(job, "s", end, first_seq=2)["control"] == CURRENT
    assert codes(job.finish(exit_code=0))[0] == "exit-code"


def test_an_attempt_that_begins_has_as_long_to_open_as_the_first_had(shared_server: Server) -> None:
    job = register(shared_server, open_within_seconds=2)
    send(job, "a", opened())
    wait_until(lambda: seconds_since(job.read()["opened_at"]) > 2.2, what="the first one's time to be over")
    assert number(job, 1)["status"] == "running"
    send(job, "a", custom(1), first_seq=2)
    with job.stream(after=2) as events:
        ended = next(events).data
    assert codes(ended) == ["never-opened"]
    assert seconds_between(began_at(job), ended["ended_at"]) > 1.9


def test_while_only_older_attempts_have_opened_nobody_is_lost_and_they_revive_nothing(shared_server: Server) -> None:
    job = register(shared_server, lease_seconds=0.3, open_within_seconds=1.5)
    send(job, "a", opened())
    number(job, 1)
    with job.stream(after=1) as events:
        assert codes(next(events).data) == ["never-opened"]
    lost = register(shared_server, lease_seconds=0.3)
    send(lost, "a", opened())
    send(lost, "b", opening(attempt=[1]))
    with lost.stream(after=2) as events:
        assert next(events).data["verdict"] == "lost"
    ledger = {"messages": 2, "sha256": hashlib.sha256(b"x").hexdigest()}
    send(lost, "a", closed(ledger=ledger), first_seq=2)
    assert lost.read()["verdict"] == "lost"


def test_a_repeated_number_with_another_message_changes_nobody(shared_server: Server) -> None:
    job = register(shared_server, settle_seconds=0.1)
    send(job, "a", opened())
    send(job, "b", log("first"))
    assert send(job, "b", opening(attempt=[5]))["accepted_through"] == 1
    assert (job.read()["attempt"], job.read()["producers"][0]["superseded"]) == (None, False)
    send(job, "a", closed(), first_seq=2)
    with job.stream(after=3) as events:
        assert next(events).data["verdict"] == "succeeded"


def test_many_names_stay_bounded(shared_server: Server) -> None:
    job = register(shared_server)
    for attempt in range(1, 230):
        number(job, attempt, f"uid-{attempt}")
    assert len(job.read()["attempts"]) == 100
    assert send(job, "b", opening(attempt_name="uid-229"), closed())["control"] == CURRENT
    assert send(job, "a", opening(attempt_name="uid-1"))["control"] == SUPERSEDED
    assert job.finish(exit_code=0)["verdict"] == "succeeded"


def test_many_reports_that_are_replaced_at_once_are_all_replaced(shared_server: Server) -> None:
    job = register(shared_server)
    keys = [f"asset-{n}" for n in range(1_200)]
    send(job, "a", opened(), *map(materialization, keys))
    answer = send(job, "b", opening(attempt=[1]), *map(materialization, keys), closed())
    assert answer["results"] == []
    assert sum(notes(event) == ["replaces"] for event in job.events(after=1_201, limit=5_000)) == len(keys)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"

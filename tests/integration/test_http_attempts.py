"""Attempts: a platform starts the work again under the same invocation, and only the newest run counts."""

from __future__ import annotations

import pytest

from tests.support.attempts import CURRENT, SUPERSEDED, codes, notes, number, opening, send
from tests.support.server import Server
from tests.support.wire import Json, check, closed, custom, log, materialization, opened, problem_of, register

UNNAMED = {"attempt": 1, "name": ""}


def test_work_that_is_started_again_is_green_when_its_newest_run_is_complete(shared_server: Server) -> None:
    job = register(shared_server, expected={"asset_keys": ["orders"]})
    send(job, "a", opened(), materialization("orders"), check("orders", "ok", passed=False))
    answer = send(job, "b", opening(attempt=[1]), materialization("orders"), check("orders", "ok"), closed())
    assert (answer["results"], answer["control"]) == ([], CURRENT)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], codes(ended)) == ("succeeded", [])
    assert [note["code"] for note in ended["notes"]] == ["superseded"]
    assert (ended["attempt"], ended["failed_checks"]) == ([1], {"error": 0, "warn": 0})
    assert ended["badge"] == "succeeded"
    assert ended["attempts"] == [
        {"attempt": [1], "names": [], "producers": 1, "superseded": False},
        {"attempt": [], "names": [], "producers": 1, "superseded": True},
    ]
    receipt = ended["receipt"]
    assert (receipt["whole"], [one["superseded"] for one in receipt["producers"]]) == (True, [False, True])
    events = job.events()
    assert [notes(event) for event in events if event["method"].startswith("report")] == [
        [],
        [],
        ["replaces"],
        ["replaces"],
    ]
    assert events[4]["notes"][0]["position"] == 2
    found = shared_server.http.get("/assets/orders/materializations").json()["items"]
    assert [one["position"] for one in found if one["invocation_id"] == job.id] == [5]


def test_a_superseded_run_is_told_so_and_its_words_are_kept_and_make_nothing_red(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "a", opened())
    send(job, "b", opening(attempt=[1]), materialization("orders"))
    answer = send(job, "a", custom(1), materialization("orders"), {"method": "nonsense"}, first_seq=2)
    assert answer["control"] == SUPERSEDED
    assert [result["seq"] for result in answer["results"]] == [4]
    assert job.heartbeat(producer="a", numbered=9).json()["control"] == SUPERSEDED
    assert job.heartbeat(producer="b", numbered=2).json()["control"] == CURRENT
    send(job, "a", closed(exception={"message": "stale"}), first_seq=5)
    send(job, "b", closed(), first_seq=3)
    events = job.events()
    assert [notes(event) for event in events if event["producer"] == "a"][1:3] == [["superseded"], ["superseded"]]
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], codes(ended)) == ("succeeded", [])
    found = shared_server.http.get("/assets/orders/materializations").json()["items"]
    assert [one["position"] for one in found if one["invocation_id"] == job.id] == [3]
    # What it sends afterwards is not taken any more, as anybody's.
    late = job.append([custom(2)], producer="a", first_seq=6)
    assert problem_of(late, status=409, name="invocation-ended")["control"] == SUPERSEDED


def test_the_report_of_an_older_run_stands_until_a_newer_one_reports_the_same(shared_server: Server) -> None:
    expected = {"asset_keys": ["a", "b"], "checks": [{"asset_key": "a", "check_name": "c"}]}
    job = register(shared_server, expected=expected)
    send(job, "one", opened(), materialization("a"), check("a", "c"))
    send(job, "two", opening(attempt=[1]), materialization("b"))
    # Its spool is delivered late: nothing newer is there to stand in its place.
    assert send(job, "one", materialization("x"), first_seq=4)["results"] == []
    # Within one attempt a second report is what it always was.
    again = send(job, "two", materialization("b"), closed(), first_seq=3)
    assert again["results"][0]["problem"]["type"] == "/problems/duplicate-materialization"
    assert job.read()["expected_progress"]["complete"] is True
    assert codes(job.finish(exit_code=0)) == ["rejected-messages"]
    items = shared_server.http.get("/assets/x/materializations").json()["items"]
    assert [notes(one) for one in items if one["invocation_id"] == job.id] == [["superseded"]]


def test_two_runs_without_a_number_are_two_programs_of_one_job(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "a", opened(), materialization("orders"))
    assert send(job, "b", opened(), materialization("orders"), closed())["results"]
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], codes(ended)) == ("failed", ["rejected-messages", "never-closed"])
    assert (ended["attempt"], ended["attempts"]) == (None, [])


def test_numbers_are_compared_in_order_and_none_is_the_first(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "new", opening(attempt=[1, 2]))
    for older in ({}, {"attempt": [0]}, {"attempt": [1]}, {"attempt": [1, 1, 9]}):
        assert send(job, f"o{len(str(older))}", opening(**older))["control"] == SUPERSEDED
    for same in ({"attempt": [1, 2]}, {"attempt": [1, 2, 0]}):
        assert send(job, f"s{len(str(same))}", opening(**same), closed())["control"] == CURRENT
    assert send(job, "newest", opening(attempt=[2]), closed())["control"] == CURRENT
    assert job.finish(exit_code=0)["verdict"] == "succeeded"


@pytest.mark.parametrize("nonsense", [1, "1", [], ["1"], [-1], [1.5], [True], {"n": 1}, [1] * 9, None])
def test_what_is_no_list_of_whole_numbers_is_no_number(shared_server: Server, nonsense: object) -> None:
    job = register(shared_server)
    send(job, "a", opened(), closed())
    assert send(job, "b", opening(attempt=nonsense, rank_attempt=nonsense, rank=0), closed())["control"] == CURRENT
    assert (job.finish(exit_code=0)["verdict"], job.read()["attempts"]) == ("succeeded", [])


def test_a_number_of_a_rank_supersedes_that_rank_and_its_children_alone(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "agent", opening())
    for rank in (0, 1):
        send(job, f"r{rank}", opening(rank=rank, parent="agent", rank_attempt=[0]))
    send(job, "loader", opening(parent="r1"))
    send(job, "other-parent", opening(rank=1, parent="somebody", rank_attempt=[0]), closed())
    assert send(job, "r1-again", opening(rank=1, parent="agent", rank_attempt=[1]), closed())["control"] == CURRENT
    for name, control in (("r0", CURRENT), ("r1", SUPERSEDED), ("loader", SUPERSEDED), ("agent", CURRENT)):
        assert send(job, name, custom(1), first_seq=2)["control"] == control, name
    send(job, "r0", closed(), first_seq=3)
    send(job, "agent", closed(), first_seq=3)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"


def test_numbers_of_workers_without_a_rank_supersede_nobody(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "a", opening(parent="p", rank_attempt=[0]), closed())
    send(job, "b", opening(parent="p", rank_attempt=[3]), closed())
    assert [one["superseded"] for one in job.read()["producers"]] == [False, False]
    assert job.finish(exit_code=0)["verdict"] == "succeeded"


def test_a_number_of_the_job_supersedes_every_rank_and_their_children(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "r0", opening(rank=0))
    send(job, "r1", opening(rank=1, rank_attempt=[5]))
    send(job, "child", opening(parent="r1"))
    send(job, "again", opening(rank=0, attempt=[1]))
    assert {one["producer"]: one["superseded"] for one in job.read()["producers"]} == {
        "r0": True,
        "r1": True,
        "child": True,
        "again": False,
    }
    # A child of the newest run that says no number has its parent's.
    assert send(job, "new-child", opening(parent="again"), closed())["control"] == CURRENT
    send(job, "again", closed(), first_seq=2)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"


def test_a_name_without_an_order_is_shown_and_numbered_by_the_launcher(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "a", opening(attempt_name="uid-a"))
    send(job, "b", opening(attempt_name="uid-b"), closed())
    assert [one["superseded"] for one in job.read()["producers"]] == [False, False]
    assert number(job, [1], "uid-b")["attempt"] == [1]
    assert number(job, 1, "uid-b")["attempts"][0]["names"] == ["uid-b"]
    shown = {one["producer"]: (one["attempt_name"], one["superseded"]) for one in job.read()["producers"]}
    assert shown == {"a": ("uid-a", True), "b": ("uid-b", False)}
    assert send(job, "a", log("still here"), first_seq=2)["control"] == SUPERSEDED
    assert job.finish(exit_code=0)["verdict"] == "succeeded"
    history = [item["change"] for item in shared_server.http.get(f"{job.path}/history").json()["items"]]
    assert history.count("attempt") == 1
    assert history.count("superseded") == 1


def test_a_launcher_that_begins_an_attempt_numbers_what_opens_from_then_on(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "a", opened())
    number(job, 1)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], codes(ended)) == ("incomplete", ["never-opened"])
    assert send(job, "b", opened(), closed())["control"] == CURRENT
    assert send(job, "of-a", opening(parent="a"))["control"] == SUPERSEDED
    assert job.read()["verdict"] == "succeeded"


def test_many_producers_of_the_newest_attempt_are_placed_as_one_of_them_is(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "old", opened())
    number(job, 1)
    number(job, 1, "uid-b")
    for name, extras in {"own": {"attempt": [1]}, "named": {"attempt_name": "uid-b"}, "plain": {}}.items():
        assert send(job, name, opening(**extras), closed())["control"] == CURRENT
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["attempts"][0]["producers"]) == ("succeeded", 3)


def test_the_silent_ones_that_are_listed_first_are_not_superseded(shared_server: Server) -> None:
    job = register(shared_server)
    send(job, "old", opened())
    send(job, "new", opening(attempt=[1]))
    assert [one["producer"] for one in job.read()["producers"]] == ["new", "old"]


def test_the_anonymous_producer_has_no_attempt(shared_server: Server) -> None:
    job = register(shared_server)
    job.append(opened())
    send(job, "b", opening(attempt=[1]), closed())
    answer = job.append(custom(1))
    assert answer.json()["control"] == CURRENT
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], codes(ended)) == ("incomplete", ["never-closed"])


def test_custom_messages_of_a_superseded_run_are_none_of_those_expected(shared_server: Server) -> None:
    job = register(shared_server, expected={"custom_messages": 1})
    send(job, "a", opened(), custom(1))
    send(job, "b", opening(attempt=[1]), closed())
    assert codes(job.finish(exit_code=0)) == ["missing-custom-messages"]


def test_a_zombie_of_an_older_run_keeps_no_lease_and_settles_nothing(shared_server: Server) -> None:
    job = register(shared_server, settle_seconds=0.1, lease_seconds=60)
    send(job, "a", opened())
    send(job, "b", opening(attempt=[1]))
    before = job.read()["lease_expires_at"]
    send(job, "a", custom(1), first_seq=2)
    job.heartbeat(producer="a", numbered=2)
    assert job.read()["lease_expires_at"] == before
    send(job, "b", closed(), first_seq=2)
    with job.stream(after=4) as events:
        assert next(events).data["verdict"] == "succeeded"


def test_a_run_that_was_lost_is_followed_by_one_that_is_not(shared_server: Server) -> None:
    job = register(shared_server, lease_seconds=0.3)
    send(job, "a", opened(), materialization("orders"))
    with job.stream(after=2) as events:
        assert next(events).data["verdict"] == "lost"
    send(job, "b", opening(attempt=[1]))
    assert job.read()["status"] == "running"
    send(job, "b", materialization("orders"), closed(), first_seq=2)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({}, "/attempt"),
        ({"attempt": "1"}, "/attempt"),
        ({"attempt": []}, "/attempt"),
        ({"attempt": 1, "name": ""}, "/name"),
    ],
)
def test_a_wrong_number_is_told_where(shared_server: Server, members: Json, pointer: str) -> None:
    job = register(shared_server)
    answer = shared_server.http.post(f"{job.path}/attempts", json=members)
    assert problem_of(answer, status=422, name="invalid-request")["pointer"] == pointer


def test_of_more_producers_than_are_listed_those_that_count_come_first(shared_server: Server) -> None:
    job = register(shared_server)
    for rank in range(101):
        send(job, f"old-{rank:03}", opening(rank=rank))
    for rank in range(3):
        send(job, f"new-{rank}", opening(rank=rank, attempt=[1]), closed())
    assert [one["producer"] for one in job.read()["producers"][:4]] == ["new-0", "new-1", "new-2", "old-000"]
    receipt = job.finish(exit_code=0)["receipt"]
    assert (len(receipt["producers"]), receipt["whole"]) == (100, True)
    assert [one["superseded"] for one in receipt["producers"][:4]] == [False, False, False, True]

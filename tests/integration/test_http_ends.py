"""What launchers and supervisors say of an end, and what they say on the way, through the HTTP surface."""

from __future__ import annotations

import threading
from time import monotonic

import pytest

from tests.support.server import Server
from tests.support.wire import Job, Json, closed, custom, log, materialization, opened, problem_of, register


def changes(job: Job) -> list[str]:
    items = job.server.http.get(f"{job.path}/history").json()["items"]
    return [item["change"] for item in items]


def opening(**extras: object) -> Json:
    return {"method": "opened", "params": {"extras": extras}}


def process_end(**params: object) -> Json:
    return {"method": "report_process_end", "params": params}


def codes(invocation: Json) -> list[str]:
    return [reason["code"] for reason in invocation["reasons"]]


def run(job: Job, *messages: Json, producer: str = "p") -> None:
    answer = job.append([opened(), *messages, closed()], producer=producer, first_seq=1)
    assert answer.status_code == 200, answer.text


def test_a_launcher_that_knows_of_a_failure_without_an_exit_code_is_heard(shared_server: Server) -> None:
    job = register(shared_server)
    run(job)
    cause = {"code": "timeout", "detail": "DeadlineExceeded", "node": "n7", "unheard-of": 1}
    ended = job.finish(outcome="failed", cause=cause, reason="Job failed: DeadlineExceeded")
    assert (ended["verdict"], codes(ended)) == ("failed", ["timeout"])
    kept = {"code": "timeout", "detail": "DeadlineExceeded", "node": "n7"}
    assert (ended["outcome"], ended["cause"], ended["exit_code"]) == ("failed", kept, None)
    assert ended["receipt"]["whole"] is True
    assert job.read()["reasons"][0]["cause"] == kept
    # The same word changes nothing; another outcome takes the cause away.
    assert job.finish(outcome="failed", cause=cause)["revision"] == 0
    again = job.finish(outcome="succeeded")
    assert (again["verdict"], again["cause"], again["revision"]) == ("succeeded", None, 1)


@pytest.mark.parametrize(
    ("word", "pointer"),
    [
        ({"outcome": "fine"}, "/outcome"),
        ({"outcome": 3}, "/outcome"),
        ({"cause": "timeout"}, "/cause"),
        ({"cause": {"detail": "x"}}, "/cause/code"),
        ({"cause": {"code": "no spaces", "detail": "x"}}, "/cause/code"),
        ({"cause": {"code": "timeout"}}, "/cause/detail"),
        ({"cause": {"code": "timeout", "detail": "", "exit_code": "9"}}, "/cause/exit_code"),
        ({"cause": {"code": "timeout", "detail": "", "peak_memory_bytes": -1}}, "/cause/peak_memory_bytes"),
        ({"cause": {"code": "timeout", "detail": "", "attempt": [1, "2"]}}, "/cause/attempt"),
        ({"cause": {"code": "timeout", "detail": "", "signal": {}}}, "/cause/signal"),
        ({"launched": "no"}, "/launched"),
        ({"exit_code": True}, "/exit_code"),
    ],
)
def test_a_wrong_end_is_told_where_and_what_was_expected(shared_server: Server, word: Json, pointer: str) -> None:
    job = register(shared_server)
    problem = problem_of(shared_server.http.post(f"{job.path}/finish", json=word), status=422, name="invalid-request")
    assert (problem["pointer"], bool(problem["expected"])) == (pointer, True)
    assert job.read()["status"] == "registered"


def test_a_supervisor_reports_the_end_from_inside_and_closes_by_it(shared_server: Server) -> None:
    job = register(shared_server, settle_seconds=0.1)
    answer = job.append([opening(role="supervisor"), log("begins")], producer="s", first_seq=1)
    assert answer.status_code == 200
    assert job.read()["opened_at"] is None
    run(job)
    supervisor = next(one for one in job.read()["producers"] if one["producer"] == "s")
    assert (supervisor["role"], supervisor["closed"], supervisor["end"]) == ("supervisor", False, None)
    cause = {"code": "out-of-memory", "detail": "OOMKilled"}
    job.append([process_end(outcome="failed", exit_code=137, cause=cause)], producer="s", first_seq=3)
    with job.stream(after=5) as events:
        ended = next(events).data
    assert (ended["verdict"], codes(ended)) == ("failed", ["exit-code", "out-of-memory"])
    shown = {one["producer"]: one for one in ended["producers"]}["s"]
    assert shown["end"]["cause"] == cause
    # The launcher's word beside it is kept as well, and makes it no better.
    ended = job.finish(outcome="succeeded", exit_code=0)
    assert (ended["verdict"], ended["outcome"], ended["exit_code"]) == ("failed", "succeeded", 0)


def test_nothing_settles_while_a_supervisor_is_open_and_its_missing_end_is_missing(shared_server: Server) -> None:
    job = register(shared_server, settle_seconds=0.05)
    job.append([opening(role="supervisor")], producer="s", first_seq=1)
    run(job)
    job.append([custom(1)], producer="s", first_seq=2)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], codes(ended)) == ("incomplete", ["never-closed"])


def test_a_supervisor_that_closes_without_an_end_has_not_said_its_last_word(shared_server: Server) -> None:
    job = register(shared_server, pipes="optional")
    job.append([opening(role="supervisor"), closed()], producer="s", first_seq=1)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], codes(ended)) == ("incomplete", ["never-closed"])
    assert "never reported the end of its process" in ended["reasons"][0]["detail"]
    job.append([process_end(exit_code=0), closed()], producer="s", first_seq=3)
    assert job.read()["verdict"] == "succeeded"


def test_a_supervisors_later_words_leave_what_it_said_before(shared_server: Server) -> None:
    job = register(shared_server)
    run(job)
    end = {"code": "evicted", "detail": "", "attempt": 0}
    job.append([opening(role="supervisor"), process_end(exit_code=1, cause=end)], producer="s", first_seq=1)
    # Neither a word more nor another opening takes the failure back.
    job.append([process_end(reason="done"), opening(rank=0), closed()], producer="s", first_seq=3)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], codes(ended)) == ("failed", ["exit-code"])
    shown = {one["producer"]: one for one in ended["producers"]}["s"]
    assert (shown["role"], shown["end"]["exit_code"], shown["end"]["reason"]) == ("supervisor", 1, "done")


def test_an_end_of_the_first_attempt_by_its_number_can_be_read_again(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="p", first_seq=1)
    ended = job.finish(outcome="failed", cause={"code": "evicted", "detail": "", "attempt": 0})
    assert codes(ended) == ["evicted", "never-closed"]
    assert job.append([closed()], producer="p", first_seq=2).status_code == 200
    assert codes(job.read()) == ["evicted"]
    assert job.finish(reason="more")["verdict"] == "failed"


def test_an_exception_of_a_childs_own_is_not_hidden_by_a_signal_that_comes_later(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="parent", first_seq=1)
    by_signal = closed(exception={"message": "ended by SIGTERM"}, signal="SIGTERM")
    own = closed(exception={"message": "no such day"})
    job.append([opening(parent="parent"), own, by_signal], producer="one", first_seq=1)
    job.append([opening(parent="parent"), by_signal, own], producer="two", first_seq=1)
    job.append([closed()], producer="parent", first_seq=2)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], codes(ended)) == ("failed", ["exception", "exception"])
    assert all("no such day" in reason["detail"] for reason in ended["reasons"])


def test_many_calls_of_launch_stay_bounded_in_the_history(shared_sqlite_server: Server) -> None:
    # On one kind of database: one statement counts them, the same for both.
    job = register(shared_sqlite_server)
    for number in range(1_010):
        shared_sqlite_server.http.post(f"{job.path}/launch", json={"state": "running", "node": f"n{number}"})
    assert changes(job).count("launch") == 1_000
    assert job.read()["platform"]["node"] == "n1009"


def test_only_a_supervisor_reports_an_end(shared_server: Server) -> None:
    job = register(shared_server)
    answer = job.append([opened(), process_end(exit_code=0), closed()], producer="p", first_seq=1)
    assert answer.status_code == 207
    assert answer.json()["results"][0]["problem"]["pointer"] == "/method"
    bare = job.append(process_end(exit_code=0))
    assert problem_of(bare, status=422, name="invalid-message")["stored"] is True
    assert job.finish(exit_code=0)["verdict"] == "failed"


def test_a_wrong_end_of_a_supervisor_is_rejected_with_its_place(shared_server: Server) -> None:
    job = register(shared_server)
    answer = job.append([opening(role="supervisor"), process_end(outcome="ok")], producer="s", first_seq=1)
    assert answer.json()["results"][0]["problem"]["pointer"] == "/params/outcome"


def test_a_program_that_cannot_report_is_judged_by_its_launcher_and_says_so(shared_server: Server) -> None:
    job = register(shared_server, pipes="optional")
    assert job.read()["pipes"] == "optional"
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["judged_by"], ended["receipt"]["whole"]) == ("succeeded", "launcher", True)
    failed = register(shared_server, pipes="optional").finish(exit_code=3)
    assert (failed["verdict"], failed["judged_by"]) == ("failed", "launcher")
    unsaid = register(shared_server, pipes="optional").finish(reason="12 features written")
    assert (unsaid["verdict"], unsaid["judged_by"], codes(unsaid)) == ("incomplete", None, ["never-opened"])
    wanting = register(shared_server, pipes="optional", expected={"asset_keys": ["a"]}).finish(exit_code=0)
    assert (wanting["verdict"], codes(wanting)) == ("incomplete", ["missing-materialization"])
    held = register(shared_server, pipes="optional")
    held.append([opened()], producer="p", first_seq=1)
    assert (ended := held.finish(exit_code=0))["verdict"] == "incomplete"
    assert ended["judged_by"] is None
    strict = register(shared_server).finish(exit_code=0)
    assert (strict["verdict"], strict["pipes"]) == ("incomplete", "required")
    wrong = shared_server.http.post("/invocations", json={"pipes": "sometimes"})
    assert problem_of(wrong, status=422, name="invalid-request")["pointer"] == "/pipes"


def test_a_process_that_opens_after_succeeded_is_taken_and_the_verdict_is_computed_again(shared_server: Server) -> None:
    job = register(shared_server)
    run(job)
    assert job.finish(exit_code=0)["verdict"] == "succeeded"
    # Neither a known producer's words, nor a new one's that does not open, nor the anonymous one's.
    assert job.append([custom(1)], producer="p", first_seq=3).status_code == 409
    assert job.append([custom(1)], producer="q", first_seq=1).status_code == 409
    assert job.append(opened()).status_code == 409
    assert job.http.get(f"{job.path}/context").status_code == 404
    late = [opening(pid=4711), custom("late")]
    assert job.append(late, producer="late", first_seq=1).status_code == 200
    ended = job.read()
    assert (ended["verdict"], codes(ended), ended["revision"]) == ("incomplete", ["late-producer", "never-closed"], 1)
    assert job.http.get(f"{job.path}/context").status_code == 200
    assert job.append([closed()], producer="late", first_seq=3).status_code == 200
    assert codes(job.read()) == ["late-producer"]
    assert job.append(late, producer="late", first_seq=1).status_code == 200
    assert [event["producer"] for event in job.events(after=2)] == ["late"] * 3


def test_the_end_waits_for_a_child_whose_parent_has_closed(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="parent", first_seq=1)
    job.append([opening(parent="parent")], producer="child", first_seq=1)
    job.append([closed()], producer="parent", first_seq=2)
    answers: list[Json] = []
    finishing = threading.Thread(target=lambda: answers.append(job.finish(exit_code=0)), name="finishing")
    finishing.start()
    # It is under way once a second call, which finds it waiting, would change nothing: the child closes at any rate.
    assert job.append([custom(1), closed()], producer="child", first_seq=2).status_code == 200
    finishing.join(timeout=10)
    assert [answer["verdict"] for answer in answers] == ["succeeded"]


def test_the_end_waits_five_seconds_for_a_child_at_most_and_not_at_all_for_others(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="parent", first_seq=1)
    job.append([opening(parent="parent")], producer="child", first_seq=1)
    began = monotonic()
    assert job.finish(exit_code=0)["verdict"] == "incomplete"
    assert monotonic() - began < 4
    orphaned = register(shared_server)
    orphaned.append([opened(), closed()], producer="parent", first_seq=1)
    orphaned.append([opening(parent="parent")], producer="child", first_seq=1)
    began = monotonic()
    assert codes(orphaned.finish(exit_code=0)) == ["never-closed"]
    assert 4.5 < monotonic() - began < 30


def test_a_worker_that_its_pool_ended_is_a_note(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="parent", first_seq=1)
    job.append([opening(parent="parent"), custom(1)], producer="child", first_seq=1)
    exception = {"message": "ended by SIGTERM", "name": "PipesTerminated"}
    job.append([closed(exception=exception, signal="SIGTERM")], producer="child", first_seq=3)
    job.append([closed()], producer="parent", first_seq=2)
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], [note["code"] for note in ended["notes"]]) == ("succeeded", ["child-terminated"])


def test_a_launcher_says_where_its_work_is_and_how_long_it_waited(shared_server: Server) -> None:
    job = register(shared_server, launcher={"name": "slurm"})
    assert job.read()["platform"] is None

    def launch(**members: object) -> Json:
        answer = shared_server.http.post(f"{job.path}/launch", json=members)
        assert answer.status_code == 200, answer.text
        return answer.json()["platform"]

    launch(state="submitted", platform="slurm", job_id="17", at="2026-01-31T12:00:00Z")
    launch(state="queued", at="2026-01-31T12:00:01Z")
    running = launch(state="running", node="n7", at="2026-01-31T12:05:00Z")
    assert running == {
        "state": "running",
        "platform": "slurm",
        "job_id": "17",
        "node": "n7",
        "at": "2026-01-31T12:05:00.000000Z",
        "submitted_at": "2026-01-31T12:00:00.000000Z",
        "queued_at": "2026-01-31T12:00:01.000000Z",
        "running_at": "2026-01-31T12:05:00.000000Z",
    }
    # A repeated call and a late one change nothing; the late one's time is learnt.
    assert launch(state="running", node="n7", at="2026-01-31T12:05:00Z") == running
    late = launch(state="starting", node="n6", at="2026-01-31T12:04:00Z")
    assert late == running | {"starting_at": "2026-01-31T12:04:00.000000Z"}
    assert changes(job) == ["registered", "launch", "launch", "launch", "launch"]
    # A new attempt has times of its own.
    again = launch(state="queued", attempt=1, job_id="18", at="2026-01-31T13:00:00Z")
    assert (again["attempt"], again["state"], again["platform"], "node" in again) == ([1], "queued", "slurm", False)
    assert job.read()["status"] == "registered"
    listed = shared_server.http.get("/invocations", params={"limit": 1}).json()["items"][0]
    assert listed["platform"] == again


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({}, "/state"),
        ({"state": "flying"}, "/state"),
        ({"state": "queued", "job_id": 17}, "/job_id"),
        ({"state": "queued", "node": "n" * 513}, "/node"),
        ({"state": "queued", "at": "yesterday"}, "/at"),
        ({"state": "queued", "attempt": -1}, "/attempt"),
    ],
)
def test_a_wrong_launch_is_told_where(shared_server: Server, members: Json, pointer: str) -> None:
    job = register(shared_server)
    answer = shared_server.http.post(f"{job.path}/launch", json=members)
    assert problem_of(answer, status=422, name="invalid-request")["pointer"] == pointer


def test_a_process_may_not_speak_for_its_launcher(shared_server: Server) -> None:
    job = register(shared_server)
    for call in ("launch", "attempts", "finish"):
        assert job.http.post(f"{job.path}/{call}", json={"state": "queued", "attempt": 1}).status_code == 404


def test_a_materialization_by_a_supervisor_is_no_more_and_no_less_than_anybodys(shared_server: Server) -> None:
    job = register(shared_server, pipes="optional", expected={"asset_keys": ["tiles"]})
    messages = [opening(role="supervisor"), materialization("tiles"), process_end(exit_code=0, outcome="succeeded")]
    assert job.append(messages, producer="s", first_seq=1).status_code == 200
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], ended["judged_by"]) == ("succeeded", "launcher")


def test_a_supervisors_end_is_described_among_more_producers_than_are_listed(shared_server: Server) -> None:
    job = register(shared_server, settle_seconds=30)
    job.append([opening(role="supervisor"), process_end(exit_code=7, outcome="failed")], producer="s", first_seq=1)
    for rank in range(110):
        job.append([opened()], producer=f"rank-{rank}", first_seq=1)
    shown = job.read()
    assert "s" not in {one["producer"] for one in shown["producers"]}
    assert shown["ends"] == [{"producer": "s", "description": "failed, exit code 7", "detail": ""}]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"exit_code": 3, "outcome": "failed"}, "failed, exit code 3"),
        ({"exit_code": 3, "cause": {"code": "timeout", "detail": "", "attempt": 2}}, "exit code 3, timeout, attempt 2"),
        ({"exit_code": "3"}, None),
        ({"cause": {"code": "timeout", "detail": "", "peak_memory_bytes": 10**700}}, None),
    ],
)
def test_an_end_that_is_rejected_is_described_where_it_can_be_read(
    shared_server: Server, params: Json, words: str | None
) -> None:
    job = register(shared_server)
    # Only a supervisor may report an end.
    job.append([opened(), process_end(**params)], producer="p", first_seq=1)
    (end,) = [one for one in job.events(metadata="normal") if one["method"] == "report_process_end"]
    assert (end["problem"] is not None, end.get("description")) == (True, words)

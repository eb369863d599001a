"""Refused requests without numbers: their messages are missing, and the verdict says so. On both databases, by HTTP."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ServerFactory
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, Json, closed, custom, materialization, opened, problem_of, register

_QUOTED = '{"method": "log", "params": {"message": "he said "hi"", "level": "INFO"}}'
"""As a shell puts it together: the quotes of a value are not escaped."""


@pytest.fixture
def job(shared_server: Server) -> Job:
    made = register(shared_server)
    assert made.append(opened()).status_code == 200
    return made


def _refuse(job: Job, body: str | bytes = _QUOTED, *, status: int = 400, **headers: str) -> Json:
    answer = job.append(body, headers={name.replace("_", "-"): value for name, value in headers.items()})
    assert answer.status_code == status, answer.text
    return answer.json()


def _close(job: Job, **finish: object) -> Json:
    assert job.append(closed()).status_code == 200
    return job.finish(**finish)


def _wait_for_the_end(job: Job) -> Json:
    wait_until(lambda: job.read()["status"] == "ended", what="the invocation to end by itself")
    return job.read()


def _history(job: Job, change: str = "refused") -> list[Json]:
    items = job.server.http.get(f"{job.path}/history").json()["items"]
    return [item["detail"] for item in items if item["change"] == change]


def _codes(ended: Json) -> list[str]:
    return [reason["code"] for reason in ended["reasons"]]


# What counts


def test_a_report_with_an_unescaped_quote_is_no_green_run(job: Job, tmp_path: Path) -> None:
    curl = shutil.which("curl")
    assert curl is not None, "The tests need curl."
    headers = tmp_path / "headers"
    headers.write_text(f"Authorization: Bearer {job.registered['token']}\n")
    url = f"{job.server.url}/api/v1{job.path}/events"

    def send(body: str) -> str:
        command = [curl, "--silent", "--noproxy", "*", "--header", f"@{headers}", "--data", body]
        return subprocess.run([*command, url], capture_output=True, text=True, check=True, timeout=30).stdout

    refused = json.loads(
        send('{"method":"report_asset_materialization","params":{"asset_key":"a","data_version":""1""}}')
    )
    assert (refused["type"], refused["status"]) == ("/problems/malformed", 400)
    assert "accepted_through" in send(json.dumps(closed()))
    ended = job.finish(exit_code=0)
    assert (ended["verdict"], _codes(ended)) == ("incomplete", ["refused-requests"])
    assert ended["reasons"][0]["count"] == 1
    assert "malformed" in ended["reasons"][0]["detail"]
    (kept,) = _history(job)
    assert (kept["problem"], kept["status"], kept["length"]) == ("malformed", 400, 89)
    assert kept["start"].startswith('{"method":"report_asset_materialization"')
    # No event, no position, nothing in the receipt.
    assert [event["method"] for event in job.events()] == ["opened", "closed"]
    assert ended["last_position"] == 2


def test_it_ends_incomplete_by_itself_too(shared_server: Server) -> None:
    job = register(shared_server, settle_seconds=0.1)
    job.append(opened())
    _refuse(job)
    job.append(closed())
    ended = _wait_for_the_end(job)
    assert (ended["verdict"], _codes(ended)) == ("incomplete", ["refused-requests"])


def test_every_refusal_of_a_request_without_numbers_counts(job: Job) -> None:
    deep = '{"method": "report_custom_message", "params": {"payload": ' + "[" * 200 + "]" * 200 + "}}"
    many = json.dumps([custom(1)] * 10_001)
    refused = [
        _refuse(job),
        _refuse(job, "7"),
        _refuse(job, b"\xff\xfe"),
        _refuse(job, ""),
        _refuse(job, many, status=413),
        _refuse(job, deep, status=413),
        _refuse(job, json.dumps(custom(2)), status=400, standpipe_first_seq="1"),
        _refuse(job, json.dumps(custom(3)), status=400, idempotency_key="k" * 300),
        _refuse(job, json.dumps(custom(4)), status=415, content_encoding="br"),
        _refuse(job, b"not gzip", status=400, content_encoding="gzip"),
    ]
    ended = _close(job, exit_code=0)
    assert (ended["verdict"], _codes(ended)) == ("incomplete", ["refused-requests"])
    assert ended["reasons"][0]["count"] == len(refused)
    assert [(kept["problem"], kept["status"]) for kept in _history(job)] == [
        (problem["type"].removeprefix("/problems/"), problem["status"]) for problem in refused
    ]
    assert [kept["length"] for kept in _history(job)][:4] == [len(_QUOTED), 1, 2, 0]


def test_a_body_that_is_too_large_counts_by_what_is_known_of_it(job: Job) -> None:
    body = b"x" * (17 * 1024 * 1024)
    for _ in range(2):
        _refuse(job, body, status=413)
    _refuse(job, gzip.compress(b"x" * (65 * 1024 * 1024)), status=413, content_encoding="gzip")
    kept = _history(job)
    assert [each["problem"] for each in kept] == ["too-large", "too-large"]
    assert kept[0]["length"] == len(body)
    assert _close(job, exit_code=0)["reasons"][0]["count"] == 2


def test_a_header_given_twice_counts(job: Job) -> None:
    headers = [("Content-Type", "application/json"), ("Content-Type", "text/plain")]
    answer = job.http.post(f"{job.path}/events", content=json.dumps(custom(1)), headers=headers)
    problem_of(answer, status=400, name="malformed")
    assert _codes(_close(job, exit_code=0)) == ["refused-requests"]


def test_what_is_seen_elsewhere_or_was_not_the_jobs_does_not_count(job: Job) -> None:
    numbered = {"Standpipe-Producer": "p", "Standpipe-First-Seq": "1"}
    assert job.append(_QUOTED, headers=numbered).status_code == 400
    with job.server.client(token="spt_wrong") as stranger:
        assert stranger.post(f"{job.path}/events", content=_QUOTED).status_code == 401
    with job.server.client(token=register(job.server).registered["token"]) as other:
        assert other.post(f"{job.path}/events", content=_QUOTED).status_code == 404
    assert job.append(custom(1), headers={"Idempotency-Key": "k"}).status_code == 200
    assert job.append(custom(2), headers={"Idempotency-Key": "k"}).status_code == 409
    assert job.http.post(f"{job.path}/heartbeat", content="{").status_code == 400
    ended = _close(job, exit_code=0)
    assert (ended["verdict"], _history(job)) == ("succeeded", [])


def test_a_rejected_message_is_stored_and_no_refusal(job: Job) -> None:
    assert job.append({"method": "log", "params": {}}).json()["stored"] is True
    _refuse(job)
    ended = _close(job, exit_code=0)
    assert (ended["verdict"], _codes(ended)) == ("failed", ["rejected-messages", "refused-requests"])
    assert len(_history(job)) == 1


# Once, and not any more


def test_the_same_body_or_key_counts_once(job: Job) -> None:
    for _ in range(3):
        _refuse(job)
        _refuse(job, "{1", idempotency_key="one")
        _refuse(job, "{2", idempotency_key="one")
        # Known by its body, and from now on by this key as well.
        _refuse(job, idempotency_key="two")
        _refuse(job, "{3", idempotency_key="two")
    assert len(_history(job)) == 2
    assert _close(job, exit_code=0)["reasons"][0]["count"] == 2


@pytest.mark.parametrize("ended_before", [False, True])
def test_a_later_request_under_the_key_that_is_stored_takes_it_back(job: Job, ended_before: bool) -> None:
    _refuse(job, idempotency_key="report-1")
    _refuse(job, "{", idempotency_key="report-2")
    if ended_before:
        assert _close(job, exit_code=0)["reasons"][0]["count"] == 2
    assert job.append(custom(1), headers={"Idempotency-Key": "report-1"}).status_code == 200
    if ended_before:
        assert (job.read()["revision"], job.read()["reasons"][0]["count"]) == (1, 1)
    assert job.append(custom(2), headers={"Idempotency-Key": "report-2"}).status_code == 200
    ended = job.read() if ended_before else _close(job, exit_code=0)
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])
    assert ended["revision"] == (2 if ended_before else 0)
    assert [detail["standing"] for detail in _history(job, "refusal-taken-back")] == [1, 0]
    # They stay in the history.
    assert len(_history(job)) == 2


def test_the_same_body_that_is_stored_after_all_takes_it_back(job: Job) -> None:
    body = json.dumps(custom(1))
    _refuse(job, body, status=415, content_encoding="br")
    assert job.append(body).status_code == 200
    assert _close(job, exit_code=0)["verdict"] == "succeeded"


def test_a_rejected_report_takes_back_what_was_refused_under_its_key(job: Job) -> None:
    _refuse(job, idempotency_key="k")
    assert job.append({"method": "log", "params": {}}, headers={"Idempotency-Key": "k"}).status_code == 422
    assert _codes(_close(job, exit_code=0)) == ["rejected-messages"]


def test_a_broken_retry_of_what_is_stored_does_not_count(job: Job) -> None:
    assert job.append(custom(1), headers={"Idempotency-Key": "k"}).status_code == 200
    _refuse(job, idempotency_key="k")
    assert _close(job, exit_code=0)["verdict"] == "succeeded"
    assert len(_history(job)) == 1


# How many


def test_the_first_twenty_are_kept_and_the_rest_is_counted(job: Job) -> None:
    for _ in range(2):
        for number in range(150):
            _refuse(job, f"{{{number}")
    ended = _close(job, exit_code=0)
    kept = _history(job)
    assert len(kept) == 21
    assert [each["start"] for each in kept[:20]] == [f"{{{number}" for number in range(20)]
    # Of those beyond the first 128 it is not known any more that they came before.
    assert kept[20] == {"more": 128 + 2 * 22 - 20}
    assert ended["reasons"][0]["count"] == 128 + 2 * 22
    assert len(ended["reasons"]) == 1


def test_refused_requests_are_limited_like_all_others(start_server: ServerFactory, database_url: str) -> None:
    server = start_server(database_url=database_url, arguments=["--requests-per-second", "1"])
    job = register(server)
    answers = [job.append(f"{{{number}").status_code for number in range(20)]
    assert set(answers) == {400, 429}
    assert len(_history(job)) == answers.count(400)


# When


@pytest.mark.parametrize("verdict", ["succeeded", "cancelled"])
def test_after_a_good_end_or_a_cancel_it_is_history_only(job: Job, verdict: str) -> None:
    if verdict == "cancelled":
        assert job.server.http.post(f"{job.path}/cancel", json={}).status_code == 200
        ended = job.finish(exit_code=1)
    else:
        ended = _close(job, exit_code=0)
    assert ended["verdict"] == verdict
    _refuse(job)
    after = job.read()
    assert (after["verdict"], after["reasons"], after["revision"]) == (verdict, ended["reasons"], 0)
    assert len(_history(job)) == 1
    # Nor does it count when the verdict is computed again for something else.
    again = job.finish(exit_code=3)
    assert "refused-requests" not in _codes(again)


@pytest.mark.parametrize(("finish", "verdict"), [({}, "incomplete"), ({"exit_code": 1}, "failed")])
def test_after_another_end_the_verdict_is_computed_again(job: Job, finish: Json, verdict: str) -> None:
    before = job.finish(**finish)
    assert before["verdict"] == verdict
    _refuse(job)
    after = job.read()
    assert (after["verdict"], after["revision"]) == (verdict, 1)
    assert sorted(_codes(after)) == sorted([*_codes(before), "refused-requests"])
    assert _codes(after)[0 if verdict == "incomplete" else 1] == "refused-requests"
    _refuse(job)
    assert job.read()["revision"] == 1


def test_after_a_lost_lease_it_comes_behind_that(shared_server: Server) -> None:
    job = register(shared_server, lease_seconds=0.5)
    job.append(opened())
    _refuse(job)
    ended = _wait_for_the_end(job)
    assert (ended["verdict"], _codes(ended)[:2]) == ("lost", ["lease-expired", "refused-requests"])


def test_who_was_cancelled_and_closed_clean_is_told_of_it(job: Job) -> None:
    assert job.server.http.post(f"{job.path}/cancel", json={}).status_code == 200
    _refuse(job)
    ended = _close(job)
    assert (ended["verdict"], _codes(ended)) == ("cancelled", ["cancel-requested", "refused-requests"])


def test_it_is_stored_before_the_answer(start_server: ServerFactory, database_url: str) -> None:
    server = start_server(database_url=database_url)
    job = register(server)
    job.append(opened())
    _refuse(job)
    server.kill9()
    server.restart()
    job.http = server.client(token=job.registered["token"])
    assert len(_history(job)) == 1
    assert _codes(_close(job, exit_code=0)) == ["refused-requests"]


def test_two_servers_count_together(start_server: ServerFactory, postgres_url: str) -> None:
    first, second = start_server(database_url=postgres_url), start_server(database_url=postgres_url)
    job = register(first)
    elsewhere = Job(second, job.registered, second.client(token=job.registered["token"]))
    job.append(opened())
    for number in range(3):
        _refuse(job, f"{{{number}")
        _refuse(elsewhere, f"{{{number}")
    assert elsewhere.append(custom(1), headers={"Idempotency-Key": "k"}).status_code == 200
    assert _close(elsewhere, exit_code=0)["reasons"][0]["count"] == 3


# What is shown


def test_what_looks_like_a_credential_is_not_kept(job: Job) -> None:
    token = job.registered["token"]
    _refuse(job, f'{{"method": "log", "params": {{"password": "hun"ter2", "x": "{token}", "y": "Basic dXNlcjpwdw=="}}')
    _refuse(job, "{" + "x" * 170 + '"api_key": "0123456789abcdef0123456789abcdef", "y": 1}')
    _refuse(job, json.dumps(materialization("a")), standpipe_first_seq=token)
    (first, second, third) = _history(job)
    assert first["start"] == '{"method": "log", "params": {"password": ***, "x": "***", "y": "***"}'
    assert second["start"] == "{" + "x" * 170 + '"api_key": ***'
    everything = json.dumps([first, second, third, _close(job, exit_code=0)["reasons"]])
    for secret in ("hun", "ter2", token, "dXNlcjpwdw", "0123456789"):
        assert secret not in everything


def test_any_bytes_can_be_kept(job: Job) -> None:
    _refuse(job, b"{\x00\xff\xed\xa0\x80\x1b[31m" + "ü".encode() * 300)
    (kept,) = _history(job)
    assert kept["length"] == 11 + 600
    assert kept["start"].startswith("{\x00\\xff\\xed")
    assert len(kept["start"]) == 200


def test_it_goes_with_its_invocation(job: Job) -> None:
    _refuse(job)
    assert job.server.http.delete(job.path, params={"force": "true"}).status_code == 204
    # A server may know the token for a while longer; there is nothing any more to keep it in.
    assert job.append(_QUOTED).status_code in (400, 404)

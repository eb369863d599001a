"""The protocol's two tables on appending, row by row, over real HTTP on both databases."""

from __future__ import annotations

import json

import pytest

from tests.support.server import Server
from tests.support.wire import check, closed, custom, log, materialization, opened, problem_of, register


def test_a_batch_that_is_next_in_line_is_stored_and_acknowledged(shared_server: Server) -> None:
    job = register(shared_server)
    answer = job.append([opened(), custom(1), custom(2)], producer="p", first_seq=1)
    assert answer.status_code == 200
    assert answer.json() == {
        "accepted_through": 3,
        "last_position": 3,
        "results": [],
        "control": {"cancel_requested": False},
    }
    again = job.append([custom(3)], producer="p", first_seq=4)
    assert (again.json()["accepted_through"], again.json()["last_position"]) == (4, 4)
    assert [(e["position"], e["producer"], e["seq"]) for e in job.events()] == [(n, "p", n) for n in (1, 2, 3, 4)]


def test_events_come_back_with_what_was_sent(shared_server: Server) -> None:
    job = register(shared_server)
    job.append(
        {"method": "report_custom_message", "params": {"payload": {"a": [1]}}, "sent_at": "2026-01-02T03:04:05Z"}
    )
    (event,) = job.events()
    assert event["method"] == "report_custom_message"
    assert event["params"] == {"payload": {"a": [1]}}
    assert event["sent_at"] == "2026-01-02T03:04:05Z"
    assert event["received_at"].endswith("Z")
    assert "problem" not in event


def test_a_retry_stores_nothing_twice(shared_server: Server) -> None:
    job = register(shared_server)
    batch = [custom(n) for n in range(3)]
    first = job.append(batch, producer="p", first_seq=1)
    assert job.append(batch, producer="p", first_seq=1).json() == first.json()
    assert len(job.events()) == 3


def test_of_an_overlapping_batch_only_what_is_new_is_stored(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([custom(1), custom(2)], producer="p", first_seq=1)
    answer = job.append([custom(2), custom(3)], producer="p", first_seq=2)
    assert (answer.status_code, answer.json()["accepted_through"], answer.json()["last_position"]) == (200, 3, 3)
    assert [event["params"]["payload"] for event in job.events()] == [1, 2, 3]


def test_a_retry_is_told_the_same_problems_again(shared_server: Server) -> None:
    job = register(shared_server)
    batch = [custom(1), {"method": "nonsense", "params": {}}, custom(3)]
    first = job.append(batch, producer="p", first_seq=1)
    assert first.status_code == 207
    assert job.append(batch, producer="p", first_seq=1).json()["results"] == first.json()["results"]
    assert len(job.events()) == 3


def test_a_batch_that_leaves_a_gap_stores_nothing_and_names_the_number_to_resend_from(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([custom(1)], producer="p", first_seq=1)
    problem = problem_of(job.append([custom(5)], producer="p", first_seq=5), status=409, name="sequence-gap")
    assert problem["expected_seq"] == 2
    assert problem["control"] == {"cancel_requested": False}
    assert len(job.events()) == 1


def test_a_rejected_message_costs_its_siblings_nothing_and_is_visible_in_history(shared_server: Server) -> None:
    job = register(shared_server)
    answer = job.append([custom(1), {"method": "log", "params": {}}, custom(3)], producer="p", first_seq=1)
    assert answer.status_code == 207
    body = answer.json()
    assert body["accepted_through"] == 3
    (result,) = body["results"]
    assert (result["index"], result["seq"], result["position"]) == (1, 2, 2)
    assert result["problem"]["type"] == "/problems/invalid-message"
    assert result["problem"]["pointer"].startswith("/params")
    assert result["problem"]["expected"]
    events = job.events()
    assert [event.get("problem", {}).get("type") for event in events] == [None, "/problems/invalid-message", None]


def test_a_bare_object_that_breaks_a_rule_gets_its_own_problem_and_is_stored(shared_server: Server) -> None:
    job = register(shared_server)
    problem = problem_of(job.append({"method": "log", "params": {}}), status=422, name="invalid-message")
    assert (problem["stored"], problem["position"], problem["seq"]) == (True, 1, 1)
    assert problem["control"] == {"cancel_requested": False}
    assert job.events()[0]["problem"]["type"] == "/problems/invalid-message"


def test_a_bare_second_materialization_is_a_conflict_and_is_stored_as_rejected(shared_server: Server) -> None:
    job = register(shared_server)
    assert job.append(materialization("a")).status_code == 200
    problem = problem_of(job.append(materialization("a")), status=409, name="duplicate-materialization")
    assert (problem["stored"], problem["position"]) == (True, 2)


@pytest.mark.parametrize("body", [b"{", b"nonsense", b'"text"', b"", b'[{"method": "log"]'])
def test_a_body_that_is_not_json_is_refused_whole(shared_server: Server, body: bytes) -> None:
    job = register(shared_server)
    problem = problem_of(job.append(body), status=400, name="malformed")
    assert "offset" in problem or "line" in problem
    assert problem["control"] == {"cancel_requested": False}
    assert job.events() == []


def test_a_body_that_is_not_utf8_is_refused_whole(shared_server: Server) -> None:
    job = register(shared_server)
    body = b'[{"method":"opened","params":{}},{"method":"log","params":{"message":"\xff"}}]'
    assert "offset" in problem_of(job.append(body), status=400, name="malformed")
    assert job.events() == []


def test_a_broken_line_is_named_by_its_number(shared_server: Server) -> None:
    job = register(shared_server)
    body = json.dumps(opened()) + "\n\n{broken\n"
    headers = {"Content-Type": "application/x-ndjson"}
    problem = problem_of(job.append(body, headers=headers), status=400, name="malformed")
    assert problem["line"] == 3
    assert job.events() == []


def test_lines_are_taken_as_messages(shared_server: Server) -> None:
    job = register(shared_server)
    body = "\n".join(json.dumps(custom(n)) for n in range(3)) + "\n"
    answer = job.append(body, headers={"Content-Type": "application/x-ndjson; charset=utf-8"})
    assert answer.json()["accepted_through"] == 3


def test_what_curl_sends_as_a_form_is_read_as_json(shared_server: Server) -> None:
    job = register(shared_server)
    answer = job.append(custom(1), headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 200


def test_without_numbers_the_server_numbers(shared_server: Server) -> None:
    job = register(shared_server)
    assert job.append(custom(1)).json()["accepted_through"] == 1
    assert job.append([custom(2), custom(3)]).json()["accepted_through"] == 3
    assert [event["seq"] for event in job.events()] == [1, 2, 3]


def test_an_idempotency_key_makes_a_retry_without_numbers_safe(shared_server: Server) -> None:
    job = register(shared_server)
    headers = {"Idempotency-Key": "once"}
    first = job.append([custom(1)], headers=headers)
    assert job.append([custom(1)], headers=headers).json() == first.json()
    assert len(job.events()) == 1


def test_an_idempotency_key_used_for_another_body_is_a_conflict(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([custom(1)], headers={"Idempotency-Key": "once"})
    answer = job.append([custom(2)], headers={"Idempotency-Key": "once"})
    problem_of(answer, status=409, name="idempotency-conflict")
    assert len(job.events()) == 1


def test_two_producers_number_independently(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([custom("a1")], producer="a", first_seq=1)
    job.append([custom("b1"), custom("b2")], producer="b", first_seq=1)
    assert [(e["position"], e["producer"], e["seq"]) for e in job.events()] == [(1, "a", 1), (2, "b", 1), (3, "b", 2)]


@pytest.mark.parametrize(
    "headers",
    [
        {"Standpipe-Producer": "p"},
        {"Standpipe-First-Seq": "1"},
        {"Standpipe-Producer": "p", "Standpipe-First-Seq": "0"},
        {"Standpipe-Producer": "p", "Standpipe-First-Seq": "one"},
        {"Standpipe-Producer": "p", "Standpipe-First-Seq": "-1"},
        {"Standpipe-Producer": "p", "Standpipe-First-Seq": "9" * 30},
        {"Standpipe-Producer": "p q", "Standpipe-First-Seq": "1"},
        {"Standpipe-Producer": "p" * 129, "Standpipe-First-Seq": "1"},
        {"Standpipe-Producer": "p", "Standpipe-First-Seq": "1", "Standpipe-Numbered": "x"},
        {"Idempotency-Key": "k" * 256},
        {"Idempotency-Key": ""},
    ],
)
def test_a_malformed_header_is_refused_and_named(shared_server: Server, headers: dict[str, str]) -> None:
    job = register(shared_server)
    problem = problem_of(job.append([custom(1)], headers=headers), status=400, name="malformed")
    assert problem["header"] in {*headers, "Standpipe-Producer", "Standpipe-First-Seq"}
    assert job.events() == []


# New messages after the end


@pytest.mark.parametrize("verdict", ["failed", "incomplete"])
def test_late_messages_after_a_verdict_that_may_change_are_stored_and_revise_it(
    shared_server: Server, verdict: str
) -> None:
    job = register(shared_server)
    job.append([opened()], producer="p", first_seq=1)
    ended = job.finish(exit_code=1 if verdict == "failed" else 0)
    assert (ended["verdict"], ended["revision"]) == (verdict, 0)
    answer = job.append([custom("late"), closed()], producer="p", first_seq=2)
    assert (answer.status_code, answer.json()["accepted_through"]) == (200, 3)
    after = job.read()
    assert after["revision"] == 1
    assert after["verdict"] == ("failed" if verdict == "failed" else "succeeded")


@pytest.mark.parametrize("verdict", ["succeeded", "cancelled"])
def test_new_messages_after_a_final_verdict_are_refused_and_a_retry_is_not(shared_server: Server, verdict: str) -> None:
    job = register(shared_server)
    batch = [opened(), closed()] if verdict == "succeeded" else [opened()]
    job.append(batch, producer="p", first_seq=1)
    if verdict == "cancelled":
        shared_server.http.post(f"{job.path}/cancel")
    assert job.finish()["verdict"] == verdict
    answer = job.append([custom("late")], producer="p", first_seq=len(batch) + 1)
    problem = problem_of(answer, status=409, name="invocation-ended")
    assert (problem["verdict"], problem["last_position"]) == (verdict, len(batch))
    assert "cancel_requested" in problem["control"]
    assert job.append(batch, producer="p", first_seq=1).status_code == 200
    assert len(job.events()) == len(batch)


# What is accepted


@pytest.mark.parametrize("message", [materialization("b"), check("b", "c")])
def test_a_key_outside_the_invocations_keys_is_rejected(shared_server: Server, message: dict[str, object]) -> None:
    job = register(shared_server, context={"asset_keys": ["a"]})
    problem_of(job.append(message), status=422, name="invalid-message")


@pytest.mark.parametrize("keys", [None, []])
def test_without_keys_any_key_is_accepted(shared_server: Server, keys: list[str] | None) -> None:
    job = register(shared_server, context={"asset_keys": keys})
    assert job.append([materialization("x"), check("y", "c")]).status_code == 200


def test_a_second_materialization_by_another_producer_is_rejected(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([materialization("a")], producer="p", first_seq=1)
    answer = job.append([materialization("a")], producer="q", first_seq=1)
    assert answer.status_code == 207
    assert answer.json()["results"][0]["problem"]["type"] == "/problems/duplicate-materialization"


def test_a_second_materialization_within_one_batch_is_rejected(shared_server: Server) -> None:
    job = register(shared_server)
    answer = job.append([materialization("a"), materialization("b"), materialization("a")])
    assert [result["index"] for result in answer.json()["results"]] == [2]


def test_repeated_checks_early_messages_and_late_words_are_accepted_with_a_note(shared_server: Server) -> None:
    job = register(shared_server)
    batch = [log("early"), opened(), check("a", "c"), check("a", "c"), closed(), log("late"), closed()]
    assert job.append(batch, producer="p", first_seq=1).status_code == 200
    noted = [bool(event.get("notes")) for event in job.events()]
    assert noted == [True, False, False, True, False, True, True]


@pytest.mark.parametrize(
    "message",
    [
        {"method": "unheard_of", "params": {}},
        {"params": {}},
        {"method": 5},
        [],
        7,
        None,
        {"method": "report_custom_message", "params": {}},
        {"method": "report_asset_materialization", "params": {"asset_key": 5, "metadata": {}, "data_version": None}},
        {"method": "report_asset_materialization", "params": {"asset_key": ""}},
        {"method": "report_asset_check", "params": {"asset_key": "a", "check_name": "c", "passed": "yes"}},
        check("a", "c", severity="FATAL"),
        log("x", level="LOUD"),
    ],
)
def test_a_message_of_wrong_shape_is_rejected(shared_server: Server, message: object) -> None:
    job = register(shared_server)
    answer = job.append(json.dumps([message, custom("sibling")]))
    assert answer.status_code == 207, answer.text
    (result,) = answer.json()["results"]
    assert result["index"] == 0
    assert result["problem"]["type"] == "/problems/invalid-message"
    assert "pointer" in result["problem"]
    assert job.events()[1]["params"] == {"payload": "sibling"}


def test_extra_parameters_are_kept(shared_server: Server) -> None:
    job = register(shared_server)
    message = {"method": "report_custom_message", "params": {"payload": 1, "colour": "red"}, "flavour": "x"}
    assert job.append(message).status_code == 200
    assert job.events()[0]["params"] == {"payload": 1, "colour": "red"}


def test_non_finite_numbers_are_kept_as_strings(shared_server: Server) -> None:
    job = register(shared_server)
    body = '[{"method":"report_custom_message","params":{"payload":[NaN,Infinity,-Infinity,"NaN is text"]}}]'
    assert job.append(body).status_code == 200
    assert job.events()[0]["params"]["payload"] == ["NaN", "Infinity", "-Infinity", "NaN is text"]


def test_huge_integers_and_nul_characters_are_carried_unharmed(shared_server: Server) -> None:
    job = register(shared_server)
    payload = {"n": 10**400, "text": "a\x00b", "key\x00": "\u2028"}
    assert job.append(custom(payload)).status_code == 200
    assert job.events()[0]["params"]["payload"] == payload


def test_a_log_message_with_nul_and_an_asset_key_with_nul_are_carried_unharmed(shared_server: Server) -> None:
    job = register(shared_server)
    answer = job.append([log("bad\x00thing", level="ERROR"), materialization("a\x00b")])
    assert answer.status_code == 200, answer.text
    assert [event["params"].get("asset_key") for event in job.events()] == [None, "a\x00b"]


@pytest.mark.parametrize(
    "message",
    [
        {"method": "opened", "params": None},
        {"method": "closed", "params": None},
        {"method": "closed", "params": {"message": "boom", "stack": None, "name": "E", "cause": None, "context": []}},
        {"method": "closed", "params": {"exception": {"message": "boom", "stack": [], "name": None, "cause": None}}},
    ],
)
def test_what_upstreams_other_sdks_send_is_accepted(shared_server: Server, message: dict[str, object]) -> None:
    job = register(shared_server)
    assert job.append([message]).status_code == 200


def test_a_heartbeat_carries_control_and_begins_a_lease(shared_server: Server) -> None:
    job = register(shared_server)
    assert job.read()["lease_expires_at"] is None
    answer = job.heartbeat()
    assert answer.status_code == 200
    assert answer.json()["control"] == {"cancel_requested": False}
    assert job.read()["lease_expires_at"] is not None
    assert job.http.post(f"{job.path}/heartbeat").status_code == 200


def test_a_tail_that_was_numbered_and_never_came_is_named(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened(), closed()], producer="p", first_seq=1, headers={"Standpipe-Numbered": "4"})
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "incomplete"
    assert any("3" in reason["detail"] and "4" in reason["detail"] for reason in ended["reasons"])

"""The orchestrator's calls: registering, listing, conditional reads, cancelling, finishing, deleting, history."""

from __future__ import annotations

import hashlib
import json
import uuid

import httpx
import pytest
from sqlalchemy import create_engine, update

from standpipe_server.store.database import engines, tables
from tests.support.server import Server
from tests.support.wire import closed, custom, log, materialization, opened, problem_of, register

CONTEXT = {
    "asset_keys": ["a", "pre/b"],
    "code_version_by_asset_key": {"a": "1", "pre/b": None},
    "provenance_by_asset_key": {"a": None, "pre/b": None},
    "partition_key": "2026-01",
    "partition_key_range": {"start": "2026-01", "end": "2026-01"},
    "partition_time_window": None,
    "run_id": "run-7",
    "retry_number": 2,
    "job_name": "nightly",
    "extras": {"threshold": 0.1, "deep": {"list": [1, 2, None]}},
}


def test_a_registration_gives_everything_a_process_needs(shared_server: Server) -> None:
    answer = shared_server.http.post("/invocations", json={"context": CONTEXT, "tags": {"team": "x"}})
    assert answer.status_code == 201
    body = answer.json()
    invocation = body["invocation"]
    assert invocation["id"].startswith("inv_")
    assert (invocation["status"], invocation["verdict"], invocation["revision"]) == ("registered", None, 0)
    assert invocation["tags"] == {"team": "x"}
    assert invocation["context"] == CONTEXT
    assert body["url"] == shared_server.url
    assert body["env"] == {
        "STANDPIPE_URL": shared_server.url,
        "STANDPIPE_INVOCATION": invocation["id"],
        "STANDPIPE_TOKEN": body["token"],
    }
    assert answer.headers["location"] == f"{shared_server.url}/api/v1/invocations/{invocation['id']}"


def test_the_process_is_told_its_context_limits_and_lease(shared_server: Server) -> None:
    job = register(shared_server, context=CONTEXT)
    answer = job.http.get(f"{job.path}/context").json()
    assert answer["context"] == CONTEXT
    assert answer["protocol"].startswith("1.")
    assert answer["limits"]["message_bytes"] == 8 * 1024 * 1024
    assert answer["lease"] == {"seconds": 60.0, "expires_at": None}
    assert answer["control"] == {"cancel_requested": False}


def test_reading_the_context_renews_the_lease_for_the_process_and_not_for_an_operator(shared_server: Server) -> None:
    job = register(shared_server, context=CONTEXT, lease_seconds=60)
    assert job.append(opened()).status_code == 200

    def lease_end() -> str:
        return shared_server.http.get(job.path).json()["lease_expires_at"]

    before = lease_end()
    told = shared_server.http.get(f"{job.path}/context").json()["lease"]["expires_at"]
    assert told == lease_end() == before
    told = job.http.get(f"{job.path}/context").json()["lease"]["expires_at"]
    assert told == lease_end() > before


def test_extras_travel_unchanged_to_the_last_digit(shared_server: Server) -> None:
    body = '{"context":{"extras":{"n":123456789012345678901234567890,"f":0.1000000000000000055511151231257827}}}'
    registered = shared_server.http.post("/invocations", content=body).json()
    client = shared_server.client(token=registered["token"])
    text = client.get(f"/invocations/{registered['invocation']['id']}/context").text
    assert '{"n":123456789012345678901234567890,"f":0.1000000000000000055511151231257827}' in text


def test_integers_of_any_size_are_carried_wherever_a_registration_holds_them(shared_server: Server) -> None:
    digits, run_id = "9" * 20_000, str(uuid.uuid4())
    body = f'{{"launcher": {{"n": {digits}}}, "context": {{"run_id": "{run_id}", "extras": {{"n": {digits}}}}}}}'
    registered = shared_server.http.post("/invocations", content=body)
    assert registered.status_code == 201, registered.text
    listed = shared_server.http.get("/invocations", params={"run_id": run_id})
    assert listed.status_code == 200, listed.text
    for answer in (registered, listed):
        assert f'"launcher":{{"n": {digits}}}' in answer.text
    assert f'"extras":{{"n": {digits}}}' in registered.text
    assert '"extras_omitted":true' in listed.text


def test_the_environment_stays_under_a_kilobyte_whatever_the_extras(shared_server: Server) -> None:
    job = register(shared_server, context={"extras": {"big": "x" * 1_000_000}})
    assert sum(len(name) + len(value) + 2 for name, value in job.registered["env"].items()) < 1024
    assert len(job.http.get(f"{job.path}/context").json()["context"]["extras"]["big"]) == 1_000_000


def test_the_same_key_and_json_is_the_same_invocation_with_a_token_that_works(shared_server: Server) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first = shared_server.http.post("/invocations", content='{"context": {"run_id": "r"}, "tags": {}}', headers=headers)
    again = shared_server.http.post("/invocations", content='{"tags":{},"context":{"run_id":"r"}}', headers=headers)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.headers["idempotency-replayed"] == "true"
    assert "idempotency-replayed" not in first.headers
    assert again.json()["invocation"]["id"] == first.json()["invocation"]["id"]
    path = f"/invocations/{first.json()['invocation']['id']}/context"
    for answer in (first, again):
        assert shared_server.client(token=answer.json()["token"]).get(path).status_code == 200


def test_the_token_of_a_process_outlives_all_registrations_that_take_it_up_again(shared_server: Server) -> None:
    key = f"tokens-{uuid.uuid4()}"
    answers = [
        shared_server.http.post("/invocations", json={"context": {}}, headers={"Idempotency-Key": key}).json()
        for _ in range(60)
    ]
    path = f"/invocations/{answers[0]['invocation']['id']}/context"
    works = [
        number
        for number, answer in enumerate(answers)
        if shared_server.client(token=answer["token"]).get(path).status_code == 200
    ]
    # The work was launched by one of the first; the last ones may launch it still. Those between are bounded.
    assert works == [*range(8), *range(44, 60)]


def test_the_same_key_with_other_json_is_a_conflict(shared_server: Server) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    shared_server.http.post("/invocations", json={"context": {}}, headers=headers)
    answer = shared_server.http.post("/invocations", json={"context": {"run_id": "x"}}, headers=headers)
    problem_of(answer, status=409, name="idempotency-conflict")


def test_what_a_server_of_1_0_registered_is_found_again_by_equal_json_of_any_size(
    server: Server, database_url: str
) -> None:
    headers = {"Idempotency-Key": "large"}
    wire = {"tags": {}, "context": {"run_id": "r", "extras": {"big": "x" * 1_100_000}}}
    body = json.dumps(wire)
    first = server.http.post("/invocations", content=body, headers=headers).json()
    assert server.stop() == 0
    engine, table = create_engine(engines.database_url(database_url)), tables.invocation
    # What 1.0 wrote there, whatever the size.
    ordered = hashlib.sha256(json.dumps(wire, sort_keys=True, separators=(",", ":")).encode()).digest()
    with engine.begin() as connection:
        assert connection.execute(update(table).values(request_digest=ordered)).rowcount == 1
    engine.dispose()
    server.restart()
    for again in (body, json.dumps(wire, sort_keys=True, indent=1)):
        answer = server.http.post("/invocations", content=again, headers=headers)
        assert answer.status_code == 201, answer.text
        assert answer.json()["invocation"]["id"] == first["invocation"]["id"]
    answer = server.http.post("/invocations", content=body.replace("xx", "xy", 1), headers=headers)
    problem_of(answer, status=409, name="idempotency-conflict")


@pytest.mark.parametrize(
    ("body", "status", "name", "pointer"),
    [
        ("{", 400, "malformed", None),
        ("[]", 422, "invalid-request", ""),
        ('{"context": 5}', 422, "invalid-request", "/context"),
        ('{"context": {"asset_keys": "a"}}', 422, "invalid-request", "/context/asset_keys"),
        ('{"context": {}, "tags": {"a": 1}}', 422, "invalid-request", "/tags"),
        ('{"context": {}, "lease_seconds": -1}', 422, "invalid-request", "/lease_seconds"),
        ('{"context": {}, "retry_of": "nonsense"}', 422, "invalid-request", "/retry_of"),
        ('{"context": {"extras": ' + "[" * 200 + "]" * 200 + "}}", 413, "too-large", None),
    ],
)
def test_a_wrong_registration_is_told_where_and_what_was_expected(
    shared_server: Server, body: str, status: int, name: str, pointer: str | None
) -> None:
    problem = problem_of(shared_server.http.post("/invocations", content=body), status=status, name=name)
    if pointer is not None:
        assert problem["pointer"].startswith(pointer)
        assert problem["expected"]


def test_an_invocation_is_read_conditionally(shared_server: Server) -> None:
    job = register(shared_server)
    first = shared_server.http.get(job.path)
    tag = first.headers["etag"]
    assert tag.startswith('W/"')
    same = shared_server.http.get(job.path, headers={"If-None-Match": f'"other", {tag}'})
    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    job.append([opened()])
    changed = shared_server.http.get(job.path, headers={"If-None-Match": tag})
    assert (changed.status_code, changed.json()["status"]) == (200, "running")
    before = changed.headers["etag"]
    shared_server.http.post(f"{job.path}/cancel")
    assert shared_server.http.get(job.path).headers["etag"] != before


# Lists


def _ids(server: Server, **query: object) -> list[str]:
    answer = server.http.get("/invocations", params={"limit": 100, **query})  # pyright: ignore[reportArgumentType]
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def test_invocations_are_listed_newest_first_and_paged_without_gap(shared_server: Server) -> None:
    run = str(uuid.uuid4())
    made = [register(shared_server, context={"run_id": run}).id for _ in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    for _ in range(3):
        query = {"run_id": run, "limit": 2, **({"cursor": cursor} if cursor else {})}
        page = shared_server.http.get("/invocations", params=query).json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert cursor is None
    assert seen == list(reversed(made))


def test_each_filter_finds_what_it_names(shared_server: Server) -> None:
    mark = str(uuid.uuid4())
    job = register(
        shared_server,
        context={"asset_keys": [f"{mark}/x"], "partition_key": mark, "job_name": mark, "run_id": mark},
        tags={"mark": mark, "other": "1"},
    )
    retry = register(shared_server, retry_of=job.id, tags={"mark": mark})
    for query in (
        {"asset_key": f"{mark}/x"},
        {"partition_key": mark},
        {"job_name": mark},
        {"run_id": mark},
        {"tag": [f"mark={mark}", "other"]},
        {"text": mark, "run_id": mark},
    ):
        assert _ids(shared_server, **query) == [job.id], query
    assert _ids(shared_server, tag=f"mark={mark}") == [retry.id, job.id]
    assert _ids(shared_server, retry_of=job.id) == [retry.id]
    assert _ids(shared_server, run_id=mark, status="registered") == [job.id]
    assert _ids(shared_server, run_id=mark, status="ended") == []
    created = job.read()["created_at"]
    assert _ids(shared_server, run_id=mark, since=created) == [job.id]
    assert _ids(shared_server, run_id=mark, until=created) == []
    job.append([opened(), closed()], producer="p", first_seq=1)
    job.finish(exit_code=0)
    assert _ids(shared_server, run_id=mark, verdict="succeeded") == [job.id]


@pytest.mark.parametrize(
    "query", [{"limit": "0"}, {"limit": "x"}, {"status": "asleep"}, {"since": "yesterday"}, {"retry_of": "\x00"}]
)
def test_a_wrong_filter_is_named(shared_server: Server, query: dict[str, str]) -> None:
    problem = problem_of(shared_server.http.get("/invocations", params=query), status=422, name="invalid-request")
    assert problem["pointer"] == f"/query/{next(iter(query))}"


@pytest.mark.parametrize("name", ["asset_key", "tag", "job_name", "run_id", "partition_key", "text", "cursor"])
def test_a_filter_may_hold_any_character(shared_server: Server, name: str) -> None:
    for value in ("\x00", "a\x00=\x00b", "\udcff".encode("utf-8", "surrogatepass"), "%", "_", "\\"):
        answer = shared_server.http.get("/invocations", params={name: value, "limit": 1})
        assert answer.status_code == (400 if name == "cursor" else 200), (value, answer.text)
        asset = shared_server.http.get("/assets", params={name: value})
        assert asset.status_code == (400 if name == "cursor" else 200), (value, asset.text)


def test_a_registration_may_hold_any_character(shared_server: Server) -> None:
    mark = f"{uuid.uuid4()}\x00\u2028"
    job = register(shared_server, context={"job_name": mark, "run_id": mark, "partition_key": mark}, tags={mark: mark})
    assert job.read()["tags"] == {mark: mark}
    assert _ids(shared_server, run_id=mark) == [job.id]
    assert _ids(shared_server, tag=f"{mark}={mark}") == [job.id]
    assert job.http.get(f"{job.path}/context").json()["context"]["job_name"] == mark


def test_a_cursor_is_good_for_its_own_filter_only(shared_server: Server) -> None:
    run = str(uuid.uuid4())
    for _ in range(2):
        register(shared_server, context={"run_id": run})
    cursor = shared_server.http.get("/invocations", params={"run_id": run, "limit": 1}).json()["next_cursor"]
    for query in ({"cursor": cursor}, {"run_id": run, "cursor": "nonsense"}, {"run_id": run, "cursor": cursor + "x"}):
        problem_of(shared_server.http.get("/invocations", params=query), status=400, name="malformed")


# Delete


def test_a_running_invocation_is_deleted_only_by_force(shared_server: Server) -> None:
    job = register(shared_server)
    job.append([opened()], producer="p", first_seq=1)
    problem_of(shared_server.http.delete(job.path), status=409, name="invocation-running")
    forced = shared_server.http.delete(job.path, params={"force": "true"})
    assert (forced.status_code, forced.content) == (204, b"")
    for path in (job.path, f"{job.path}/events", f"{job.path}/history"):
        problem_of(shared_server.http.get(path), status=404, name="not-found")
    assert job.append([custom(1)]).status_code in (401, 404)


def test_an_ended_invocation_is_deleted_with_its_events(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    job = register(shared_server)
    job.append([opened(), materialization(key), log("x"), closed()], producer="p", first_seq=1)
    job.finish(exit_code=0)
    assert shared_server.http.delete(job.path).status_code == 204
    problem_of(shared_server.http.get(f"/assets/{key}"), status=404, name="not-found")


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", ""), ("DELETE", ""), ("POST", "/cancel"), ("POST", "/finish"), ("GET", "/history"), ("GET", "/context")],
)
def test_an_invocation_that_is_not_there_is_not_found(shared_server: Server, method: str, path: str) -> None:
    for name in ("inv_0197c0de-0000-7000-8000-000000000000", "nonsense", "%00"):
        answer: httpx.Response = shared_server.http.request(method, f"/invocations/{name}{path}")
        problem_of(answer, status=404, name="not-found")

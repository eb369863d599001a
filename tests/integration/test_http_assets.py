"""History by asset, across invocations, over real HTTP on both databases."""

from __future__ import annotations

import uuid
from urllib.parse import quote

import pytest

from tests.support.server import Server
from tests.support.wire import check, closed, materialization, observation, opened, problem_of, register


def test_materializations_of_an_asset_are_found_across_invocations_newest_first(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    jobs = [register(shared_server, context={"partition_key": f"p{n}"}) for n in range(3)]
    for number, job in enumerate(jobs):
        metadata = {"rows": {"raw_value": number, "type": "int"}, "note": "plain"}
        job.append([opened(), materialization(key, metadata=metadata, data_version=f"v{number}"), closed()])
    page = shared_server.http.get(f"/assets/{key}/materializations").json()
    assert page["next_cursor"] is None
    assert [(i["invocation_id"], i["partition_key"], i["data_version"]) for i in page["items"]] == [
        (jobs[n].id, f"p{n}", f"v{n}") for n in (2, 1, 0)
    ]
    newest = page["items"][0]
    assert newest["position"] == 2
    assert newest["asset_key"] == key
    assert newest["metadata"]["rows"]["raw_value"] == 2
    assert newest["metadata"]["note"]["type"] == "text"
    only = shared_server.http.get(f"/assets/{key}/materializations", params={"partition_key": "p1"}).json()
    assert [item["invocation_id"] for item in only["items"]] == [jobs[1].id]


def test_lists_by_asset_are_paged_without_gap(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    made: list[str] = []
    for _ in range(5):
        job = register(shared_server)
        job.append([materialization(key)])
        made.append(job.id)
    seen: list[str] = []
    query: dict[str, str | int] = {"limit": 2}
    while True:
        page = shared_server.http.get(f"/assets/{key}/materializations", params=query).json()
        seen += [item["invocation_id"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert seen == list(reversed(made))
    other = f"/assets/{key}/checks"
    answer = shared_server.http.get(other, params={"cursor": str(query["cursor"])})
    problem_of(answer, status=400, name="malformed")


def test_checks_of_an_asset_are_listed_with_their_result(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    job = register(shared_server)
    job.append([check(key, "fresh"), check(key, "complete", passed=False, severity="WARN")])
    items = shared_server.http.get(f"/assets/{key}/checks").json()["items"]
    assert [(i["check_name"], i["passed"], i["severity"]) for i in items] == [
        ("complete", False, "WARN"),
        ("fresh", True, "ERROR"),
    ]
    only = shared_server.http.get(f"/assets/{key}/checks", params={"check_name": "fresh"}).json()["items"]
    assert [item["check_name"] for item in only] == ["fresh"]


def test_observations_of_an_asset_are_found_across_invocations_and_count_as_no_materialization(
    shared_server: Server,
) -> None:
    key, made = f"asset-{uuid.uuid4()}", f"asset-{uuid.uuid4()}"
    expected = {"asset_keys": [made]}
    job = register(shared_server, context={"partition_key": "p0", "asset_keys": [key, made]}, expected=expected)
    seen = [
        observation(key, metadata={"rows": 1}, data_version="v1", tags={"source": "cron", "odd": 1}),
        observation(key, partition="elsewhere"),
        observation(made),
    ]
    assert job.append([opened(), *seen, materialization(key), closed()]).status_code == 200
    path = f"/assets/{key}"
    items = shared_server.http.get(f"{path}/observations").json()["items"]
    assert [(i["position"], i["partition_key"], i["data_version"]) for i in items] == [
        (3, "elsewhere", None),
        (2, "p0", "v1"),
    ]
    assert items[1]["metadata"] == {"rows": {"type": "int", "raw_value": 1}}
    assert items[1]["params"]["tags"] == {"source": "cron", "odd": 1}
    only = shared_server.http.get(f"{path}/observations", params={"partition_key": "p0", "limit": 1}).json()
    assert [item["position"] for item in only["items"]] == [2]
    assert [item["position"] for item in shared_server.http.get(f"{path}/materializations").json()["items"]] == [5]
    asset = shared_server.http.get(path).json()
    assert (asset["last_observation"]["position"], asset["last_materialization"]["position"]) == (3, 5)
    only_seen = shared_server.http.get(f"/assets/{made}").json()
    assert (only_seen["last_observation"]["position"], only_seen["last_materialization"]) == (4, None)
    found = shared_server.http.get("/invocations", params={"asset_key": made}).json()["items"]
    assert [item["id"] for item in found] == [job.id]
    ended = job.finish(exit_code=0)
    assert ended["verdict"] == "incomplete"
    assert [reason["code"] for reason in ended["reasons"]] == ["missing-materialization"]
    assert ended["receipt"]["by_method"]["report_asset_observation"] == 3
    assert shared_server.http.delete(job.path, params={"force": "true"}).status_code == 204
    problem_of(shared_server.http.get(path), status=404, name="not-found")


@pytest.mark.parametrize(
    "key",
    [
        "plain",
        "pre/key",
        "pre/a\\/b",
        "back\\\\slash",
        "materializations",
        "pre/checks",
        "a b?c#d%e",
        "ключ",
        "pre//empty",
    ],
)
def test_every_key_is_found_by_its_escaped_text_percent_encoded(shared_server: Server, key: str) -> None:
    mark = f"{uuid.uuid4()}/{key}"
    job = register(shared_server)
    assert job.append(materialization(mark)).status_code == 200
    path = f"/assets/{quote(mark, safe='')}"
    asset = shared_server.http.get(path)
    assert asset.status_code == 200, asset.text
    assert asset.json()["asset_key"] == mark
    items = shared_server.http.get(f"{path}/materializations").json()["items"]
    assert [item["invocation_id"] for item in items] == [job.id]
    assert shared_server.http.get(f"{path}/checks").json()["items"] == []


def test_slashes_between_parts_need_no_escape(shared_server: Server) -> None:
    mark = str(uuid.uuid4())
    job = register(shared_server)
    job.append(materialization(f"{mark}/a/b"))
    assert shared_server.http.get(f"/assets/{mark}/a/b").json()["asset_key"] == f"{mark}/a/b"
    items = shared_server.http.get(f"/assets/{mark}/a/b/materializations").json()["items"]
    assert [item["invocation_id"] for item in items] == [job.id]


def test_only_assets_on_which_something_was_reported_are_listed(shared_server: Server) -> None:
    mark = str(uuid.uuid4())
    job = register(shared_server, context={"asset_keys": [f"{mark}-a", f"{mark}-b", f"{mark}-c"]})
    job.append([materialization(f"{mark}-a"), check(f"{mark}-b", "c")])
    items = shared_server.http.get("/assets", params={"text": mark}).json()["items"]
    assert [item["asset_key"] for item in items] == [f"{mark}-a", f"{mark}-b"]
    problem_of(shared_server.http.get(f"/assets/{mark}-c"), status=404, name="not-found")


def test_a_rejected_materialization_is_in_no_list(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    job = register(shared_server)
    job.append([materialization(key), materialization(key)])
    assert len(shared_server.http.get(f"/assets/{key}/materializations").json()["items"]) == 1


def test_one_malformed_metadata_entry_leaves_its_siblings_alone(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    job = register(shared_server)
    metadata = {
        "good": {"raw_value": 1, "type": "int"},
        "bad": {"raw_value": "x", "type": "int"},
        "nan": {"raw_value": "NaN", "type": "float"},
    }
    assert job.append(materialization(key, metadata=metadata)).status_code == 200
    (item,) = shared_server.http.get(f"/assets/{key}/materializations").json()["items"]
    assert item["metadata"]["good"]["raw_value"] == 1
    assert item["metadata"]["bad"]["type"] == "json"
    assert item["metadata"]["nan"]["type"] == "float"


def test_integers_of_any_size_are_listed_as_they_were_reported(shared_server: Server) -> None:
    key, digits = f"asset-{uuid.uuid4()}", "9" * 100_000
    metadata = f'{{"typed": {{"raw_value": {digits}, "type": "int"}}, "plain": -{digits}}}'
    params = f'{{"asset_key": "{key}", "metadata": {metadata}, "data_version": null}}'
    body = f'{{"method": "report_asset_materialization", "params": {params}}}'
    assert register(shared_server).append(body).status_code == 200
    for path in (f"/assets/{key}/materializations", f"/assets/{key}", f"/assets?text={key}"):
        answer = shared_server.http.get(path)
        assert answer.status_code == 200, answer.text
        # Each once in the event's parameters and once in normal form.
        assert answer.text.count(f":{digits}") == answer.text.count(f":-{digits}") == 2

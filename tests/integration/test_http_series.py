"""Numbers over time and schemas from one materialization to the next; over real HTTP on both databases."""

from __future__ import annotations

import math
import uuid
from typing import Any
from urllib.parse import quote

from tests.support.server import Server
from tests.support.wire import check, materialization, opened, problem_of, register


def _series(server: Server, key: str, label: str, **query: Any) -> dict[str, Any]:
    path = f"/assets/{quote(key, safe='')}/metadata/{quote(label, safe='')}/series"
    answer = server.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_numbers_in_metadata_become_points_that_lead_to_their_invocation(shared_server: Server) -> None:
    key = f"pre/asset-{uuid.uuid4()}"
    jobs = [register(shared_server, context={"partition_key": f"p{n}"}) for n in range(3)]
    for number, job in enumerate(jobs):
        metadata = {
            "rows/all %": {"raw_value": number * 10, "type": "int"},
            "plain": number + 0.5,
            "yes": True,
            "text": "5",
            "time": {"raw_value": 5, "type": "timestamp"},
        }
        job.append([opened(), materialization(key, metadata=metadata)])
    labels = shared_server.http.get(f"/assets/{quote(key, safe='')}/metadata").json()["items"]
    assert [(item["label"], item["last"]["value"]) for item in labels] == [("plain", 2.5), ("rows/all %", 20)]
    assert shared_server.http.get(f"/assets/{quote(key, safe='')}").json()["numeric_labels"] == ["plain", "rows/all %"]
    series = _series(shared_server, key, "rows/all %")
    assert [(p["value"], p["invocation_id"], p["position"], p["partition_key"]) for p in series["points"]] == [
        (n * 10, jobs[n].id, 2, f"p{n}") for n in range(3)
    ]
    assert series["binned"] is False
    at = series["points"][1]["at"]
    assert [p["value"] for p in _series(shared_server, key, "plain", since=at)["points"]][-1] == 2.5
    assert [p["value"] for p in _series(shared_server, key, "plain", until=at)["points"]] == [0.5]
    assert [p["value"] for p in _series(shared_server, key, "plain", partition_key="p2")["points"]] == [2.5]
    assert _series(shared_server, key, "text")["points"] == []
    shared_server.http.delete(jobs[0].path, params={"force": True})
    assert len(_series(shared_server, key, "plain")["points"]) == 2


def test_a_long_series_is_told_in_bins_with_their_extremes(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    for number in range(30):
        register(shared_server).append([materialization(key, metadata={"n": number})])
    series = _series(shared_server, key, "n", max_points=4)
    assert series["binned"] is True
    assert 1 <= len(series["points"]) <= 4
    assert sum(point["count"] for point in series["points"]) == 30
    assert min(point["min"] for point in series["points"]) == 0
    assert max(point["max"] for point in series["points"]) == 29
    assert series["points"][-1]["value"] == 29


def test_numbers_of_checks_are_series_of_their_own(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    message = check(key, "complete")
    message["params"]["metadata"] = {"missing": {"raw_value": 3, "type": "int"}}
    register(shared_server).append([message])
    assert _series(shared_server, key, "missing")["points"] == []
    assert [p["value"] for p in _series(shared_server, key, "missing", check_name="complete")["points"]] == [3]


def test_a_series_of_an_unknown_asset_is_not_found(shared_server: Server) -> None:
    answer = shared_server.http.get(f"/assets/asset-{uuid.uuid4()}/metadata/rows/series")
    problem_of(answer, status=404, name="not-found")


def test_an_assets_checks_are_counted_by_their_last_report(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    job = register(shared_server)
    job.append([check(key, "a", passed=False), check(key, "b", passed=False, severity="WARN"), check(key, "c")])
    job.append([check(key, "a")])
    (item,) = shared_server.http.get("/assets", params={"text": key}).json()["items"]
    assert item["check_state"] == {"passed": 2, "failed": 0, "warned": 1}


def test_schema_changes_are_told_newest_first_and_paged(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"

    def column(name: str, kind: str = "int") -> dict[str, Any]:
        return {"name": name, "type": kind}

    schemas = [[column("a")], [column("a")], [column("a"), column("b")], [column("b", "text")]]
    jobs = [register(shared_server) for _ in schemas]
    for job, columns in zip(jobs, schemas, strict=True):
        schema = {"raw_value": {"columns": columns}, "type": "table_schema"}
        job.append([materialization(key, metadata={"schema": schema})])
    path = f"/assets/{key}/schema-changes"
    everything = shared_server.http.get(path).json()
    assert [(item["invocation_id"], item["previous"]["invocation_id"]) for item in everything["items"]] == [
        (jobs[3].id, jobs[2].id),
        (jobs[2].id, jobs[1].id),
    ]
    newest, oldest = everything["items"]
    assert [one["name"] for one in newest["removed"]] == ["a"]
    assert [(one["name"], one["before"]["type"], one["after"]["type"]) for one in newest["changed"]] == [
        ("b", "int", "text")
    ]
    assert [one["name"] for one in oldest["added"]] == ["b"]
    paged: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": 1}
    while True:
        page = shared_server.http.get(path, params=query).json()
        paged += page["items"]
        if page["next_cursor"] is None:
            break
        query["cursor"] = page["next_cursor"]
    assert paged == everything["items"]


def test_numbers_are_there_however_many_reports_came_and_whenever_somebody_looks(shared_server: Server) -> None:
    """They are taken out when somebody looks, some hundred at a time: none is missed, none taken twice."""
    key, path = f"asset-{uuid.uuid4()}", ""
    for count in (250, 3):
        for number in range(count):
            metadata: dict[str, Any] = {"n": number} if number % 3 else {"text": "none"}
            register(shared_server).append([materialization(key, metadata=metadata)])
        path = f"/assets/{quote(key, safe='')}"
        assert shared_server.http.get(path).json()["numeric_labels"] == ["n"]
    assert len(_series(shared_server, key, "n", max_points=1000)["points"]) == 166 + 2
    assert [item["label"] for item in shared_server.http.get(f"{path}/metadata").json()["items"]] == ["n"]


def _labels(server: Server, key: str, **query: Any) -> dict[str, Any]:
    answer = server.http.get(f"/assets/{quote(key, safe='')}/metadata", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_last_number_that_is_not_finite_is_the_last_number(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    ends: dict[str, Any] = {
        "typed": {"raw_value": "NaN", "type": "float"},
        "inferred": {"raw_value": math.nan, "type": "__infer__"},
        "plain": -math.inf,
        "huge": {"raw_value": 10**400, "type": "int"},
        "nothing": {"raw_value": None, "type": "float"},
    }
    for number in range(4):
        register(shared_server).append([materialization(key, metadata=dict.fromkeys(ends, number / 2))])
    last = register(shared_server)
    last.append([materialization(key, metadata=ends)])
    found = {item["label"]: item["last"] for item in _labels(shared_server, key)["items"]}
    assert {label: point["value"] for label, point in found.items()} == {
        "typed": "NaN",
        "inferred": "NaN",
        "plain": "-Infinity",
        "huge": "Infinity",
        "nothing": None,
    }
    assert {point["invocation_id"] for point in found.values()} == {last.id}
    points = _series(shared_server, key, "typed")["points"]
    assert [(p["value"], p["min"], p["max"]) for p in points[-2:]] == [(1.5, 1.5, 1.5), ("NaN", "NaN", "NaN")]
    binned = _series(shared_server, key, "typed", max_points=1)
    assert [(p["value"], p["min"], p["max"], p["count"]) for p in binned["points"]] == [("NaN", 0, 1.5, 5)]


def test_many_numbers_of_one_report_are_all_listed_and_have_their_series(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    metadata = {f"layer_{n:04d}": float(n) for n in range(1200)} | {"val_loss": 0.1}
    register(shared_server).append([materialization(key, metadata=metadata)])
    listed: list[str] = []
    page = _labels(shared_server, key)
    while True:
        listed += [item["label"] for item in page["items"]]
        if page["next_cursor"] is None:
            break
        page = _labels(shared_server, key, cursor=page["next_cursor"])
    assert listed == sorted(metadata)
    assert page["left_out"] == 0
    assert [p["value"] for p in _series(shared_server, key, "val_loss")["points"]] == [0.1]
    problem_of(shared_server.http.get(f"/assets/{key}/metadata", params={"cursor": "x"}), status=400, name="malformed")


def test_numbers_beyond_ten_thousand_of_one_report_are_counted(shared_server: Server) -> None:
    key = f"asset-{uuid.uuid4()}"
    for _ in range(3):
        metadata = {f"n{n:05d}": n for n in range(10_007)} | {"x" * 513: 1}
        register(shared_server).append([materialization(key, metadata=metadata)])
    found = _labels(shared_server, key, limit=2)
    assert [item["label"] for item in found["items"]] == ["n00000", "n00001"]
    assert found["left_out"] == 8
    assert len(_series(shared_server, key, "n09999")["points"]) == 3

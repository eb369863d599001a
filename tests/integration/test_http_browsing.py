"""Finding invocations, counting them over time, comparing them and pinning them; over real HTTP on both databases."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.support.server import Server
from tests.support.wire import Job, check, closed, custom, log, materialization, opened, problem_of, register


def _listed(server: Server, **query: Any) -> list[dict[str, Any]]:
    """Through all pages."""
    items: list[dict[str, Any]] = []
    cursor: dict[str, str] = {}
    while True:
        answer = server.http.get("/invocations", params={**query, **cursor})
        assert answer.status_code == 200, answer.text
        page = answer.json()
        items += page["items"]
        if page["next_cursor"] is None:
            return items
        cursor = {"cursor": page["next_cursor"]}


def _ids(server: Server, **query: Any) -> list[str]:
    return [item["id"] for item in _listed(server, **query)]


def _ended(server: Server, job_name: str, *messages: dict[str, Any], **context: Any) -> Job:
    job = register(server, context={"job_name": job_name, **context})
    job.append([opened(), *messages, closed()])
    job.finish(exit_code=0)
    return job


def test_the_badge_is_the_worst_of_verdict_checks_and_completeness(shared_server: Server) -> None:
    name = f"job-{uuid.uuid4()}"
    running = register(shared_server, context={"job_name": name})
    running.append([opened()])
    expected = {
        register(shared_server, context={"job_name": name}).id: ("registered", 0, 0),
        running.id: ("running", 0, 0),
        _ended(shared_server, name).id: ("succeeded", 0, 0),
        _ended(shared_server, name, check("a", "c", passed=False, severity="WARN")).id: ("warned", 0, 1),
        _ended(shared_server, name, check("a", "c", passed=False), check("a", "d", passed=False)).id: (
            "check-failed",
            2,
            0,
        ),
    }
    incomplete = register(shared_server, context={"job_name": name})
    incomplete.append([opened()])
    incomplete.finish(exit_code=0)
    failed = register(shared_server, context={"job_name": name})
    failed.append([opened(), check("a", "c", passed=False), closed(exception={"message": "boom", "name": "E"})])
    failed.finish()
    expected |= {incomplete.id: ("incomplete", 0, 0), failed.id: ("failed", 1, 0)}
    listed = {
        item["id"]: (item["badge"], item["failed_checks"]["error"], item["failed_checks"]["warn"])
        for item in _listed(shared_server, job_name=name)
    }
    assert listed == expected
    with_failed = _ids(shared_server, job_name=name, failed_checks=True)
    assert set(with_failed) == {one for one, (_, errors, warnings) in expected.items() if errors or warnings}
    assert failed.read()["badge"] == "failed"
    shared_server.http.post(f"{running.path}/cancel", json={"reason": "enough"})
    assert running.read()["badge"] == "cancelling"
    history = shared_server.http.get(f"{running.path}/history").json()["items"]
    assert {"change": "cancel-requested", "detail": {"reason": "enough"}}.items() <= history[-1].items()


def test_a_list_tells_duration_last_word_and_what_is_usual(shared_server: Server) -> None:
    name = f"job-{uuid.uuid4()}"
    _ended(shared_server, name)
    job = register(shared_server, context={"job_name": name})
    job.append([opened()])
    newest, oldest = _listed(shared_server, job_name=name, usual=True)
    assert newest["duration_seconds"] is None
    assert newest["heard_at"] is not None
    assert oldest["duration_seconds"] >= 0
    assert newest["usual_seconds"] == oldest["usual_seconds"] == oldest["duration_seconds"]
    assert "usual_seconds" not in _listed(shared_server, job_name=name)[0]


def test_invocations_are_found_by_reasons_and_error_messages(shared_server: Server) -> None:
    word = uuid.uuid4().hex
    job = register(shared_server, context={"job_name": "nightly"}, tags={"team": word[:8]})
    job.append([opened(), log(f"Cannot reach HOST-{word}", level="ERROR"), custom(1)])
    assert _ids(shared_server, text=f"host-{word}") == [job.id]
    job.append([closed(exception={"message": f"Broke at {word} 100%_x", "name": "ValueError"})])
    job.finish()
    (item,) = _listed(shared_server, text=f"AT {word} 100%_")
    assert item["id"] == job.id
    assert {match["in"] for match in item["matched"]} >= {"exception"}
    assert all(word in match["text"] for match in item["matched"])
    assert _ids(shared_server, text=f"at {word} 100__") == []
    assert _ids(shared_server, text=f"team={word[:8]}", verdict="failed") == [job.id]
    assert _ids(shared_server, text=f"team={word[:8]}", verdict="succeeded") == []


def test_reasons_that_were_revised_are_found_no_more(shared_server: Server) -> None:
    key = f"late-{uuid.uuid4()}"
    job = register(shared_server, expected={"asset_keys": [key]})
    job.append([opened(), closed()], producer="p", first_seq=1)
    job.finish(exit_code=0)
    assert _ids(shared_server, text=key) == [job.id]
    job.append([materialization(key)], producer="p", first_seq=3)
    assert job.read()["verdict"] == "succeeded"
    assert _ids(shared_server, text=key) == []


def test_several_verdicts_and_a_range_of_time_are_one_list(shared_server: Server) -> None:
    name = f"job-{uuid.uuid4()}"
    good = _ended(shared_server, name)
    bad = register(shared_server, context={"job_name": name})
    bad.finish(exit_code=3)
    register(shared_server, context={"job_name": name})
    assert _ids(shared_server, job_name=name, verdict=["failed", "succeeded"], limit=1) == [bad.id, good.id]
    created = bad.read()["created_at"]
    assert _ids(shared_server, job_name=name, until=created) == [good.id]
    assert bad.id in _ids(shared_server, job_name=name, since=created)


def test_counts_by_verdict_over_time_agree_with_the_list(shared_server: Server) -> None:
    name = f"job-{uuid.uuid4()}"
    good, other = _ended(shared_server, name), _ended(shared_server, name)
    register(shared_server, context={"job_name": name}).finish(exit_code=1)
    register(shared_server, context={"job_name": name})
    for width in ("day", "hour", "minute"):
        counts = shared_server.http.get("/invocations/counts", params={"job_name": name, "bin": width}).json()
        assert counts["total"] == {"succeeded": 2, "failed": 1, "registered": 1}
        merged: dict[str, int] = {}
        for one in counts["bins"]:
            for state, count in one["counts"].items():
                merged[state] = merged.get(state, 0) + count
        assert merged == counts["total"]
        assert counts["bins"][0]["start"] <= good.read()["created_at"]
    query = {"text": other.id, "bin": "day"}
    assert shared_server.http.get("/invocations/counts", params=query).json()["total"] == {"succeeded": 1}
    too_many = {"bin": "minute", "since": "2020-01-01T00:00:00Z"}
    answer = shared_server.http.get("/invocations/counts", params=too_many)
    assert problem_of(answer, status=422, name="invalid-request")["pointer"] == "/query/bin"


def test_the_last_good_one_is_of_the_same_job_and_if_there_is_one_of_the_same_partition(
    shared_server: Server,
) -> None:
    name = f"job-{uuid.uuid4()}"
    same_partition = _ended(shared_server, name, partition_key="p1")
    other_partition = _ended(shared_server, name, partition_key="p2")
    _ended(shared_server, name, asset_keys=["other"], partition_key="p1")
    failed = register(shared_server, context={"job_name": name, "partition_key": "p1"})
    failed.finish(exit_code=1)
    _ended(shared_server, name, partition_key="p1")
    answer = shared_server.http.get(f"{failed.path}/last-good").json()
    assert answer["invocation"]["id"] == same_partition.id
    assert answer["same"] == ["job_name", "asset_keys", "partition_key"]
    new_partition = register(shared_server, context={"job_name": name, "partition_key": "p3"})
    answer = shared_server.http.get(f"{other_partition.path}/last-good").json()
    assert answer["invocation"]["id"] == same_partition.id
    assert answer["same"] == ["job_name", "asset_keys"]
    assert shared_server.http.get(f"{new_partition.path}/last-good").json()["invocation"] is not None
    nameless = register(shared_server)
    assert shared_server.http.get(f"{nameless.path}/last-good").json() == {"invocation": None, "same": []}


def test_a_comparison_tells_only_what_is_different_and_no_secret(shared_server: Server) -> None:
    name = f"job-{uuid.uuid4()}"

    def run(number: int, *, passed: bool, line: str) -> Job:
        extras = {"same": 1, "db": {"host": f"h{number}", "password": f"hunter{number}"}, "flag": number == 1}
        extras |= {"only": True} if number == 1 else {}
        return _ended(
            shared_server,
            name,
            log("read 17 rows"),
            log(line, level="WARNING"),
            materialization("a", metadata={"rows": number, "unit": "km"}),
            check("a", "fresh", passed=passed),
            check("a", "complete"),
            extras=extras,
            partition_key=f"p{number}",
        )

    one = run(1, passed=True, line="all 3 well")
    two = run(2, passed=False, line="slow: 4s")
    answer = shared_server.http.get("/invocations/compare", params={"ids": f"{one.id},{two.id}"})
    assert answer.status_code == 200, answer.text
    assert "hunter" not in answer.text
    told = answer.json()
    assert [item["id"] for item in told["items"]] == [one.id, two.id]
    assert [item["badge"] for item in told["items"]] == ["succeeded", "check-failed"]
    assert told["context"] == [{"name": "partition_key", "values": ["p1", "p2"]}]
    assert {(entry["path"], *map(str, entry["values"])) for entry in told["extras"]} == {
        ("/db/host", "h1", "h2"),
        ("/db/password", "***", "***"),
        ("/flag", "True", "False"),
        ("/only", "True", "None"),
    }
    assert [entry["absent"] for entry in told["extras"] if entry["path"] == "/only"] == [[False, True]]
    (metadata,) = told["metadata"]
    assert (metadata["asset_key"], metadata["label"]) == ("a", "rows")
    assert [value["raw_value"] for value in metadata["values"]] == [1, 2]
    (different,) = told["checks"]
    assert (different["check_name"], [value["passed"] for value in different["values"]]) == ("fresh", [True, False])
    assert {(line["template"], *line["counts"]) for line in told["logs"]} == {
        ("all <n> well", 1, 0),
        ("slow: <n>s", 0, 1),
    }
    assert told["logs_complete"] == [True, True]


def leaves(rows: list[dict[str, Any]]) -> dict[str, list[Any]]:
    return {row["path"]: row["values"] for row in rows}


def test_a_comparison_has_what_came_out_what_was_asked_for_and_what_was_reported(shared_server: Server) -> None:
    def run(number: int, *messages: Any) -> Job:
        schema = {"type": "table_schema", "raw_value": {"columns": [{"name": "id", "type": ["int", "str"][number]}]}}
        job = register(
            shared_server,
            tags={"team": f"t{number}", "same": "yes"},
            expected={"asset_keys": ["a"], "custom_messages": number},
            launcher={"kind": "pod", "token": f"hunter{number}"},
        )
        metadata = {"schema": schema, "same": 1}
        fine = check("a", "fine")
        fine["params"]["metadata"] = {"share": number / 2, "same": 1}
        job.append(
            [
                opened(),
                materialization("a", metadata=metadata, data_version=f"v{number}"),
                fine,
                custom({"sizes": {"x": number, "y": 0}}),
                *messages,
            ]
        )
        job.finish(exit_code=0)
        return job

    boom = {"name": "ValueError", "message": "boom", "stack": []}
    one, two = run(0, closed()), run(1, custom("more"), closed(exception=boom))
    answer = shared_server.http.get("/invocations/compare", params={"ids": f"{one.id},{two.id}"})
    told = answer.json()

    outcome = leaves(told["outcome"])
    assert outcome.keys() == {"/verdict", "/reasons/exception", "/exception/name", "/exception/message"}
    assert outcome["/verdict"] == ["succeeded", "failed"]
    assert outcome["/exception/message"] == [None, "boom"]
    assert "boom" in outcome["/reasons/exception"][1]
    assert leaves(told["tags"]) == {"/team": ["t0", "t1"]}
    assert leaves(told["expected"]) == {"/custom_messages": [0, 1]}
    assert leaves(told["launcher"]) == {"/token": ["***", "***"]}
    assert "hunter" not in answer.text
    (version,) = told["materializations"]
    assert version["values"] == [{"data_version": "v0"}, {"data_version": "v1"}]
    (schema,) = told["metadata"]
    assert (schema["label"], leaves(schema["parts"])) == ("schema", {"/columns/id/type": ["int", "str"]})
    (share,) = told["check_metadata"]
    assert (share["check_name"], share["label"], share["parts"]) == ("fine", "share", [])
    assert leaves(told["custom_messages"]) == {"/1/sizes/x": [0, 1], "/2": [None, "more"]}
    assert leaves(told["counts"]) == {"/report_custom_message": [1, 2]}


@pytest.mark.parametrize("ids", ["", "inv_1", "{job}", "{job},{job}"])
def test_a_comparison_needs_two(shared_server: Server, ids: str) -> None:
    job = register(shared_server)
    answer = shared_server.http.get("/invocations/compare", params={"ids": ids.format(job=job.id)})
    assert problem_of(answer, status=422, name="invalid-request")["pointer"] == "/query/ids"


def test_a_comparison_with_one_that_is_not_there_is_not_found(shared_server: Server) -> None:
    job = register(shared_server)
    gone = register(shared_server)
    shared_server.http.delete(gone.path, params={"force": True})
    answer = shared_server.http.get("/invocations/compare", params={"ids": f"{job.id},{gone.id}"})
    problem_of(answer, status=404, name="not-found")


def test_a_pinned_invocation_stays_until_it_is_unpinned(shared_server: Server) -> None:
    name = f"job-{uuid.uuid4()}"
    job = _ended(shared_server, name)
    before = shared_server.http.get(job.path).headers["etag"]
    answer = shared_server.http.post(f"{job.path}/pin", json={"reason": "evidence"})
    assert answer.json()["pinned"] is True
    assert answer.status_code == 200
    assert shared_server.http.get(job.path).headers["etag"] != before
    assert shared_server.http.post(f"{job.path}/pin").json()["pinned"] is True
    assert _ids(shared_server, job_name=name, pinned=True) == [job.id]
    assert _ids(shared_server, job_name=name, pinned=False) == []
    problem_of(shared_server.http.delete(job.path), status=409, name="invocation-pinned")
    assert shared_server.http.delete(f"{job.path}/pin").json()["pinned"] is False
    changes = [item["change"] for item in shared_server.http.get(f"{job.path}/history").json()["items"]]
    assert changes[-2:] == ["pinned", "unpinned"]
    assert shared_server.http.delete(job.path).status_code == 204


def test_a_comparison_tells_nothing_that_is_not_so(shared_server: Server) -> None:
    digits = "9" * 5_000

    def run(launcher: str, command: str, rest: int) -> str:
        extras = (
            f'{{"n": {digits}, "many": [{",".join(["1"] * rest)}], "z": 1, "command": ["--password", "{command}"]}}'
        )
        body = f'{{"context": {{"extras": {extras}}}, "launcher": {launcher}}}'
        answer = shared_server.http.post("/invocations", content=body)
        assert answer.status_code == 201, answer.text
        return answer.headers["location"].rpartition("/")[2]

    def compared(*ids: str) -> Any:
        answer = shared_server.http.get("/invocations/compare", params={"ids": ",".join(ids)})
        assert answer.status_code == 200, answer.text
        assert "hunter" not in answer.text
        return answer.json()

    told = compared(run('"airflow"', "hunter1", 2), run('"cron"', "hunter2", 2))
    assert leaves(told["launcher"]) == {"": ["airflow", "cron"]}
    assert leaves(told["extras"]) == {"/command/1": ["***", "***"]}
    assert told["values_complete"] == [True, True]
    long = compared(run(f'{{"n": {digits}}}', "x", 19_990), run(f'{{"n": {digits}}}', "x", 30_000))
    assert long["launcher"] == []
    assert not any(row["path"] in ("/z", "/n") for row in long["extras"])
    assert long["values_complete"] == [True, False]

"""Every answer of every route has the shape that the OpenAPI document declares: no member more, none less."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from tests.conftest import DATABASES
from tests.support.fork_server import ForkServer
from tests.support.server import Server
from tests.support.story import COLUMNS, whole_story
from tests.support.wire import (
    Job,
    Json,
    check,
    closed,
    custom,
    log,
    materialization,
    observation,
    opened,
    register,
    sent_events,
)

if TYPE_CHECKING:
    from tests.support.postgres import Postgres

_NOT_JSON = {"/metrics", "/docs"}


@dataclass(frozen=True, slots=True)
class Told:
    """A server with invocations of every kind, and what it says of itself."""

    server: Server
    jobs: Mapping[str, Job]
    document: Json

    def get(self, path: str, **query: Any) -> httpx.Response:
        return self.server.http.get(path, params=query)

    def everywhere(self, path: str, **query: Any) -> Iterator[httpx.Response]:
        for job in self.jobs.values():
            yield self.get(path.replace("{invocation_id}", job.id), **query)


@pytest.fixture(scope="module", params=DATABASES)
def told(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None
) -> Iterator[Told]:
    postgres: Postgres | None = request.getfixturevalue("postgres") if request.param == "postgresql" else None
    url = None if postgres is None else postgres.create()
    with Server(tmp_path_factory.mktemp("resources") / "home", database_url=url, fork_server=fork_server) as server:
        jobs = {**whole_story(server), **odd_ones(server)}
        yield Told(server, jobs, server.http.get(f"{server.url}/openapi.json").json())
    if postgres is not None and url is not None:
        postgres.release(url)


def odd_ones(server: Server) -> dict[str, Job]:
    """What programs send that is no message, metadata in wrong shapes, a part of the work that is missing."""
    odd = register(server, context={"asset_keys": None, "extras": {"n": 10**30}}, launcher=[1, {"a": None}])
    shapes: Json = {"plain": 3, "none": None, "wrong": {"type": "int", "raw_value": "x"}, "bare": {"a": 1}}
    odd.append(
        [
            opened(),
            7,  # pyright: ignore[reportArgumentType]  no message at all
            {"method": 7, "params": {}},
            {"params": {}},
            {"method": "log", "params": [1]},
            {"method": "report_custom_message", "params": [1]},
            {"method": "log", "params": {"message": "m"}, "details": {"logger": "l"}, "sent_at": 5},
            materialization("odd/one", metadata=shapes),
            materialization("odd/one"),
            observation("odd/one", metadata=shapes, data_version="1", partition="p", tags={"by": "cron"}),
            observation("odd/seen"),
            check("odd/one", "c"),
            check("odd/one", "c", passed=False, severity="WARN"),
            {"method": "closed", "params": {}, "ledger": {"messages": 15, "last_seq": 15}},
        ]
    )
    odd.finish(exit_code=3, reason="the end of what it printed")
    late = register(server, context={"job_name": "late"})
    late.append([opened(), closed()])
    late.finish()
    late.append([opened()], producer="late", first_seq=1)
    large = register(server, context={"job_name": "large", "extras": {"text": "x" * 40_000}}, tags={"a": "b"})
    gone = register(server, context={"job_name": "never launched"})
    gone.finish(launched=False, reason="no such image")
    ranged = register(
        server,
        context={
            "asset_keys": ["odd/range"],
            "partition_key_range": {"start": "a", "end": "b"},
            "partition_time_window": {"start": "2026-01-01T00:00:00+00:00", "end": "2026-01-02T00:00:00+00:00"},
            "code_version_by_asset_key": {"odd/range": None},
            "provenance_by_asset_key": {"odd/range": None},
        },
        pipes="optional",
    )
    for number, label in enumerate(("NaN", 1.5, None, 10**25)):
        again = register(server, context={"asset_keys": ["odd/numbers"], "job_name": "numbers"})
        columns: Json = {"columns": COLUMNS[: 1 + number % 2]}
        metadata: Json = {
            "n": {"type": "float", "raw_value": label},
            "columns": {"type": "table_schema", "raw_value": columns},
        }
        again.append([opened(), materialization("odd/numbers", metadata=metadata), closed()])
        again.finish(exit_code=0)
    return {"odd": odd, "late": late, "large": large, "gone": gone, "ranged": ranged}


def test_every_route_answers_as_the_document_declares(told: Told) -> None:
    operations = {
        (method.upper(), path): operation
        for path, calls in told.document["paths"].items()
        for method, operation in calls.items()
    }
    assert set(CASES) == set(operations), "A route has no case here, or a case no route."
    faults: set[str] = set()
    components = _strict(told.document["components"])
    for (method, path), operation in operations.items():
        answers = list(CASES[method, path](told))
        assert any(answer.status_code < 300 for answer in answers), (method, path)
        for answer in answers:
            if str(answer.status_code) not in operation["responses"]:
                faults.add(f"{method} {path} {answer.status_code} is not declared.")
                continue
            for schema, value in _values(answer, operation["responses"][str(answer.status_code)]):
                validator = Draft202012Validator({"components": components, **schema})
                error = best_match(validator.iter_errors(value))  # pyright: ignore[reportUnknownMemberType]
                if error is not None:
                    faults.add(f"{method} {path} {answer.status_code} {error.json_path}: {error.message[:300]}")
    assert not faults, "\n".join(sorted(faults))


def test_every_problem_is_declared_with_its_members(told: Told) -> None:
    from standpipe_protocol.problems import PROBLEM_TYPES

    declared = told.document["components"]["schemas"]["Problem"]["properties"]
    for kind in PROBLEM_TYPES.values():
        assert set(kind.members) <= set(declared), kind.name


def _values(answer: httpx.Response, declared: Json) -> Iterator[tuple[Json, Any]]:
    """What the answer holds of JSON, each with the schema that is declared for it."""
    where = f"{answer.request.method} {answer.request.url} {answer.status_code}"
    media = answer.headers.get("content-type", "").partition(";")[0]
    if answer.status_code in (204, 304):
        assert answer.content == b"", where
        return
    assert media in declared["content"], f"{where}: {media}"
    schema = declared["content"][media].get("schema")
    match media:
        case "text/event-stream":
            for event in sent_events(answer):
                name = {"message": "Event", "end": "Invocation", "control": "Control"}[event.event or "message"]
                yield _named(name), event.data
        case "application/x-ndjson":
            for line in answer.text.splitlines():
                value = json.loads(line)
                if "event" not in value:
                    yield schema, value
        case "application/json" | "application/problem+json":
            if answer.request.url.path != "/openapi.json":
                yield schema, answer.json()
        case _:
            assert answer.request.url.path in _NOT_JSON, where


def _named(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _strict(schema: Any) -> Any:
    """With no members beside those that are named."""
    if isinstance(schema, list):
        return [_strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _strict(part) for name, part in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        made.setdefault("additionalProperties", False)
    return made


# ---- a case for each route: requests whose answers are held against the document ----

_Case = Callable[[Told], Iterator[httpx.Response] | Sequence[httpx.Response]]
_INVOCATION = "/invocations/{invocation_id}"


def _lists(told: Told) -> Iterator[httpx.Response]:
    yield told.get("/invocations", limit=500)
    yield told.get("/invocations", limit=2, mask=True, usual=True)
    for text in ("refused", "nightly", "ValueError", "first attempt", "nonsense"):
        yield told.get("/invocations", text=text, mask=True)
    yield told.get("/invocations", cursor="broken")
    yield told.get("/invocations", status="none of them")


def _one(told: Told) -> Iterator[httpx.Response]:
    yield from told.everywhere(_INVOCATION)
    yield from told.everywhere(_INVOCATION, mask=True)
    known = told.get(told.jobs["failed"].path)
    yield told.server.http.get(told.jobs["failed"].path, headers={"If-None-Match": known.headers["etag"]})
    yield told.get("/invocations/inv_nowhere")


def _counts(told: Told) -> Iterator[httpx.Response]:
    for width in ("day", "hour", "minute"):
        yield told.get("/invocations/counts", bin=width, by="badge")
    yield told.get("/invocations/counts", bin="year")


def _compare(told: Told) -> Iterator[httpx.Response]:
    ids = [job.id for job in told.jobs.values()]
    yield told.get("/invocations/compare", ids=",".join(ids[:20]))
    yield told.get("/invocations/compare", ids=",".join(ids[-20:]))
    yield told.get("/invocations/compare", ids=ids[0])


def _events(told: Told) -> Iterator[httpx.Response]:
    path = _INVOCATION + "/events"
    yield from told.everywhere(path)
    yield from told.everywhere(path, before="end", limit=3, control=True)
    yield told.get(told.jobs["odd"].path + "/events", after="x")
    for media in ("text/event-stream", "application/x-ndjson"):
        for job in told.jobs.values():
            if job.read()["status"] == "ended":
                yield told.server.http.get(f"{job.path}/events?control=true", headers={"Accept": media})


def _appends(told: Told) -> Iterator[httpx.Response]:
    job = register(told.server, context={"asset_keys": ["append/one"], "job_name": "appends"})
    yield job.append([opened(), log("m")], producer="p", first_seq=1)
    yield job.append([materialization("elsewhere"), {"method": "none"}], producer="p", first_seq=3)
    yield job.append([log("m")], producer="p", first_seq=9)
    yield job.append(check("append/one", "c", severity="none"))
    yield job.append("{", producer="p", first_seq=5)
    yield job.append([custom(1)], headers={"Idempotency-Key": "k"})
    yield job.append([custom(2)], headers={"Idempotency-Key": "k"})
    yield job.append(b"x", headers={"Content-Encoding": "br"})
    yield job.append("[" * 500 + "]" * 500)
    yield job.append([log("m")], headers={"Standpipe-Producer": "p"})
    yield told.jobs["everything"].append([log("too late")])
    yield told.server.client(token="wrong").post(f"{job.path}/events", json=[])


def _registrations(told: Told) -> Iterator[httpx.Response]:
    post = told.server.http.post
    key = {"Idempotency-Key": "resources"}
    yield post("/invocations", json={"context": {"job_name": "a"}, "expected": {"custom_messages": 1}}, headers=key)
    yield post("/invocations", json={"context": {"job_name": "a"}, "expected": {"custom_messages": 1}}, headers=key)
    yield post("/invocations", json={"context": {"job_name": "b"}}, headers=key)
    yield post("/invocations", content="{")
    yield post("/invocations", json={"tags": [1]})
    yield post("/invocations", json={"context": {"job_name": "a" * 600}})


def _changes(what: str, *bodies: Json) -> _Case:
    def case(told: Told) -> Iterator[httpx.Response]:
        job = register(told.server, context={"job_name": "changed", "extras": {"password": "p"}})
        for body in bodies:
            yield told.server.http.post(f"{job.path}/{what}", json=body)
        yield told.server.http.post(f"{job.path}/{what}?mask=true", json=bodies[0])
        yield told.server.http.post(f"{job.path}/{what}", content="{")
        yield told.server.http.post(f"/invocations/inv_nowhere/{what}", json=bodies[0])

    return case


def _unpin(told: Told) -> Iterator[httpx.Response]:
    yield told.server.http.delete(f"{told.jobs['failed'].path}/pin")
    yield told.server.http.delete("/invocations/inv_nowhere/pin")


def _deletions(told: Told) -> Iterator[httpx.Response]:
    job = register(told.server, context={"job_name": "deleted"})
    yield told.server.http.delete(job.path)
    job.finish()
    told.server.http.post(f"{job.path}/pin")
    yield told.server.http.delete(job.path)
    yield told.server.http.delete(f"{job.path}?force=true")
    yield told.server.http.delete(job.path)


def _heartbeats(told: Told) -> Iterator[httpx.Response]:
    yield told.jobs["running"].heartbeat()
    yield told.jobs["started again"].heartbeat(producer="old-0")
    yield told.jobs["running"].heartbeat(numbered="x")
    yield told.server.client(token="wrong").post(f"{told.jobs['running'].path}/heartbeat")


def _by_asset(below: str, **query: Any) -> _Case:
    def case(told: Told) -> Iterator[httpx.Response]:
        keys = [asset["asset_key"] for asset in told.get("/assets", limit=500).json()["items"]]
        assert "odd/one" in keys
        for key in keys:
            yield told.get(f"/assets/{quote(key, safe='')}{below}", **query)
        yield told.get(f"/assets/nowhere{below}", **query)
        if below and "series" not in below:
            yield told.get(f"/assets/{quote(keys[0], safe='')}{below}", cursor="broken")

    return case


def _series(told: Told) -> Iterator[httpx.Response]:
    for key in ("odd/numbers", "shop/daily"):
        path = f"/assets/{quote(key, safe='')}/metadata"
        for item in told.get(path).json()["items"]:
            label = quote(item["label"], safe="")
            yield told.get(f"{path}/{label}/series")
            yield told.get(f"{path}/{label}/series", max_points=2)
    yield told.get("/assets/nowhere/metadata/n/series")
    yield told.get("/assets/odd%2Fnumbers/metadata/n/series", max_points=0)


def _root(path: str) -> _Case:
    return lambda told: [told.get(told.server.url + path)]


CASES: Mapping[tuple[str, str], _Case] = {
    ("GET", "/api/v1/invocations"): _lists,
    ("POST", "/api/v1/invocations"): _registrations,
    ("GET", "/api/v1/invocations/counts"): _counts,
    ("GET", "/api/v1/invocations/compare"): _compare,
    ("GET", f"/api/v1{_INVOCATION}"): _one,
    ("DELETE", f"/api/v1{_INVOCATION}"): _deletions,
    ("GET", f"/api/v1{_INVOCATION}/last-good"): lambda told: told.everywhere(f"{_INVOCATION}/last-good", mask=True),
    ("GET", f"/api/v1{_INVOCATION}/history"): lambda told: told.everywhere(f"{_INVOCATION}/history"),
    ("POST", f"/api/v1{_INVOCATION}/cancel"): _changes("cancel", {"reason": "r"}, {}, {"reason": 1}),
    ("POST", f"/api/v1{_INVOCATION}/pin"): _changes("pin", {"reason": "r"}, {}, {"reason": 1}),
    ("DELETE", f"/api/v1{_INVOCATION}/pin"): _unpin,
    ("POST", f"/api/v1{_INVOCATION}/finish"): _changes(
        "finish",
        {"outcome": "failed", "exit_code": 1, "cause": {"code": "evicted", "detail": "d", "signal": 9, "attempt": 1}},
        {"outcome": "none"},
    ),
    ("POST", f"/api/v1{_INVOCATION}/launch"): _changes("launch", {"state": "queued", "node": "n"}, {"state": "none"}),
    ("POST", f"/api/v1{_INVOCATION}/attempts"): _changes("attempts", {"attempt": [1, 2], "name": "n"}, {"name": "n"}),
    ("GET", f"/api/v1{_INVOCATION}/context"): lambda told: told.everywhere(f"{_INVOCATION}/context"),
    ("POST", f"/api/v1{_INVOCATION}/heartbeat"): _heartbeats,
    ("GET", f"/api/v1{_INVOCATION}/events"): _events,
    ("POST", f"/api/v1{_INVOCATION}/events"): _appends,
    ("GET", "/api/v1/assets"): lambda told: [told.get("/assets", limit=500), told.get("/assets", cursor="x")],
    ("GET", "/api/v1/assets/{key}"): _by_asset(""),
    ("GET", "/api/v1/assets/{key}/materializations"): _by_asset("/materializations"),
    ("GET", "/api/v1/assets/{key}/observations"): _by_asset("/observations"),
    ("GET", "/api/v1/assets/{key}/checks"): _by_asset("/checks"),
    ("GET", "/api/v1/assets/{key}/metadata"): _by_asset("/metadata"),
    ("GET", "/api/v1/assets/{key}/metadata/{label}/series"): _series,
    ("GET", "/api/v1/assets/{key}/schema-changes"): _by_asset("/schema-changes"),
    ("GET", "/api/v1/errors"): lambda told: [told.get("/errors", limit=500), told.get("/errors", kind="none")],
    ("POST", "/api/v1/login-links"): lambda told: [told.server.http.post("/login-links")],
    ("GET", "/api/v1/limits"): lambda told: [told.get("/limits")],
    ("GET", "/healthz"): _root("/healthz"),
    ("GET", "/readyz"): _root("/readyz"),
    ("GET", "/metrics"): _root("/metrics"),
    ("GET", "/openapi.json"): _root("/openapi.json"),
    ("GET", "/docs"): _root("/docs"),
}

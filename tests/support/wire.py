"""The HTTP surface in a test's few words: register, append, read, and server-sent events as they come."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.server import Server

Json = dict[str, Any]


def opened() -> Json:
    return {"method": "opened", "params": {"extras": {}}}


def closed(**params: Any) -> Json:
    return {"method": "closed", "params": params}


def custom(payload: Any) -> Json:
    return {"method": "report_custom_message", "params": {"payload": payload}}


def log(message: str, *, level: str = "INFO") -> Json:
    return {"method": "log", "params": {"message": message, "level": level}}


def materialization(asset_key: str, *, metadata: Json | None = None, data_version: str | None = None) -> Json:
    params = {"asset_key": asset_key, "metadata": metadata or {}, "data_version": data_version}
    return {"method": "report_asset_materialization", "params": params}


def observation(asset_key: str, **params: Any) -> Json:
    return {"method": "report_asset_observation", "params": {"asset_key": asset_key, **params}}


def check(asset_key: str, check_name: str, *, passed: bool = True, severity: str = "ERROR") -> Json:
    params: Json = {
        "asset_key": asset_key,
        "check_name": check_name,
        "passed": passed,
        "severity": severity,
        "metadata": {},
    }
    return {"method": "report_asset_check", "params": params}


@dataclass(frozen=True, slots=True)
class SentEvent:
    """One server-sent event."""

    data: Any
    id: str | None = None
    event: str | None = None


@dataclass(slots=True)
class Job:
    """A registered invocation: `http` speaks with its token, `server.http` with the operator key."""

    server: Server
    registered: Json
    http: httpx.Client = field(repr=False)

    @property
    def id(self) -> str:
        return self.registered["invocation"]["id"]

    @property
    def path(self) -> str:
        return f"/invocations/{self.id}"

    def append(
        self,
        messages: Json | Sequence[Json | str] | bytes | str,
        *,
        producer: str | None = None,
        first_seq: int | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        body = messages if isinstance(messages, (bytes, str)) else json.dumps(messages)
        given = dict(headers or {})
        if producer is not None:
            given["Standpipe-Producer"] = producer
        if first_seq is not None:
            given["Standpipe-First-Seq"] = str(first_seq)
        return self.http.post(f"{self.path}/events", content=body, headers=given)

    def page(self, **query: Any) -> Json:
        answer = self.server.http.get(f"{self.path}/events", params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def events(self, **query: Any) -> list[Json]:
        return self.page(**query)["items"]

    def read(self) -> Json:
        answer = self.server.http.get(self.path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def finish(self, **word: Any) -> Json:
        answer = self.server.http.post(f"{self.path}/finish", json=word)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def heartbeat(self, **body: Any) -> httpx.Response:
        return self.http.post(f"{self.path}/heartbeat", json=body)

    @contextmanager
    def stream(self, *, headers: Mapping[str, str] | None = None, **query: Any) -> Generator[Iterator[SentEvent]]:
        """The invocation's server-sent events as they come; comments are left out."""
        accept = {"Accept": "text/event-stream", **(headers or {})}
        with self.server.http.stream("GET", f"{self.path}/events", params=query, headers=accept) as answer:
            assert answer.status_code == 200, answer.read()
            yield sent_events(answer)

    @contextmanager
    def lines(self, **query: Any) -> Generator[Iterator[Json]]:
        """The invocation's events as JSON lines as they come."""
        accept = {"Accept": "application/x-ndjson"}
        with self.server.http.stream("GET", f"{self.path}/events", params=query, headers=accept) as answer:
            assert answer.status_code == 200, answer.read()
            yield (json.loads(line) for line in answer.iter_lines())


def register(server: Server, *, headers: Mapping[str, str] | None = None, **members: Any) -> Job:
    """Registers an invocation; `members` are those of the request's body."""
    answer = server.http.post("/invocations", json={"context": {}, **members}, headers=headers)
    assert answer.status_code == 201, answer.text
    registered = answer.json()
    return Job(server, registered, server.client(token=registered["token"]))


def sent_events(answer: httpx.Response) -> Iterator[SentEvent]:
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line:
            name, _, value = line.partition(": ")
            if name in ("id", "event", "data"):
                fields[name] = value
            continue
        if "data" in fields:
            yield SentEvent(json.loads(fields["data"]), fields.get("id"), fields.get("event"))
        fields = {}


def problem_of(answer: httpx.Response, *, status: int, name: str) -> Json:
    """The problem in an answer, which must be of this kind."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == f"/problems/{name}", problem
    assert problem["status"] == status
    assert problem["title"]
    assert problem["detail"]
    return problem

"""Everything that a server answers about what it holds, in the words of protocol 1.0: every GET route for every
invocation and asset, pages put together. What depends on the moment, or on the server itself, is left out.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from urllib.parse import quote

import httpx

from tests.support.server import Server
from tests.support.wire import Json, sent_events

NOT_ABOUT_HISTORY = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs", "/api/v1/limits"})
"""Routes that answer nothing about what is stored."""
ROUTES = (
    "/invocations",
    "/invocations/counts",
    "/invocations/compare",
    "/invocations/{invocation_id}",
    "/invocations/{invocation_id}/last-good",
    "/invocations/{invocation_id}/history",
    "/invocations/{invocation_id}/context",
    "/invocations/{invocation_id}/events",
    "/assets",
    "/assets/{key}",
    "/assets/{key}/materializations",
    "/assets/{key}/checks",
    "/assets/{key}/metadata",
    "/assets/{key}/metadata/{label}/series",
    "/assets/{key}/schema-changes",
    "/errors",
)
_VERDICTS = ("succeeded", "failed", "cancelled", "lost", "incomplete")
_EVENTS = (
    {"method": "rejected"},
    {"method": "log,closed"},
    {"text": "NEEDLE"},
    {"level": "ERROR,WARN"},
    {"stream": "stderr"},
    {"producer": "anonymous,worker"},
)


class Answers:
    """Asks a server; `answers` has what it said, by path and query. One invocation may be left out of all of it."""

    def __init__(self, server: Server, *, without: str = "") -> None:
        self._http = server.http
        self._without = without
        self.answers: dict[str, Any] = {}

    def collect(self) -> dict[str, Any]:
        found = [item["id"] for item in self._list("/invocations", limit=20)]
        for invocation in found:
            self._invocation(f"/invocations/{invocation}")
        self._lists(found)
        for one in self._list("/assets", limit=7):
            self._asset(f"/assets/{quote(one['asset_key'], safe='')}")
        self._list("/assets", text="shop")
        for kind in ("exception", "rejected", "log"):
            self._list("/errors", kind=kind, limit=3)
        self._list("/errors")
        return self.answers

    def _invocation(self, path: str) -> None:
        invocation = self._get(path)
        self._get(f"{path}/history")
        self._get(f"{path}/last-good")
        context = self._get(f"{path}/context")
        del context["protocol"], context["limits"]
        self._pages(f"{path}/events")
        self._get(f"{path}/events", before="end", limit=60)
        for query in _EVENTS:
            self._pages(f"{path}/events", **query)
        if invocation["status"] == "ended":
            self._streams(f"{path}/events")

    def _lists(self, ids: list[str]) -> None:
        items = self._list("/invocations", usual="true")
        for verdict in _VERDICTS:
            self._list("/invocations", verdict=verdict, limit=4)
        for status in ("registered", "running", "ended"):
            self._list("/invocations", status=status)
        for name in ("job_name", "run_id", "partition_key"):
            for value in sorted({item["context"][name] for item in items if item["context"][name]}):
                self._list("/invocations", **{name: value})
        for key in ("shop/daily", "shop/orders", "late/asset"):
            self._list("/invocations", asset_key=key)
        for first in {item["retry_of"] for item in items if item["retry_of"]}:
            self._list("/invocations", retry_of=first)
        for query in ({"tag": "team"}, {"tag": "team=shop"}, {"pinned": "true"}, {"pinned": "false"}):
            self._list("/invocations", **query)
        for text in ("nightly", "broke", "exit code 3", "shop/daily", ids[7]):
            self._list("/invocations", text=text)
        self._list("/invocations", failed_checks="true")
        times = sorted(item["created_at"] for item in items)
        self._list("/invocations", since=times[3], until=times[-3])
        for bin in ("day", "hour", "minute"):
            self._get("/invocations/counts", bin=bin, since=times[0], until=times[-1])
        self._get("/invocations/counts", bin="hour", since=times[0], until=times[-1], job_name="daily")
        for pair in pairwise(ids):
            self._get("/invocations/compare", ids=",".join(pair))
        self._get("/invocations/compare", ids=",".join(ids[:10]))

    def _asset(self, path: str) -> None:
        self._get(path)
        for query in ({}, {"partition_key": "2026-01-07"}):
            self._list(f"{path}/materializations", limit=11, **query)
        checks = {item["check_name"] for item in self._list(f"{path}/checks")}
        self._list(f"{path}/schema-changes")
        for query in ({}, *({"check_name": name} for name in sorted(checks))):
            if query:
                self._list(f"{path}/checks", **query)
            for label in self._get(f"{path}/metadata", **query)["items"]:
                self._get(f"{path}/metadata/{quote(label['label'], safe='')}/series", **query, max_points=20)

    def _streams(self, path: str) -> None:
        """The other two forms; their items are those of the pages."""
        with self._http.stream("GET", path, headers={"Accept": "text/event-stream"}) as answer:
            self.answers[f"{path} as server-sent events"] = [
                [event.id, event.event, len(json.dumps(event.data["params"])) if event.event is None else event.data]
                for event in sent_events(answer)
            ]
        with self._http.stream("GET", path, headers={"Accept": "application/x-ndjson"}) as answer:
            lines = [json.loads(line) for line in answer.iter_lines()]
        self.answers[f"{path} as lines"] = [line["position"] for line in lines]

    def _ask(self, path: str, query: Json) -> Json:
        answer = self._http.get(path, params=query)
        assert answer.status_code == 200, (path, query, answer.status_code, answer.text)
        return answer.json()

    def _get(self, path: str, **query: Any) -> Json:
        self.answers[_name(path, query)] = body = self._ask(path, query)
        return body

    def _list(self, path: str, **query: Any) -> list[Json]:
        """All items of a list."""
        items: list[Json] = []
        cursor: str | None = None
        while True:
            page = self._ask(path, query if cursor is None else {**query, "cursor": cursor})
            items += [item for item in page["items"] if item.get("id") != self._without]
            cursor = page["next_cursor"]
            if cursor is None:
                break
        self.answers[_name(path, query)] = items
        return items

    def _pages(self, path: str, **query: Any) -> None:
        """All events that fit."""
        self.answers[_name(path, query)] = list(self._walk(path, query))

    def _walk(self, path: str, query: Json) -> Iterator[Json]:
        after = 0
        while True:
            page = self._ask(path, {**query, "after": after})
            yield from page["items"]
            after = page["next_after"]
            if after >= page["last_position"]:
                return


def _name(path: str, query: Json) -> str:
    return f"{path}?{httpx.QueryParams(query)}" if query else path

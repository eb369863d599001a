"""Every route of the application stands behind the guard and in the OpenAPI document."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import iter_route_contexts

from standpipe_protocol.home import Credentials
from standpipe_protocol.problems import PROBLEM_TYPES
from standpipe_server.api.entrance import RAW_ROUTES
from standpipe_server.api.http.exchange import Exchange
from standpipe_server.api.http.streams import Streams
from standpipe_server.app import create_app, create_control_plane
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.settings import Settings
from standpipe_server.store import Overloaded
from standpipe_server.wiring import Wiring, open_wiring

pytestmark = pytest.mark.anyio
KEY = "operator-key"
OPEN = {(method, path) for method in ("GET", "HEAD") for path in ("/healthz", "/readyz")}


@pytest.fixture(scope="module")
def wiring(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wiring]:
    home: Path = tmp_path_factory.mktemp("home")
    settings = Settings(home=home, database_url=f"sqlite:///{home / 'standpipe.db'}")
    with open_wiring(settings, Credentials(url="", api_key=KEY, identity="secret")) as opened:
        yield opened


def _routes(wiring: Wiring) -> set[tuple[str, str]]:
    contexts = iter_route_contexts(create_control_plane(wiring.api).routes)
    found = {
        (method, str(context.path)) for context in contexts for method in getattr(context, "methods", None) or {"GET"}
    }
    return found | set(RAW_ROUTES)


def _client(wiring: Wiring, **headers: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(wiring.api), raise_app_exceptions=True)
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers)


async def test_every_route_but_health_refuses_who_has_no_credential(wiring: Wiring) -> None:
    routes = _routes(wiring)
    assert len(routes) > 20
    async with _client(wiring) as client:
        for method, path in sorted(routes):
            answer = await client.request(method, path.replace("{invocation_id}", "inv_x").replace("{key}", "a"))
            assert answer.status_code == (200 if (method, path) in OPEN else 401), (method, path)


async def test_the_document_describes_every_route_and_no_other(wiring: Wiring) -> None:
    document = await _document(wiring)
    described = {(method.upper(), path) for path, calls in document["paths"].items() for method in calls}
    # HEAD goes without saying where it is taken.
    assert described == {(method, path) for method, path in _routes(wiring) if method != "HEAD"}


async def test_every_reference_in_the_document_leads_somewhere(wiring: Wiring) -> None:
    document = await _document(wiring)
    text = json.dumps(document)
    references = {part.split('"')[0] for part in text.split('"$ref": "')[1:]}
    assert references
    for reference in references:
        name = reference.removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"], reference
    for name in PROBLEM_TYPES:
        assert f"/problems/{name}" in text


async def test_what_answers_only_json_and_problems_says_so(wiring: Wiring) -> None:
    document = await _document(wiring)
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            described = call["responses"]
            if path not in ("/healthz", "/readyz", "/openapi.json", "/docs", "/metrics"):
                assert "401" in described, (method, path)
                assert "application/problem+json" in described["401"]["content"]


async def test_a_failure_of_our_own_is_told_without_its_reason(
    wiring: Wiring, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object, **__: object) -> None:
        raise ValueError("a secret reason")

    # On both paths: a FastAPI route and a raw endpoint.
    monkeypatch.setattr(wiring.store.reads, "run", fail)
    async with _client(wiring, **{"Authorization": f"Bearer {KEY}", "X-Request-ID": "look-here"}) as client:
        for path in ("/metrics", "/api/v1/invocations/inv_x/events"):
            caplog.clear()
            answer = await client.get(path)
            assert answer.status_code == 500
            assert answer.json()["type"] == "/problems/internal"
            assert answer.json()["request_id"] == "look-here"
            assert "secret" not in answer.text
            assert "look-here" in caplog.text
            assert "a secret reason" in caplog.text


async def test_web_sockets_are_declined(wiring: Wiring) -> None:
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    await create_app(wiring.api)({"type": "websocket", "path": "/healthz", "headers": []}, receive, send)
    assert [message["type"] for message in sent] == ["websocket.close"]


async def _document(wiring: Wiring) -> dict[str, Any]:
    async with _client(wiring, Authorization=f"Bearer {KEY}") as client:
        answer = await client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


async def test_a_full_queue_is_told_with_the_time_to_come_again(
    wiring: Wiring, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise Overloaded("4096 requests wait to be stored already.", retry_after=3)

    async with _client(wiring, Authorization=f"Bearer {KEY}") as operator:
        registered = (await operator.post("/api/v1/invocations", json={})).json()
    path = f"/api/v1/invocations/{registered['invocation']['id']}"
    monkeypatch.setattr(wiring.store.writes, "run", refuse)
    async with _client(wiring, Authorization=f"Bearer {registered['token']}") as process:
        for call in ("events", "heartbeat"):
            answer = await process.post(f"{path}/{call}", content=b"{}")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "3")
            assert answer.json()["type"] == "/problems/overloaded"
            assert answer.json()["control"] == {"cancel_requested": False}


async def test_more_bodies_at_once_than_the_server_holds_are_told_to_come_again(wiring: Wiring) -> None:
    budget = wiring.api.bodies.budget
    with budget.holding(10), pytest.raises(Refused) as refused:
        budget.take(1 << 40)
    assert refused.value.problem.name == "overloaded"
    with budget.holding(10):
        pass


async def test_more_streams_than_the_server_takes_are_told_to_come_again(wiring: Wiring) -> None:
    streams = Streams(wiring.feed, most=0)
    exchange = Exchange({"type": "http", "method": "GET", "path": "/", "headers": []}, _never, _never)
    with pytest.raises(Refused) as refused:
        async with streams.following(exchange, 1):
            pass
    assert refused.value.problem.name == "overloaded"
    assert streams.open == 0


async def _never(*_: Any) -> Any:
    raise AssertionError("Nothing is received or sent.")

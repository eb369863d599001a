"""Calls to a broker that misbehaves: what is tried again, and what is said when it does not help."""

from __future__ import annotations

import json
import logging
import socket

import pytest

from standpipe.errors import PipesProblem
from standpipe.errors import error_for_problem as sdk_error_for_problem
from standpipe_orchestrator import BrokerClient, ContextData, Expected
from standpipe_orchestrator.errors import (
    BrokerError,
    BrokerNotFound,
    BrokerUnreachable,
    IdempotencyConflict,
    InvalidRequest,
    NotFound,
    Overloaded,
    ProblemError,
    Unauthorized,
    UnexpectedAnswer,
)
from tests.support.stub_broker import Reply, Request, StubBroker

INVOCATION = {"id": "inv_1", "status": "registered", "verdict": None}
REGISTERED = {
    "invocation": INVOCATION,
    "url": "http://x/inv_1",
    "token": "secret-token",
    "env": {"STANDPIPE_URL": "u", "STANDPIPE_INVOCATION": "inv_1", "STANDPIPE_TOKEN": "secret-token"},
}


def client_of(stub: StubBroker, *, retry_seconds: float = 20.0) -> BrokerClient:
    return BrokerClient(stub.url, api_key="secret-key", retry_seconds=retry_seconds, request_id="req-7")


def test_a_registration_sends_what_was_given_and_hides_its_token() -> None:
    with StubBroker(lambda _: Reply.json(REGISTERED, status=201)) as stub, client_of(stub) as client:
        registered = client.invocations.register(
            ContextData(run_id="r"), expected=Expected(asset_keys=("a",)), tags={"team": "x"}, lease_seconds=5
        )
        (request,) = stub.requests
    body = json.loads(request.body)
    assert (request.method, request.path) == ("POST", "/api/v1/invocations")
    assert body["context"]["run_id"] == "r"
    assert {name: body[name] for name in body if name != "context"} == {
        "expected": {"asset_keys": ["a"]},
        "tags": {"team": "x"},
        "lease_seconds": 5,
    }
    assert request.headers["authorization"] == "Bearer secret-key"
    assert request.headers["x-request-id"] == "req-7"
    assert registered.invocation.id == "inv_1"
    assert "secret" not in repr(registered)
    assert "secret" not in repr(client)


def test_a_call_is_repeated_with_the_same_key_until_the_server_has_room() -> None:
    def answer(_: Request) -> Reply:
        if len(stub.requests) < 3:
            return Reply.problem("overloaded", status=503, **{"Retry-After": "0"})
        return Reply.json(REGISTERED, status=201)

    with StubBroker(answer) as stub, client_of(stub) as client:
        client.invocations.register(ContextData(), idempotency_key=None)
        assert len({request.headers["idempotency-key"] for request in stub.requests}) == 1
        assert len(stub.requests) == 3


def test_a_retry_after_beyond_the_budget_is_told_at_once() -> None:
    reply = Reply.problem("rate-limited", status=429, detail="Slow down.", **{"Retry-After": "50"})
    with StubBroker(lambda _: reply) as stub, client_of(stub, retry_seconds=10) as client:
        with pytest.raises(Overloaded, match=r"refused \(429 rate-limited\): Slow down\. Try again later\."):
            client.invocations.get("inv_1")
        assert len(stub.requests) == 1


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("unauthorized", 401, Unauthorized),
        ("not-found", 404, NotFound),
        ("invalid-request", 422, InvalidRequest),
        ("idempotency-conflict", 409, IdempotencyConflict),
        ("something-new", 418, ProblemError),
    ],
)
def test_a_refusal_is_an_exception_of_its_kind_that_names_call_and_address(
    name: str, status: int, kind: type[ProblemError]
) -> None:
    reply = Reply.problem(name, status=status, detail="Because", **{"X-Request-ID": "abc"})
    with StubBroker(lambda _: reply) as stub, client_of(stub) as client:
        with pytest.raises(kind) as raised:
            client.invocations.get("inv_1")
        message = str(raised.value)
        assert f"`GET /api/v1/invocations/inv_1` on {stub.url} was refused ({status} {name}): Because." in message
        assert message.endswith("(request abc)")
        assert "secret" not in message
        assert len(stub.requests) == 1
    assert raised.value.problem.name == name
    assert type(raised.value) is kind
    # One tree: what a program of the SDK catches, it catches from here, too.
    assert isinstance(raised.value, PipesProblem)
    assert isinstance(raised.value, type(sdk_error_for_problem(raised.value.problem, message="")))


def test_a_page_of_something_else_is_told_as_such() -> None:
    html = Reply(404, {"Content-Type": "text/html"}, (b"<html>",))
    is_none = pytest.raises(UnexpectedAnswer, match=r"status 404 and text/html, which is not a Standpipe broker's")
    with StubBroker(lambda _: html) as stub, client_of(stub) as client, is_none:
        client.invocations.get("inv_1")
    moved = Reply(307, {"Location": "https://elsewhere/"})
    is_told = pytest.raises(UnexpectedAnswer, match="a redirect to https://elsewhere/")
    with StubBroker(lambda _: moved) as stub, client_of(stub) as client, is_told:
        client.invocations.get("inv_1")


def test_nobody_there_is_told_with_the_address_and_what_to_do() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nothing else can answer there
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with BrokerClient(url, api_key="k", retry_seconds=0.2) as client, pytest.raises(BrokerUnreachable) as raised:
            client.invocations.finish("inv_1", exit_code=0)
    assert f"`POST /api/v1/invocations/inv_1/finish` got no answer from {url}" in str(raised.value)
    assert "`standpipe serve` starts one" in str(raised.value)
    assert isinstance(raised.value, BrokerError)


def test_proxies_of_the_environment_are_not_used_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    with StubBroker(lambda _: Reply.json(INVOCATION)) as stub, client_of(stub) as client:
        assert client.invocations.get("inv_1").id == "inv_1"


def test_a_base_path_stands_before_the_api() -> None:
    with StubBroker(lambda _: Reply.json(INVOCATION)) as stub:
        with BrokerClient(stub.url + "/pipes/", api_key="k") as client:
            client.invocations.get("inv_1")
        assert stub.requests[0].path == "/pipes/api/v1/invocations/inv_1"


def test_an_address_that_is_none_and_a_ca_file_that_is_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BrokerNotFound, match="expected an http:// or https:// address"):
        BrokerClient("localhost:8787", api_key="k")
    monkeypatch.setenv("STANDPIPE_CA_FILE", "/no/such/file.pem")
    with pytest.raises(BrokerNotFound, match=r"STANDPIPE_CA_FILE is '/no/such/file.pem', which cannot be loaded"):
        BrokerClient("https://example.org", api_key="k")


def test_an_asset_keys_slashes_stay_inside_its_segment() -> None:
    with StubBroker(lambda _: Reply.json({"items": [{"n": 1}], "next_cursor": "c"})) as stub, client_of(stub) as client:
        page = client.assets.materializations(["pre", "a/b"], limit=5)
        assert page.items == ({"n": 1},)
        assert page.next_cursor == "c"
        assert stub.requests[0].path == "/api/v1/assets/pre%2Fa%5C%2Fb/materializations"
        assert stub.requests[0].query == {"limit": "5"}


def test_lists_are_followed_page_by_page_and_unknown_filters_refused() -> None:
    def answer(request: Request) -> Reply:
        last = "cursor" in request.query
        return Reply.json({"items": [INVOCATION], "next_cursor": None if last else "next"})

    with StubBroker(answer) as stub, client_of(stub) as client:
        assert len(list(client.invocations.iterate(verdict="failed"))) == 2
        assert [request.query.get("verdict") for request in stub.requests] == ["failed", "failed"]
        with pytest.raises(TypeError, match=r"no filter \['colour'\]"):
            client.invocations.list(colour="red")


def test_calls_leave_no_trace_in_the_log_of_the_http_client(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), StubBroker(lambda _: Reply.json(INVOCATION)) as stub, client_of(stub) as client:
        client.invocations.get("inv_1")
    assert caplog.records == []

"""What the environment says of the network, and what stands between: told as one of this distribution's errors."""

from __future__ import annotations

import pytest

from standpipe_orchestrator import BrokerClient
from standpipe_orchestrator.errors import BrokerError, BrokerNotFound, BrokerUnreachable, NotFound, UnexpectedAnswer
from tests.support.processes import run_python
from tests.support.stub_broker import Reply, Request, StubBroker

INVOCATION = {"id": "inv_1", "status": "registered", "verdict": None}
DEEP = b"[" * 100_000 + b"]" * 100_000


def problem(http_status: int, **members: object) -> Reply:
    return Reply.json(members, status=http_status, kind="application/problem+json")


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    "reply",
    [
        problem(404, type="about:blank", title="Not Found", status=404),
        problem(401, type="https://gateway.example/problems/unauthorized", status=401),
        problem(404, type="/problems/not-found", status=410),
        problem(404, title="Not Found"),
        Reply(404, {"Content-Type": "application/problem+json"}, (DEEP,)),
        Reply(200, {"Content-Type": "application/json"}, (DEEP,)),
        Reply(302, {"Location": "http://[::1"}, (b"",)),
        Reply(413, {"Content-Type": "text/html"}, (b"<center>nginx</center>",)),
    ],
    ids=["blank", "gateway", "other-status", "no-type", "deep-problem", "deep", "location", "nginx"],
)
def test_what_stands_between_is_not_taken_for_the_broker(reply: Reply) -> None:
    with (
        StubBroker(lambda _: reply) as stub,
        BrokerClient(stub.url, api_key="k", retry_seconds=0.1) as client,
        pytest.raises((UnexpectedAnswer, BrokerUnreachable)) as raised,
    ):
        client.invocations.get("inv_1")
    assert stub.url in str(raised.value)


def test_the_brokers_own_refusal_is_its_word() -> None:
    with (
        StubBroker(lambda _: Reply.problem("not-found", status=404)) as stub,
        BrokerClient(stub.url, api_key="k") as client,
        pytest.raises(NotFound),
    ):
        client.invocations.get("inv_1")


@pytest.mark.parametrize("named", ["nan", "-5", "soon", "-inf", ""])
def test_an_odd_time_to_wait_is_no_reason_to_give_up(named: str) -> None:
    answers = [Reply.problem("overloaded", status=503, **{"Retry-After": named}), Reply.json(INVOCATION)]

    def answer(_: Request) -> Reply:
        return answers.pop(0)

    with StubBroker(answer) as stub, BrokerClient(stub.url, api_key="k") as client:
        assert client.invocations.get("inv_1").id == "inv_1"


@pytest.mark.parametrize("entries", ["fd07:b51a:cc66:f0::/64,[::1],127.0.0.0/8,broker.invalid", "[::1],*.invalid"])
def test_entries_of_no_proxy_cost_themselves_only(monkeypatch: pytest.MonkeyPatch, entries: str) -> None:
    with StubBroker(lambda _: Reply.json(INVOCATION)) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", entries)
        with BrokerClient("http://other.example", api_key="k") as client:
            assert client.invocations.get("inv_1").id == "inv_1"
        asked = len(proxy.requests)
        with (
            BrokerClient("http://broker.invalid:1", api_key="k", retry_seconds=0.1) as client,
            pytest.raises(BrokerUnreachable),
        ):
            client.invocations.get("inv_1")
        assert len(proxy.requests) == asked


@pytest.mark.parametrize(
    "proxy", ["gopher://u:pass1word@p:1", "socks5://u:pass1word@p:1", "http://u:pass1word@p:port", "http://[::1", "://"]
)
def test_a_proxy_that_none_can_use_is_told_without_its_password(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with pytest.raises(BrokerNotFound) as raised:
        BrokerClient("http://broker.example", api_key="k")
    assert "http://broker.example" in str(raised.value)
    assert "pass1word" not in str(raised.value)


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..example", "[::1", "host:99999", "host:port", "xn--"])
def test_an_address_that_is_none_is_an_error_of_ours(host: str) -> None:
    with (
        pytest.raises((BrokerError, BrokerNotFound)),
        BrokerClient(f"http://{host}", api_key="k", retry_seconds=0.1) as client,
    ):
        client.invocations.get("inv_1")


@pytest.mark.parametrize(
    "address", ["me:pass1word@broker:8787", "https:/me:pass1word@broker", "http://[::1/me:pass1word@b"]
)
def test_an_address_that_is_none_is_told_without_its_password(address: str) -> None:
    with pytest.raises(BrokerNotFound) as raised:
        BrokerClient(address, api_key="k")
    assert "pass1word" not in str(raised.value)


def test_a_key_log_that_cannot_be_written_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/nonexistent/keys")
    monkeypatch.setenv("SSL_CERT_FILE", "/nonexistent/ca.pem")
    with (
        BrokerClient("https://localhost:9", api_key="k", retry_seconds=0.1) as client,
        pytest.raises(BrokerUnreachable),
    ):
        client.invocations.get("inv_1")


def test_a_clock_that_stands_still_ends_the_tries_in_time() -> None:
    script = """
import time
time.time = time.monotonic = time.perf_counter = lambda: 5.0
from standpipe_orchestrator import BrokerClient
from standpipe_orchestrator.errors import BrokerUnreachable
try:
    BrokerClient("http://127.0.0.1:9", api_key="k", retry_seconds=0.5).invocations.get("inv_1")
except BrokerUnreachable:
    print("given up")
"""
    assert run_python("-c", script, timeout=30).stdout == "given up\n"

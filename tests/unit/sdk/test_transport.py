"""What leaves over HTTP, and which way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from standpipe.errors import PipesConfigurationError
from standpipe.http.decisions import Answer, NoAnswer
from standpipe.http.transport import Transport
from standpipe.testing import recording_broker
from standpipe_protocol.bootstrap import Bootstrap, is_loopback
from standpipe_protocol.json_text import encode_json
from standpipe_protocol.messages import ReportCustomMessage, message_to_wire


class _Proxy(ThreadingHTTPServer):
    """Answers everything itself, and keeps what it was asked."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), _ProxyHandler)


class _ProxyHandler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Proxy)
        self.server.asked.append(self.path)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"context": {}}')

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Proxy]:
    for name in ("no_proxy", "NO_PROXY", "all_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.delenv(name, raising=False)
    server = _Proxy()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.server_port}")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_proxy_of_the_environment_is_used_for_servers_elsewhere(proxy: _Proxy) -> None:
    transport = Transport(Bootstrap(url="http://standpipe.example:8787/x", invocation="i", token="t"), environment={})
    answer = transport.get_context()
    transport.close()
    assert isinstance(answer, Answer)
    assert answer.status == 200
    assert proxy.asked == ["http://standpipe.example:8787/x/api/v1/invocations/i/context"]


def test_a_proxy_is_never_used_for_loopback(proxy: _Proxy) -> None:
    with recording_broker() as broker:
        for host in ("127.0.0.1", "localhost"):
            url = broker.url.replace("127.0.0.1", host)
            transport = Transport(Bootstrap(url=url, invocation=broker.invocation, token=broker.token), environment={})
            answer = transport.get_context()
            transport.close()
            assert isinstance(answer, Answer)
            assert answer.status == 200
    assert proxy.asked == []


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "127.1", "::1", "[::1]", "0:0:0:0:0:0:0:1", "api.localhost"],
)
def test_this_machine_is_known_by_all_its_names(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["example.com", "10.0.0.1", "0.0.0.0", "localhost.example.com", "127.example.com", "127.0.0.1.nip.io", "::2", ""],
)
def test_other_machines_are_not(host: str) -> None:
    assert not is_loopback(host)


def test_a_large_body_is_compressed_where_the_network_is_slow() -> None:
    body = encode_json(message_to_wire(ReportCustomMessage(payload="word " * 10_000))) + b"\n"
    with recording_broker() as broker:
        transport = Transport(broker.bootstrap, environment={}, compress=True)
        answer = transport.append(body, producer="p", first_seq=1, numbered=1)
        transport.close()
        assert isinstance(answer, Answer)
        assert answer.status == 200
        assert broker.custom_messages == ["word " * 10_000]


def test_no_answer_is_a_value_with_its_reason() -> None:
    with recording_broker() as broker:
        bootstrap = broker.bootstrap
    transport = Transport(bootstrap, environment={})
    answer = transport.get_context()
    transport.close()
    assert isinstance(answer, NoAnswer)
    assert "ConnectError" in answer.reason


def test_a_problem_and_the_time_to_wait_are_read_from_the_answer() -> None:
    with recording_broker() as broker:
        broker.refuse(1, problem="rate-limited", retry_after=3)
        transport = Transport(broker.bootstrap, environment={})
        answer = transport.get_context()
        transport.close()
    assert isinstance(answer, Answer)
    assert answer.problem is not None
    assert (answer.status, answer.problem.name, answer.retry_after) == (429, "rate-limited", 3.0)


def test_an_address_that_is_none_is_a_named_error() -> None:
    with pytest.raises(PipesConfigurationError, match="STANDPIPE_URL is 'http://host:port'"):
        Transport(Bootstrap(url="http://host:port", invocation="i", token="t"), environment={})

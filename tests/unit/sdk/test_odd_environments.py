"""Environments from which no client can be made, or one that reaches nothing: what was reported waits on disk."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import pytest

from standpipe import open_pipes
from standpipe.cli import main
from standpipe.delivery.outbox import Outbox
from standpipe.errors import PipesConfigurationError, PipesServerUnreachable
from standpipe.http.proxies import Target, proxy_for
from standpipe.testing import recording_broker
from standpipe_protocol.bootstrap import Bootstrap
from standpipe_protocol.messages import ReportCustomMessage

ELSEWHERE = Bootstrap(url="http://broker.example:8787", invocation="i", token="t")
PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXY_VARIABLES, *map(str.upper, PROXY_VARIABLES), "REQUEST_METHOD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("entries", "host", "excepted"),
    [
        ("broker.example", "broker.example", True),
        ("broker.example", "BROKER.example.", True),
        ("example", "broker.example", True),
        (".example", "broker.example", True),
        ("*.example", "broker.example", True),
        ("ample", "broker.example", False),
        ("other.example, broker.example", "broker.example", True),
        ("other.example broker.example", "broker.example", True),
        ("http://broker.example", "broker.example", True),
        ("http://broker.example/", "broker.example", True),
        ("https://broker.example", "broker.example", False),
        ("broker.example:8787", "broker.example", True),
        ("broker.example:80", "broker.example", False),
        ("*", "broker.example", True),
        ("", "broker.example", False),
        (",,*.,.,://,[,],[]:,:,%", "broker.example", False),
        ("127.0.0.0/8,fd07:b51a:cc66:f0::/64,broker.example", "broker.example", True),
        ("127.0.0.0/8,fd07:b51a:cc66:f0::/64", "broker.example", False),
        ("[::1],broker.example", "broker.example", True),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.1.2.3/8", "10.9.9.9", True),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:8787", "10.1.2.3", True),
        ("10.1.2.3:1", "10.1.2.3", False),
        ("192.168.0.0/16", "10.1.2.3", False),
        ("fd07:b51a:cc66:f0::/64", "fd07:b51a:cc66:f0::254", True),
        ("[fd07:b51a:cc66:f0::/64]", "fd07:b51a:cc66:f0::254", True),
        ("fd07::1", "fd07:0:0::1", True),
        ("[fd07::1]", "fd07::1", True),
        ("[fd07::1]:8787", "fd07::1", True),
        ("[fd07::1]:1", "fd07::1", False),
        ("10.0.0.0/33,300.1.1.1,1.2.3,fd07::/129,::ffff:0:0:0:0:0:0:0:0", "10.1.2.3", False),
        ("bücher.example,\udcff,a" + "b" * 300, "broker.example", False),
    ],
)
def test_no_proxy_excepts_what_it_names_and_nothing_in_it_raises(entries: str, host: str, excepted: bool) -> None:
    target = Target(scheme="http", host=host, port=8787)
    proxy = proxy_for(target, proxies={"http": "http://proxy.example:3128", "no": entries})
    assert proxy == (None if excepted else "http://proxy.example:3128")


@pytest.mark.parametrize(
    ("proxies", "expected"),
    [
        ({}, None),
        ({"https": "http://p:1"}, None),
        ({"http": "p:1"}, "http://p:1"),
        ({"all": "p:1"}, "http://p:1"),
        ({"http": " ", "all": "http://p:2"}, "http://p:2"),
        ({"http": "http://p:1", "all": "http://p:2"}, "http://p:1"),
    ],
)
def test_a_proxy_is_for_its_scheme_or_for_all(proxies: Mapping[str, str], expected: str | None) -> None:
    assert proxy_for(Target(scheme="http", host="broker.example", port=80), proxies=proxies) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {"HTTP_PROXY": "gopher://u:pass1word@proxy.example:1"},
        {"ALL_PROXY": "socks5://u:pass1word@proxy.example:1080"},
        {"HTTP_PROXY": "http://u:pass1word@proxy.example:port"},
        {"HTTP_PROXY": "http://[::1"},
        {"HTTP_PROXY": "http://u:pass1wörd@proxy.exa mple:3128"},
        {"HTTP_PROXY": "http://u:pass1word@127.0.0.1:9"},
        {"HTTP_PROXY": "://"},
        {"HTTP_PROXY": "http://127.0.0.1:9", "NO_PROXY": "fd07:b51a:cc66:f0::/64,[::1],elsewhere"},
        {"HTTP_PROXY": "http://127.0.0.1:99999"},
        {"STANDPIPE_CA_FILE": "/nonexistent/ca.pem", "HTTP_PROXY": "http://127.0.0.1:9"},
        {"STANDPIPE_CA_FILE": "/dev/null", "HTTP_PROXY": "http://127.0.0.1:9"},
        {"SSL_CERT_FILE": "/nonexistent/ca.pem", "HTTP_PROXY": "http://127.0.0.1:9"},
        {"SSL_CERT_DIR": "/nonexistent", "HTTP_PROXY": "http://127.0.0.1:9"},
        {"SSLKEYLOGFILE": "/nonexistent/keys", "HTTP_PROXY": "http://127.0.0.1:9"},
    ],
    ids="-".join,
)
def test_whatever_the_environment_says_of_the_network_reports_are_kept_and_that_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, environment: dict[str, str]
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    outbox = Outbox.connect(ELSEWHERE, fetch_context=True)
    outbox.send(ReportCustomMessage(payload=1))
    with pytest.raises((PipesConfigurationError, PipesServerUnreachable)) as raised:
        outbox.context(timeout=0.3)
    outbox.send(ReportCustomMessage(payload=2))
    report = outbox.close(0.3)
    assert (report.spooled, report.dropped) == (2, 0)
    assert report.error
    warned = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert any("i at http://broker.example:8787" in text and "kept" in text for text in warned)
    assert not any("pass1w" in text for text in (*warned, report.error, str(raised.value)))


def test_a_report_with_its_key_does_not_fail_for_the_environments_sake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "gopher://proxy.example:1")
    for name, value in ELSEWHERE.to_environment().items():
        monkeypatch.setenv(name, value)
    with open_pipes() as context:
        context.report_asset_materialization(asset_key="orders")
    assert context.close().spooled == 3


def test_what_one_environment_kept_another_one_delivers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with recording_broker() as broker:
        monkeypatch.setenv("STANDPIPE_CA_FILE", "/nonexistent/ca.pem")
        https = Bootstrap(url=broker.url.replace("http://", "https://"), invocation=broker.invocation, token="t")
        outbox = Outbox.connect(https)
        outbox.send(ReportCustomMessage(payload=1))
        # At once: there is nothing to wait for.
        assert outbox.close(600).spooled == 1
        assert main(["deliver"]) == 1
        assert len(list((tmp_path / "home" / "spool").glob("*.ndjson"))) == 1


@pytest.mark.parametrize("token", ["tökén", "a\nb", "\ud800", "😀", "a\x00b", "\t"])
def test_a_token_that_no_header_carries_is_kept_and_never_quoted(
    caplog: pytest.LogCaptureFixture, tmp_path: Path, token: str
) -> None:
    with recording_broker() as broker:
        secret = f"secret-{token}-secret"
        outbox = Outbox.connect(Bootstrap(url=broker.url, invocation="i", token=secret))
        outbox.send(ReportCustomMessage(payload=1))
        report = outbox.close(0.2)
    assert report.spooled == 1
    assert "secret" not in caplog.text + str(report.error)


@pytest.mark.parametrize("limit", ["-1", "-9999999999999", "1e12", "inf", "nan", "none", "1 GiB", "9" * 30])
def test_a_bound_of_the_spool_that_is_none_keeps_everything(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("STANDPIPE_SPOOL_BYTES", limit)
    outbox = Outbox.connect(Bootstrap(url="http://127.0.0.1:9", invocation="i", token="t"))
    outbox.send(ReportCustomMessage(payload=1))
    assert outbox.close(0.1).spooled == 1

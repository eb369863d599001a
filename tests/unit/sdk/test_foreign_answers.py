"""What stands between a process and its server answers too. That is never the end of a report."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe.cli import main
from standpipe.delivery.outbox import Outbox
from standpipe.errors import PipesServerUnreachable
from standpipe.http.client import retry_after_seconds
from standpipe.http.transport import Transport
from standpipe.testing import recording_broker
from standpipe_protocol.messages import ReportCustomMessage
from tests.support.interposed import Interposed, interposed
from tests.support.stub_broker import Reply
from tests.support.waiting import wait_until

HTML = b"<html><center>nginx</center></html>"
DEEP = b"[" * 100_000 + b"]" * 100_000


def page(status: int, content: bytes = HTML, kind: str = "text/html", **headers: str) -> Reply:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, {"Content-Type": kind, **named}, (content,))


def problem(http_status: int, **members: object) -> Reply:
    return page(http_status, json.dumps({"title": "No", **members}).encode(), "application/problem+json")


FOREIGN = {
    "nginx-413": page(413),
    "a-firewalls-400": page(400),
    "a-gateways-422": page(422, b'{"errors": []}', "application/json"),
    "a-proxys-401": page(401, WWW_Authenticate="Basic"),
    "a-firewalls-403": page(403),
    "an-ingress-404": page(404, b"default backend - 404", "text/plain"),
    "405": page(405),
    "407": page(407),
    "409": page(409),
    "410": page(410),
    "a-portals-200": page(200),
    "a-portals-json": page(200, b'{"login": "please"}', "application/json"),
    "a-list": page(200, b"[1, 2]", "application/json"),
    "an-odd-acknowledgement": page(200, b'{"accepted_through": "3"}', "application/json"),
    "an-acknowledgement-of-nothing": page(200, b'{"accepted_through": -1e999}', "application/json"),
    "an-empty-200": page(200, b""),
    "204": page(204, b""),
    "207": page(207),
    "a-portals-302": page(302, Location="https://portal.example/login"),
    "301": page(301, Location="https://elsewhere.example/"),
    "a-broken-location": page(302, Location="http://[::1"),
    "304": page(304, b""),
    "a-proxys-500": page(500),
    "a-proxys-502": page(502),
    "a-status-of-its-own": page(599),
    "problem-of-nobody": problem(401, type="about:blank", status=401),
    "problem-of-a-gateway": problem(413, type="https://gateway.example/problems/too-large", status=413),
    "problem-without-type": problem(404, status=404),
    "problem-with-an-odd-type": problem(404, type=["/problems/not-found"], status=404),
    "problem-under-another-status": problem(404, type="/problems/not-found", status=410),
    "problem-named-in-html": page(404, b'{"type": "/problems/not-found"}', "text/html"),
    "deeply-nested": page(200, DEEP, "application/json"),
    "deeply-nested-problem": page(404, DEEP, "application/problem+json"),
    "halves-of-characters": page(401, b'{"type": "\\ud800", "detail": "\\udfff"}', "application/problem+json"),
    "no-utf-8": page(200, b"\xff\xfe{}", "application/json"),
    "cut-off-gzip": page(200, gzip.compress(b'{"accepted_through": 9}' * 99)[:40], Content_Encoding="gzip"),
    "no-gzip": page(200, HTML, Content_Encoding="gzip"),
    "gzip-bomb": page(200, gzip.compress(bytes(300 * 1024 * 1024), 9), Content_Encoding="gzip"),
    "another-encoding": page(200, HTML, Content_Encoding="br"),
    "encodings": page(200, gzip.compress(gzip.compress(HTML)), Content_Encoding="gzip, gzip"),
    "cut-off": page(200, b'{"accepted_through": 9}', Content_Length="1000"),
    "come-again-never": page(503, Retry_After="inf"),
    "come-again-nan": page(503, Retry_After="nan"),
    "come-again-soon": page(503, Retry_After="soon"),
    "come-again-before": page(429, Retry_After="-1e999"),
}


@pytest.fixture
def between() -> Iterator[Interposed]:
    with recording_broker() as broker, interposed(broker) as running:
        yield running


@pytest.mark.parametrize("reply", FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_the_servers_word_loses_nothing(between: Interposed, reply: Reply, tmp_path: Path) -> None:
    between.reply = reply
    outbox = Outbox.connect(between.bootstrap, fetch_context=True)
    for n in range(3):
        outbox.send(ReportCustomMessage(payload=n))
    outbox.flush(0.2)
    with pytest.raises(PipesServerUnreachable):
        outbox.context(timeout=0.0)
    assert outbox.sender.stopped_by is None
    report = outbox.close(0.1)
    assert (report.numbered, report.spooled, report.dropped, report.rejected) == (3, 3, 0, ())
    assert report.error
    assert between.replied
    between.reply = None
    assert main(["deliver"]) == 0
    assert between.broker.custom_messages == [0, 1, 2]
    assert between.broker.rejected == ()


def test_a_message_is_delivered_when_the_page_in_its_place_is_gone(between: Interposed) -> None:
    between.reply = FOREIGN["nginx-413"]
    outbox = Outbox.connect(between.bootstrap, fetch_context=True)
    for n in range(40):
        outbox.send(ReportCustomMessage(payload=n))
    assert not outbox.flush(0.2)
    between.reply = None
    assert outbox.flush(20)
    assert outbox.context(timeout=20) is not None
    assert outbox.close().complete
    assert between.broker.custom_messages == list(range(40))


def test_a_page_in_the_place_of_a_heartbeat_ends_no_heart() -> None:
    with recording_broker(lease_seconds=0.3) as broker, interposed(broker) as between:
        outbox = Outbox.connect(between.bootstrap, fetch_context=True)
        outbox.context()
        outbox.send(ReportCustomMessage(payload=1))
        assert outbox.flush(10)
        for kind in ("an-ingress-404", "deeply-nested", "a-portals-302", "problem-of-nobody"):
            between.reply, between.replied = FOREIGN[kind], 0
            wait_until(lambda: between.replied, what="a heartbeat")
        between.reply = None
        before = len(broker.heartbeats)
        broker.wait_for(lambda b: len(b.heartbeats) > before)
        assert outbox.close().complete


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-7", 0.0),
        ("1e999", 300.0),
        ("inf", 300.0),
        ("-inf", 0.0),
        ("nan", None),
        ("", None),
        (None, None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", None),
        ("9" * 5000, 300.0),
    ],
)
def test_a_time_to_wait_is_a_number_of_seconds_within_bounds(text: str | None, seconds: float | None) -> None:
    assert retry_after_seconds(text) == seconds


@pytest.mark.parametrize("host", ["a" * 70 + ".example", "a..example", ".example", "xn--", "host:99999", "0:0"])
def test_a_host_that_is_no_name_is_the_networks_trouble(host: str, tmp_path: Path) -> None:
    with recording_broker() as broker:
        bootstrap = broker.bootstrap
    outbox = Outbox.connect(type(bootstrap)(url=f"http://{host}", invocation="i", token="t"))
    outbox.send(ReportCustomMessage(payload=1))
    report = outbox.close(0.2)
    assert (report.spooled, report.dropped) == (1, 0)


def test_a_large_answer_of_the_servers_is_read(between: Interposed) -> None:
    transport = Transport(between.bootstrap, environment={})
    between.reply = page(200, b'{"context": {"extras": "%s"}}' % (b"x" * 20_000_000), "application/json")
    answer = transport.get_context()
    transport.close()
    assert getattr(answer, "body", None) is not None

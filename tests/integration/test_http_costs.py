"""What one body may cost: a limit is checked before the work it bounds, and others are served beside it.

Each body is written to cost as much as it can. It is refused, or stored, within bounded memory, while others report.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.reporting import reporting
from tests.support.server import Server
from tests.support.wire import custom, opened, problem_of, register

_MIB = 1024 * 1024
_ZIPPED = {"Content-Encoding": "gzip"}
_LINES = {**_ZIPPED, "Content-Type": "application/x-ndjson"}
_DIGITS = 100_000
_CALLS = {
    "heartbeat": "control_bytes",
    "cancel": "control_bytes",
    "pin": "control_bytes",
    "launch": "control_bytes",
    "attempts": "control_bytes",
    "finish": "finish_bytes",
}


def _message(payload: bytes, *, method: bytes = b"report_custom_message") -> bytes:
    return b'{"method":"%b","params":{"payload":%b}}' % (method, payload)


def _many_of(text: bytes, size: int) -> bytes:
    return b"[" + text * (size // len(text)) + b"0]"


def _members(count: int) -> bytes:
    return b"{" + b",".join(b'"%x":[]' % number for number in range(count)) + b"}"


# Made when they are sent: together they weigh hundreds of MiB, which each process that runs tests would have.
_REFUSED: dict[str, tuple[Callable[[], bytes], dict[str, str], str]] = {
    "numbers": (lambda: _many_of(b"0,", 62 * _MIB), _ZIPPED, "batch_messages"),
    "lists": (lambda: _many_of(b"[],", 62 * _MIB), _ZIPPED, "batch_messages"),
    "tokens": (lambda: _many_of(b"NaN,", 62 * _MIB), _ZIPPED, "batch_messages"),
    "one message of tokens": (lambda: _message(_many_of(b"NaN,", 62 * _MIB)), _ZIPPED, "message_bytes"),
    "one message of entries": (
        lambda: _message(_many_of(b'{"raw_value":NaN,"type":"__infer__"},', 62 * _MIB)),
        _ZIPPED,
        "message_bytes",
    ),
    "halves of surrogates": (lambda: _message(b'"' + b"\\ud800" * (10 * _MIB) + b'"'), _ZIPPED, "message_bytes"),
    "members": (lambda: _message(_members(1_500_000)), _ZIPPED, "message_bytes"),
    "open brackets": (lambda: b"[" * (62 * _MIB), _ZIPPED, "json_depth"),
    "lines": (lambda: b"0\n" * (31 * _MIB), _LINES, "batch_messages"),
    "more than 64 MiB": (lambda: bytes(80 * _MIB), _ZIPPED, "decompressed_bytes"),
}
_STORED: dict[str, tuple[Callable[[], bytes], int]] = {
    "lists": (lambda: _message(_many_of(b"[],", 7 * _MIB)), 200),
    "lists in a message of no method": (lambda: _message(_many_of(b"[],", 7 * _MIB), method=b"nonsense"), 422),
    "members in a message of no method": (lambda: _message(_members(500_000), method=b"nonsense"), 422),
    "halves of surrogates": (lambda: _message(b'"' + b"\\ud800" * _MIB + b'"'), 200),
    "tokens": (lambda: _message(_many_of(b"NaN,", 4 * _MIB)), 200),
    "frames": (
        lambda: b'{"method":"closed","params":{"exception":{"message":"m","stack":[' + b'"f",' * _MIB + b'""]}}}',
        200,
    ),
    "extras": (lambda: b'{"method":"opened","params":{"extras":' + _members(500_000) + b"}}", 200),
    "what is no message, ten thousand times": (lambda: b"[" + b"0," * 9_999 + b"0]", 207),
    "nested as deep as may be": (lambda: b"[" + b",".join([_message(b"[" * 100 + b"]" * 100)] * 9_000) + b"]", 200),
    "blank lines": (lambda: b"\n" * (60 * _MIB) + b"{}", 207),
}


# What is refused before it is read costs the same on each kind of database, which never sees it.
@pytest.mark.parametrize("name", _REFUSED)
def test_a_refused_body_costs_twice_its_size_and_nobody_else_anything(sqlite_server: Server, name: str) -> None:
    server = sqlite_server
    make, headers, limit_name = _REFUSED[name]
    body = make()
    job, other = register(server), register(server, lease_seconds=300)
    sent = gzip.compress(body, 1)
    with reporting(other, server) as producers:
        before = _peak_mib(server.pid)
        answer = job.append(sent, headers=headers)
        assert _peak_mib(server.pid) - before < 2 * len(body) / _MIB + 50
    assert problem_of(answer, status=413, name="too-large")["limit_name"] == limit_name
    assert [producer.troubles for producer in producers] == [0, 0, 0]
    assert job.events() == []


@pytest.mark.parametrize("name", _STORED)
def test_a_body_that_is_stored_costs_nobody_else_anything(server: Server, name: str) -> None:
    make, status = _STORED[name]
    body = make()
    job, other = register(server), register(server, lease_seconds=300)
    headers = _LINES if name == "blank lines" else _ZIPPED
    with reporting(other, server) as producers:
        before = _peak_mib(server.pid)
        answer = job.append(gzip.compress(body, 1), headers=headers)
        # What came, what is stored, and what is stored of it in the database's own buffers.
        assert _peak_mib(server.pid) - before < 4 * len(body) / _MIB + 100
    assert answer.status_code == status, answer.text[:500]
    assert [producer.troubles for producer in producers] == [0, 0, 0]


@pytest.mark.parametrize("mask", ["", "&mask=true"])
@pytest.mark.parametrize("read_as", ["application/json", "text/event-stream"])
def test_reading_a_report_of_very_many_entries_in_normal_form_costs_nobody_else_anything(
    sqlite_server: Server, mask: str, read_as: str
) -> None:
    server = sqlite_server
    entries = b"{" + b",".join(b'"%x":%d' % (number, number % 10) for number in range(700_000)) + b"}"
    report = b'{"method":"report_asset_materialization","params":{"asset_key":"a","metadata":%b}}' % entries
    job, other = register(server), register(server, lease_seconds=300)
    assert job.append(gzip.compress(report, 1), headers=_ZIPPED).status_code == 200
    path = f"{job.path}/events?metadata=normal{mask}"
    size = 0
    with reporting(other, server) as producers:
        before = _peak_mib(server.pid)
        with server.http.stream("GET", path, headers={"Accept": read_as}, timeout=60) as answer:
            for piece in answer.iter_raw():
                size += len(piece)
                if size > 5 * len(report) - 5 * _MIB:
                    break
        # What is stored, and what it becomes: five times as much, in pieces and as one answer.
        assert _peak_mib(server.pid) - before < 16 * len(report) / _MIB + 50
    assert size > 4 * len(report)
    assert [producer.troubles for producer in producers] == [0, 0, 0]


@pytest.mark.parametrize("call", _CALLS)
@pytest.mark.parametrize("zipped", [True, False], ids=["compressed", "plain"])
def test_a_call_that_brings_no_messages_takes_a_small_body_only(
    shared_server: Server, call: str, *, zipped: bool
) -> None:
    job = register(shared_server)
    limit = shared_server.http.get("/limits").json()[_CALLS[call]]
    client = job.http if call == "heartbeat" else shared_server.http

    def post(body: bytes) -> Any:
        return client.post(
            f"{job.path}/{call}", content=gzip.compress(body) if zipped else body, headers=_ZIPPED if zipped else {}
        )

    problem = problem_of(post(b'{"x":' + _many_of(b"NaN,", limit) + b"}"), status=413, name="too-large")
    assert (problem["limit"], problem["limit_name"]) == (limit, _CALLS[call])
    assert "belongs into messages" in problem["detail"]
    word = {"launch": {"state": "queued"}, "attempts": {"attempt": 1}}.get(call, {})
    fits = json.dumps(word | {"x": "y" * (limit - 100)}).encode()
    assert post(fits).status_code == 200


def test_a_heartbeat_that_is_refused_is_no_word_of_the_process(shared_server: Server) -> None:
    job = register(shared_server)
    body = gzip.compress(b'{"x":' + _many_of(b"NaN,", 16 * _MIB) + b"}")
    answer = job.http.post(f"{job.path}/heartbeat", content=body, headers=_ZIPPED)
    assert problem_of(answer, status=413, name="too-large")["control"] == {"cancel_requested": False}
    assert job.read()["lease_expires_at"] is None


def test_a_registration_beyond_its_limit_is_refused_before_it_is_read(sqlite_server: Server) -> None:
    server = sqlite_server
    other = register(server, lease_seconds=300)
    body = gzip.compress(_many_of(b"0,", 62 * _MIB))
    with reporting(other, server) as producers:
        before = _peak_mib(server.pid)
        answer = server.http.post("/invocations", content=body, headers=_ZIPPED)
        assert _peak_mib(server.pid) - before < 174
    assert problem_of(answer, status=413, name="too-large")["limit_name"] == "registration_bytes"
    assert [producer.troubles for producer in producers] == [0, 0, 0]


@pytest.mark.parametrize(
    "body",
    [
        b'{"context":{"run_id":' + b"7" * 7_900_000 + b"}}",
        b'{"context":' + _members(1_500_000) + b',"retry_of":1}',
        b'{"context":{"asset_keys":[' + b'"a",' * 3_000_000 + b'""]}}',
        b'{"launcher":' + _many_of(b"NaN,", 8 * _MIB) + b',"pipes":1}',
        b'{"tags":{' + b",".join(b'"%x":"%x"' % (number, number) for number in range(600_000)) + b"}}",
        b'{"expected":{"asset_keys":[' + b'"ab",' * 2_000_000 + b'""]}}',
        b'{"context":{"provenance_by_asset_key":' + _members(700_000) + b"}}",
    ],
    ids=["digits", "members", "asset keys", "tokens", "tags", "expected", "provenance"],
)
def test_a_wrong_registration_costs_nobody_else_anything(sqlite_server: Server, body: bytes) -> None:
    server = sqlite_server
    other = register(server, lease_seconds=300)
    headers = {**_ZIPPED, "Idempotency-Key": "expensive"}
    with reporting(other, server) as producers:
        before = _peak_mib(server.pid)
        answer = server.http.post("/invocations", content=gzip.compress(body, 1), headers=headers)
        assert _peak_mib(server.pid) - before < 2 * len(body) / _MIB + 50
    problem_of(answer, status=422, name="invalid-request")
    assert [producer.troubles for producer in producers] == [0, 0, 0]


# Integers


@pytest.mark.parametrize(
    ("message", "pointer"),
    [
        ('{"method":"report_custom_message","params":{"payload":{"n":[1,-%s]}}}', "/params/payload"),
        (
            '{"method":"report_asset_materialization","params":{"asset_key":"a","metadata":{"n":%s}}}',
            "/params/metadata",
        ),
        ('{"method":"log","params":{"message":"m"},"details":{"fields":{"n":%s}}}', "/details"),
    ],
)
def test_a_longer_integer_rejects_its_message_by_name_and_no_other(
    shared_server: Server, message: str, pointer: str
) -> None:
    job = register(shared_server)
    assert shared_server.http.get("/limits").json()["integer_digits"] == _DIGITS
    fits, longer = message % ("7" * _DIGITS), message % ("7" * (_DIGITS + 1))
    answer = job.append(f"[{json.dumps(opened())},{longer},{json.dumps(custom(1))}]")
    assert answer.status_code == 207, answer.text[:500]
    (result,) = answer.json()["results"]
    problem = result["problem"]
    assert (result["index"], problem["type"], problem["pointer"]) == (1, "/problems/invalid-message", pointer)
    assert "integer_digits" in problem["detail"]
    assert job.append(fits).status_code == 200
    problem_of(job.append(longer), status=422, name="invalid-message")
    rejected = shared_server.http.get(f"{job.path}/events", params={"method": "rejected"})
    # What was sent is stored as it came.
    assert rejected.text.count("7" * (_DIGITS + 1)) == 2


@pytest.mark.parametrize(
    "payload",
    ['"%s"', '["\\"", "%s"]', "0.%s", "1.5e-0%s", '{"%s": 1}'],
    ids=["string", "string behind a quote", "fraction", "exponent", "name"],
)
def test_digits_that_are_no_integer_have_no_limit_of_their_own(shared_server: Server, payload: str) -> None:
    job = register(shared_server)
    digits = "0" * 7_000_000 if "e" in payload else "7" * 7_000_000
    message = '{"method":"report_custom_message","params":{"payload":%s}}' % (payload % digits)
    assert job.append(message).status_code == 200


def test_a_context_carries_integers_of_any_length(shared_server: Server) -> None:
    digits = "7" * 1_000_000
    body = f'{{"context": {{"extras": {{"n": {digits}}}}}}}'
    registered = shared_server.http.post("/invocations", content=body)
    assert registered.status_code == 201
    told = registered.json(parse_int=str)
    path = f"/invocations/{told['invocation']['id']}/context"
    with shared_server.client(token=told["token"]) as http:
        assert f'"extras":{{"n": {digits}}}' in http.get(path).text


# Signing in


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_form_of_too_many_fields_is_the_callers_mistake(shared_server: Server, method: str) -> None:
    fields = "&".join(["a=1"] * 11)
    with shared_server.client() as http:
        if method == "GET":
            answer = http.get(f"{shared_server.url}/login?{fields}")
        else:
            answer = http.post(f"{shared_server.url}/login", content=fields)
    problem_of(answer, status=400, name="malformed")
    assert "Traceback" not in shared_server.output()


def _peak_mib(pid: int) -> float:
    """The most memory that a process has held so far, in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(f"The system does not say what process {pid} has held.")

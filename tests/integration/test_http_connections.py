"""What happens below HTTP's surface: upgrades, trailers, endless headers, repeated ones. Spoken over bare sockets."""

from __future__ import annotations

import json
import socket

import pytest

from tests.support.server import Server
from tests.support.wire import Job, custom, register

MESSAGE = json.dumps(custom(1)).encode()
H2C = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"


@pytest.fixture
def job(shared_server: Server) -> Job:
    return register(shared_server)


def say(job: Job, *parts: bytes) -> tuple[int, str]:
    """Sends the parts one after the other and reads one answer: its status and its body."""
    with socket.create_connection(("127.0.0.1", job.server.port), timeout=30) as connection:
        try:
            for part in parts:
                connection.sendall(part)
        except ConnectionError:
            pass  # It was answered before everything was sent.
        with connection.makefile("rb") as answer:
            status = int(answer.readline().split()[1])
            headers = dict(line.decode().lower().split(": ", 1) for line in iter(answer.readline, b"\r\n"))
            return status, answer.read(int(headers["content-length"])).decode()


def head(job: Job, more: str = f"Content-Length: {len(MESSAGE)}\r\n") -> bytes:
    credentials = f"Host: 127.0.0.1:{job.server.port}\r\nAuthorization: Bearer {job.registered['token']}\r\n"
    return f"POST /api/v1{job.path}/events HTTP/1.1\r\n{credentials}{more}\r\n".encode()


@pytest.mark.parametrize("at_once", [True, False])
def test_a_report_that_offers_another_protocol_is_stored_all_the_same(job: Job, at_once: bool) -> None:
    request = head(job, f"{H2C}Content-Length: {len(MESSAGE)}\r\n")
    status, _ = say(job, request + MESSAGE) if at_once else say(job, request, MESSAGE)
    assert status == 200
    assert [event["params"] for event in job.events()] == [{"payload": 1}]


def test_a_trailer_replaces_no_header(job: Job) -> None:
    trailer = b"Authorization: Bearer another\r\nStandpipe-Producer: another\r\n"
    body = b"%x\r\n%b\r\n0\r\n%b\r\n" % (len(MESSAGE), MESSAGE, trailer)
    assert say(job, head(job, "Transfer-Encoding: chunked\r\n") + body)[0] == 200
    assert job.events()[0]["producer"] == "anonymous"


@pytest.mark.parametrize("part", ["header", "trailer", "path"])
def test_what_is_no_body_is_read_to_a_limit_and_no_further(job: Job, part: str) -> None:
    begun = {
        "header": head(job)[:-2] + b"X-Endless: ",
        "trailer": head(job, "Transfer-Encoding: chunked\r\n") + b"0\r\nX-Endless: ",
        "path": b"GET /",
    }[part]
    with (
        socket.create_connection(("127.0.0.1", job.server.port), timeout=30) as connection,
        pytest.raises(ConnectionError),
    ):
        connection.sendall(begun + b"x" * 80_000_000)
    assert job.events() == []


def test_a_body_in_the_smallest_of_chunks_is_read(job: Job) -> None:
    message = json.dumps(custom("x" * 100_000)).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in message)
    assert say(job, head(job, "Transfer-Encoding: chunked\r\n") + chunks + b"0\r\n\r\n")[0] == 200


def test_the_limit_is_one_of_each_request_and_not_of_the_connection(job: Job) -> None:
    filler = "X-Filler: " + "x" * 30_000 + "\r\n"
    requests = [
        head(job, f"{filler}Content-Length: {len(MESSAGE)}\r\n") + MESSAGE,
        head(job, f"{filler}Content-Length: 0\r\n"),
    ]
    with (
        socket.create_connection(("127.0.0.1", job.server.port), timeout=30) as connection,
        connection.makefile("rb") as answers,
    ):
        for request in requests * 6:
            connection.sendall(request)
            assert answers.readline().startswith(b"HTTP/1.1 ")
            headers = dict(line.decode().lower().split(": ", 1) for line in iter(answers.readline, b"\r\n"))
            answers.read(int(headers["content-length"]))


@pytest.mark.parametrize("request_line", [b"\x16\x03\x01", b"CONNECT 127.0.0.1:80 HTTP/1.1\r\nHost: x\r\n\r\n"])
def test_what_is_no_request_is_told_as_a_problem(job: Job, request_line: bytes) -> None:
    status, text = say(job, request_line)
    assert (status, json.loads(text)["type"]) == (400, "/problems/malformed")


@pytest.mark.parametrize("repeated", ["Host: elsewhere", "Authorization: Bearer another", "Content-Encoding: gzip"])
def test_a_header_that_may_be_given_once_is_not_given_twice(job: Job, repeated: str) -> None:
    more = f"{repeated}\r\n{repeated}\r\nContent-Length: {len(MESSAGE)}\r\n"
    status, text = say(job, head(job, more) + MESSAGE)
    problem = json.loads(text)
    assert (status, problem["type"]) == (400, "/problems/malformed")
    assert problem["header"] == repeated.partition(":")[0].lower()
    assert job.events() == []


@pytest.mark.parametrize("length", ["declared", "not declared"])
def test_a_body_beyond_the_limit_is_answered_before_it_has_come(job: Job, length: str) -> None:
    size = 16 * 1024 * 1024 + 1
    if length == "declared":
        status, text = say(job, head(job, f"Content-Length: {size}\r\n"))
    else:
        # The last chunk does not come.
        status, text = say(job, head(job, "Transfer-Encoding: chunked\r\n"), b"%x\r\n%b\r\n" % (size, b" " * size))
    assert (status, json.loads(text)["limit_name"]) == (413, "body_bytes")

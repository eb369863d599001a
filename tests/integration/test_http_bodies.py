"""Bodies: compressed, too large, cut off or lying about themselves: the server stays bounded and tells."""

from __future__ import annotations

import gzip
import json
import random
import socket
import zlib
from collections.abc import Callable, Iterator

import httpx
import pytest
import zstandard

from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import custom, problem_of, register

MIB = 1024 * 1024


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor().compress(data)


def _zstd_streamed(data: bytes) -> bytes:
    """Without the content's size in the frame's head."""
    compressor = zstandard.ZstdCompressor().compressobj()
    return compressor.compress(data) + compressor.flush()


def _messages(count: int) -> bytes:
    # Random digits, so that compression makes a body of some size.
    source = random.Random(7)
    return json.dumps([custom(source.randbytes(50).hex()) for _ in range(count)]).encode()


@pytest.mark.parametrize(
    ("encoding", "compress"),
    [
        ("gzip", gzip.compress),
        ("GZIP", gzip.compress),
        ("gzip", lambda data: gzip.compress(data[:100]) + gzip.compress(data[100:])),
        ("zstd", _zstd),
        ("zstd", _zstd_streamed),
        ("zstd", lambda data: _zstd(data[:100]) + _zstd_streamed(data[100:])),
        ("identity", bytes),
    ],
)
@pytest.mark.parametrize("count", [3, 3_000])
def test_compressed_bodies_are_read(
    shared_server: Server, encoding: str, compress: Callable[[bytes], bytes], count: int
) -> None:
    job = register(shared_server)
    answer = job.append(compress(_messages(count)), headers={"Content-Encoding": encoding})
    assert answer.status_code == 200, answer.text
    assert answer.json()["last_position"] == count


def test_a_compressed_registration_is_read(shared_server: Server) -> None:
    body = gzip.compress(json.dumps({"context": {"run_id": "zipped"}}).encode())
    answer = shared_server.http.post("/invocations", content=body, headers={"Content-Encoding": "gzip"})
    assert answer.json()["invocation"]["context"]["run_id"] == "zipped"


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, zstd", "nonsense"])
def test_an_unknown_encoding_is_told(shared_server: Server, encoding: str) -> None:
    job = register(shared_server)
    answer = job.append(_messages(1), headers={"Content-Encoding": encoding})
    problem_of(answer, status=415, name="unsupported-media-type")


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", b"nonsense"),
        ("gzip", gzip.compress(_messages(500))[:-20]),
        ("gzip", gzip.compress(_messages(1)) + b"trailing"),
        ("zstd", b"nonsense"),
        ("zstd", _zstd(_messages(500))[:-20]),
        ("zstd", _zstd_streamed(_messages(500))[:-20]),
        ("zstd", _zstd(_messages(1)) + b"trailing"),
    ],
)
def test_a_broken_compression_is_refused_whole(shared_server: Server, encoding: str, body: bytes) -> None:
    job = register(shared_server)
    problem_of(job.append(body, headers={"Content-Encoding": encoding}), status=400, name="malformed")
    assert job.events() == []


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_small_body_that_grows_beyond_the_limit_is_refused(shared_server: Server, encoding: str) -> None:
    job = register(shared_server)
    zeros = b"0" * (65 * MIB)
    body = gzip.compress(zeros, 1) if encoding == "gzip" else _zstd(zeros)
    assert len(body) < MIB
    problem = problem_of(job.append(body, headers={"Content-Encoding": encoding}), status=413, name="too-large")
    assert (problem["limit"], problem["limit_name"]) == (64 * MIB, "decompressed_bytes")
    assert problem["control"] == {"cancel_requested": False}


def test_many_tiny_compressed_members_are_refused_before_they_cost_much(shared_server: Server) -> None:
    job = register(shared_server)
    for encoding, member in (("gzip", gzip.compress(b"")), ("zstd", _zstd(b""))):
        answer = job.append(member * 20_000, headers={"Content-Encoding": encoding})
        problem_of(answer, status=400, name="malformed")


def test_a_body_beyond_the_limit_is_refused_by_its_declared_length(shared_server: Server) -> None:
    job = register(shared_server)
    problem = problem_of(job.append(b" " * (16 * MIB + 1)), status=413, name="too-large")
    assert (problem["limit"], problem["limit_name"]) == (16 * MIB, "body_bytes")


def test_a_body_without_a_declared_length_is_refused_while_it_is_read(shared_server: Server) -> None:
    job = register(shared_server)

    def endless() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * MIB

    answer = job.http.post(f"{job.path}/events", content=endless())
    assert problem_of(answer, status=413, name="too-large")["limit_name"] == "body_bytes"


def test_a_body_at_the_limit_is_read(shared_server: Server) -> None:
    job = register(shared_server)
    filler = [custom("x" * (7 * MIB)) for _ in range(2)]
    body = json.dumps(filler).encode()
    assert job.append(body + b" " * (16 * MIB - len(body))).status_code == 200


def test_a_message_beyond_the_limit_is_refused(shared_server: Server) -> None:
    job = register(shared_server)
    problem = problem_of(job.append([custom("x" * (8 * MIB))]), status=413, name="too-large")
    assert (problem["limit"], problem["limit_name"]) == (8 * MIB, "message_bytes")
    assert job.events() == []


def test_too_many_messages_are_refused(shared_server: Server) -> None:
    job = register(shared_server)
    problem = problem_of(job.append([custom(n) for n in range(10_001)]), status=413, name="too-large")
    assert (problem["limit"], problem["limit_name"]) == (10_000, "batch_messages")


def test_too_deep_a_message_is_refused(shared_server: Server) -> None:
    job = register(shared_server)
    problem = problem_of(job.append(_nested(200)), status=413, name="too-large")
    assert (problem["limit"], problem["limit_name"]) == (128, "json_depth")
    assert job.append(_nested(120)).status_code == 200


def test_a_message_too_deep_for_any_parser_is_refused(shared_server: Server) -> None:
    job = register(shared_server)
    assert job.append(_nested(100_000)).status_code in (400, 413)
    assert job.events() == []


def _nested(depth: int) -> str:
    return '[{"method":"report_custom_message","params":{"payload":' + "[" * depth + "]" * depth + "}}]"


def test_a_half_received_batch_is_never_stored(shared_server: Server) -> None:
    job = register(shared_server)
    body = json.dumps([custom(n) for n in range(10)]).encode()
    head = (
        f"POST /api/v1{job.path}/events HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Authorization: Bearer {job.registered['token']}\r\nContent-Length: {len(body) + 1}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", shared_server.port), timeout=10) as connection:
        connection.sendall(head.encode() + body)
    # The next answer comes after the server has seen the end of that connection or at least not stored from it.
    assert job.append([custom("whole")]).json()["last_position"] == 1


def test_a_stream_whose_reader_goes_away_is_closed(shared_server: Server) -> None:
    job = register(shared_server)

    def open_streams() -> float:
        text = shared_server.http.get(f"{shared_server.url}/metrics").text
        return float(text.split("\nstandpipe_open_streams ")[1].split("\n")[0])

    with job.stream() as events:
        job.append([custom(1)])
        next(events)
        assert open_streams() == 1
    wait_until(lambda: open_streams() == 0, what="the stream to be closed")


def test_an_unfinished_gzip_header_is_not_waited_for(shared_server: Server) -> None:
    job = register(shared_server)
    raw = zlib.compressobj(wbits=31)
    body = raw.compress(b"[]")
    answer: httpx.Response = job.append(body, headers={"Content-Encoding": "gzip"})
    problem_of(answer, status=400, name="malformed")

"""From report to reader: the time between posting an event and its arrival on an SSE stream and on a long poll."""

from __future__ import annotations

import json
import statistics
import threading
import time

from bench.payloads import small_message
from bench.report import Row
from bench.service import Connection, Service, request, running_service
from bench.yardsticks import fdatasync_ms

_EVENTS = 400


def run() -> list[Row]:
    with running_service() as service:
        stream = _measure(service, _read_stream)
        poll = _measure(service, _long_poll)
        sync = fdatasync_ms()
    p50, p99 = _percentiles(stream)
    poll_p50, poll_p99 = _percentiles(poll)
    return [
        Row("SSE, report to reader, p50", p50, "ms", p50 / sync, "one fdatasync", None),
        Row("SSE, report to reader, p99", p99, "ms", p99 / sync, "one fdatasync", None),
        Row("long poll, report to reader, p50", poll_p50, "ms", poll_p50 / p50, "SSE p50", 1.3, lower_is_better=True),
        Row("long poll, report to reader, p99", poll_p99, "ms", poll_p99 / p99, "SSE p99", None),
    ]


def _measure(service: Service, read: object) -> list[float]:
    invocation, token = service.register()
    arrived: dict[int, float] = {}
    ready = threading.Event()
    reader = threading.Thread(target=read, args=(service, invocation, arrived, ready))  # type: ignore[arg-type]
    reader.start()
    ready.wait(10)
    connection = Connection(service)
    sent: dict[int, float] = {}
    for seq in range(1, _EVENTS + 1):
        headers = f"Standpipe-Producer: live\r\nStandpipe-First-Seq: {seq}\r\n"
        path = f"/api/v1/invocations/{invocation}/events"
        prepared = request(service, "POST", path, small_message(), token=token, headers=headers)
        sent[seq] = time.perf_counter()
        connection.call(prepared)
        time.sleep(0.008)
    reader.join(30)
    connection.close()
    return [(arrived[seq] - sent[seq]) * 1000 for seq in sent]


def _read_stream(service: Service, invocation: str, arrived: dict[int, float], ready: threading.Event) -> None:
    connection = Connection(service)
    path = f"/api/v1/invocations/{invocation}/events"
    stream = connection.stream(
        request(service, "GET", path, b"", token=service.api_key, headers="Accept: text/event-stream\r\n")
    )
    ready.set()
    buffer = b""
    while len(arrived) < _EVENTS:
        buffer += stream.recv(65536)
        now = time.perf_counter()
        *blocks, buffer = buffer.split(b"\n\n")
        for block in blocks:
            for line in block.split(b"\n"):
                if line.startswith(b"id: "):
                    arrived.setdefault(int(line[4:]), now)
    connection.close()


def _long_poll(service: Service, invocation: str, arrived: dict[int, float], ready: threading.Event) -> None:
    connection = Connection(service)
    after = 0
    ready.set()
    while len(arrived) < _EVENTS:
        path = f"/api/v1/invocations/{invocation}/events?after={after}&wait=20"
        answer = json.loads(connection.call(request(service, "GET", path, b"", token=service.api_key)))
        now = time.perf_counter()
        for event in answer["items"]:
            arrived.setdefault(event["position"], now)
        after = answer["next_after"]
    connection.close()


def _percentiles(times: list[float]) -> tuple[float, float]:
    return statistics.median(times), statistics.quantiles(times, n=100)[98]

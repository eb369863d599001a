"""Durable ingest through the whole service: HTTP, authentication, validation, SQLite with an fsync a commit."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from bench.payloads import batch, large_message, small_message
from bench.report import Row
from bench.service import Connection, Service, request, running_service, timed
from bench.yardsticks import fdatasync_ms, y1, y1000, y1000_small


def run() -> list[Row]:
    with running_service() as service:
        batched_m = _batched(service, lambda number: large_message(f"asset-{number}"), producers=8, batches=5)
        bound_m = y1000()
        batched_s = _batched(service, lambda _: small_message(), producers=8, batches=10)
        bound_s = y1000_small()
        bound_1 = y1()
        single_8 = _single(service, connections=8, each=500)
        single_64 = _single(service, connections=64, each=150)
        single_1 = _single(service, connections=1, each=1000)
    return [
        Row(
            "M, 1,000 a request, 8 producers", batched_m, "events/s", batched_m / bound_m, "raw executemany(1000)", 0.75
        ),
        Row(
            "S, 1,000 a request, 8 producers", batched_s, "events/s", batched_s / bound_s, "raw executemany(1000)", 0.7
        ),
        Row("S, one a request, 8 connections", single_8, "events/s", single_8 / bound_1, "raw commit of one row", 1.2),
        Row(
            "S, one a request, 64 connections", single_64, "events/s", single_64 / bound_1, "raw commit of one row", 2.0
        ),
        Row("S, one a request, 1 connection", single_1, "events/s", single_1 / bound_1, "raw commit of one row", None),
        Row("fdatasync of 1 KiB", fdatasync_ms(), "ms", None, "", None),
    ]


def _batched(service: Service, make: Callable[[int], bytes], *, producers: int, batches: int) -> float:
    prepared: list[list[bytes]] = []
    number = 0
    for producer in range(producers):
        invocation, token = service.register()
        mine: list[bytes] = []
        for index in range(batches):
            messages = [make(number + offset) for offset in range(1000)]
            number += 1000
            headers = f"Standpipe-Producer: bench-{producer}\r\nStandpipe-First-Seq: {index * 1000 + 1}\r\n"
            path = f"/api/v1/invocations/{invocation}/events"
            mine.append(request(service, "POST", path, batch(messages), token=token, headers=headers))
        prepared.append(mine)
    return producers * batches * 1000 / _send_all(service, prepared)


def _single(service: Service, *, connections: int, each: int) -> float:
    prepared: list[list[bytes]] = []
    for _ in range(connections):
        invocation, token = service.register()
        path = f"/api/v1/invocations/{invocation}/events"
        head = "Standpipe-Producer: bench\r\nStandpipe-First-Seq: {}\r\n"
        message = small_message()
        prepared.append(
            [
                request(service, "POST", path, message, token=token, headers=head.format(seq))
                for seq in range(1, each + 1)
            ]
        )
    return connections * each / _send_all(service, prepared)


def _send_all(service: Service, prepared: Sequence[Sequence[bytes]]) -> float:
    connections = [Connection(service) for _ in prepared]

    def send(connection: Connection, requests: Sequence[bytes]) -> None:
        for one in requests:
            connection.call(one)

    threads = [threading.Thread(target=send, args=pair) for pair in zip(connections, prepared, strict=True)]

    def go() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    taken = timed(go)
    for connection in connections:
        connection.close()
    return taken

"""From report to reader on an idle broker, against a bare in-memory event stream (bench/bare/sse.py).

Twice: as users have it, from the SDK's report call to the callback of the orchestration package's reader, in two
processes; and with sockets and prepared bytes, where the clients' own share is next to nothing.
"""

from __future__ import annotations

import os
import random
import select
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Generator
from typing import cast

from bench.load.client import Address, complete, received
from bench.load.events import encoded, small_message
from bench.load.service import Service, running_bare, running_service
from bench.report import Row
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_protocol.bootstrap import Bootstrap

_EVENTS = 300
_PAUSES = (0.004, 0.010)

# Reports now and then, each time with the time of the call: the clock is the same in all processes of a machine.
_REPORTER = f"""
import random, time
from standpipe import open_pipes
with open_pipes() as context:
    for number in range({_EVENTS}):
        time.sleep(random.uniform{_PAUSES})
        context.report_custom_message({{"at": time.perf_counter(), "number": number, "loss": random.random()}})
"""


def run() -> Generator[Row]:
    with running_service() as service, running_bare("sse") as url:
        bare = Service(url, "none", 0)
        unregistered = Bootstrap(url=url, invocation="bare", token="any")  # noqa: S106  the bare app looks at none
        yield from _rows(
            "SDK's call to reader's callback",
            ours=lambda: _reported_to_callback(service, service.register()),
            bound=lambda: _reported_to_callback(bare, unregistered),
            aim=2.5,
        )
        yield from _rows(
            "the same with bare sockets",
            ours=lambda: _posted_to_frame(service, service.register()),
            bound=lambda: _posted_to_frame(bare, unregistered),
        )


def _rows(
    what: str, *, ours: Callable[[], list[float]], bound: Callable[[], list[float]], aim: float | None = None
) -> Generator[Row]:
    before, times, after = bound(), ours(), bound()
    for name, of, aimed in (("median", statistics.median, aim), ("p99", _p99, None)):
        yield Row(
            what=f"{what}, {name}",
            value=of(times),
            unit="ms",
            bound="bare SSE app in memory",
            bounds=(of(before), of(after)),
            aim=aimed,
            lower_is_better=True,
        )


def _p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def _reported_to_callback(service: Service, invocation: Bootstrap) -> list[float]:
    times: list[float] = []
    with BrokerClient(service.url, api_key=service.api_key) as client:
        # With a filter positions may have gaps: the bare app goes on counting from one reader to the next.
        tail = client.events.stream(invocation.invocation, methods=["report_custom_message"])
        environment = {**os.environ, **invocation.to_environment()}
        reporter = subprocess.Popen([sys.executable, "-c", _REPORTER], env=environment)
        for event in tail:
            now = time.perf_counter()
            if event.method == "report_custom_message":
                payload = cast("dict[str, dict[str, float]]", event.params)["payload"]
                times.append((now - payload["at"]) * 1000)
            if len(times) == _EVENTS:
                break
        tail.stop()
        assert reporter.wait(30) == 0
    # The first ones meet a connection that is being opened.
    return times[20:]


def _posted_to_frame(service: Service, invocation: Bootstrap) -> list[float]:
    """One thread and a poll on both sockets, so that nothing waits for an interpreter."""
    address: Address = service.address
    path = f"/api/v1/invocations/{invocation.invocation}/events"
    times: list[float] = []
    with address.open() as posting, address.open() as reading:
        reading.sendall(address.request("GET", path, token=service.api_key, headers="Accept: text/event-stream\r\n"))
        frames = b""
        while b"\n\n" not in frames:
            frames += received(reading)
        poll = select.poll()
        poll.register(posting, select.POLLIN)
        poll.register(reading, select.POLLIN)
        for seq, body in enumerate(encoded(lambda _: small_message(), _EVENTS), 1):
            time.sleep(random.uniform(*_PAUSES))  # noqa: S311
            prepared = service.append(invocation, body, first_seq=seq)
            frames = answer = b""
            arrived = False
            start = time.perf_counter()
            posting.sendall(prepared)
            while not (arrived and complete(answer)):
                for file, _ in poll.poll():
                    if file == posting.fileno():
                        answer += received(posting)
                        continue
                    frames += received(reading)
                    if not arrived and b"data: {" in frames and b"\n\n" in frames[frames.index(b"data: {") :]:
                        arrived = True
                        times.append((time.perf_counter() - start) * 1000)
    return times[20:]

"""A thousand idle readers of event streams on one server process: what each costs in memory and connections."""

from __future__ import annotations

import re
import socket
import tempfile
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path

from bench.load.client import call, received
from bench.load.service import Service, running_service
from bench.report import Row
from standpipe_protocol.bootstrap import Bootstrap

_READERS = 1000


def run() -> Generator[Row]:
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="standpipe-bench-")))
        # Each reads an invocation of its own. They are registered at a server before this one: memory that it had
        # needed for that and then freed would hide what readers take.
        with running_service(home=home) as earlier:
            invocations = [earlier.register() for _ in range(_READERS)]
        service = stack.enter_context(running_service(home=home))
        # What the first of all readers makes the server load is not theirs.
        for invocation in invocations[:20]:
            _follow(service, invocation).close()
        time.sleep(1)
        before = _memory_kb(service.pid)
        for invocation in invocations:
            stack.enter_context(_follow(service, invocation))
        time.sleep(1)
        each = (_memory_kb(service.pid) - before) / _READERS
        connections = _read_connections(service)
    yield Row(what="1,000 idle SSE readers, each", value=each, unit="KB of the server's", aim=60, lower_is_better=True)
    yield Row(what="database connections they hold", value=connections, unit="connections", aim=0, lower_is_better=True)


def _follow(service: Service, invocation: Bootstrap) -> socket.socket:
    """An open stream of which the first frame has come."""
    opened = service.address.open()
    path = f"/api/v1/invocations/{invocation.invocation}/events"
    opened.sendall(service.address.request("GET", path, token=service.api_key, headers="Accept: text/event-stream\r\n"))
    data = b""
    while data.count(b"\n\n") < 1:
        data += received(opened)
    return opened


def _memory_kb(pid: int) -> int:
    found = re.search(r"VmRSS:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(encoding="utf-8"))
    assert found is not None
    return int(found[1])


def _read_connections(service: Service) -> float:
    with service.address.open() as connection:
        answer = call(connection, service.address.request("GET", "/metrics", token=service.api_key))
    found = re.search(rb"^standpipe_read_connections (\S+)", answer, re.MULTILINE)
    assert found is not None, answer
    return float(found[1])

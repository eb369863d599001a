"""One small message a request, against a bare ASGI app that group-commits the same bodies (bench/bare/append.py).

In the two shapes in which clients send: head and body in one write, and in two, as httpx does.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.load.client import Address, drive_small
from bench.load.events import encoded, small_message
from bench.load.service import Service, running_bare_process, running_service
from bench.report import Row

# Some seconds' work.
_REQUESTS = {1: 4_000, 8: 16_000, 64: 48_000}
_SHAPES = {"one write": False, "two writes": True}
_BOUND = "bare app that group-commits"
# Decision 0048.
_AIM = 0.33


@dataclass(frozen=True, slots=True)
class _Figures:
    per_second: float
    processor_microseconds: float
    """Of the server's process, for each event."""


def run() -> Generator[Row]:
    events = encoded(lambda _: small_message(), max(_REQUESTS.values()))
    with ExitStack() as stack:
        service = stack.enter_context(running_service())
        bare_url, bare_pid = stack.enter_context(running_bare_process("append"))
        bare = Address.of(bare_url)

        def ours(sent: list[bytes], connections: int, *, in_two: bool) -> _Figures:
            return _drive(service.address, _to_service(service, sent, connections), pid=service.pid, in_two=in_two)

        def bares(sent: list[bytes], connections: int, *, in_two: bool) -> _Figures:
            return _drive(bare, _to_bare(bare, sent, connections), pid=bare_pid, in_two=in_two)

        # Both servers' first requests are slower than all that follow.
        ours(events[:800], 8, in_two=False)
        bares(events[:800], 8, in_two=False)
        for connections, requests in _REQUESTS.items():
            for shape, in_two in _SHAPES.items():
                what = f"190 B a request in {shape}, {connections} connection{'s'[: connections > 1]}"
                sent = events[:requests]
                before = bares(sent, connections, in_two=in_two)
                value = ours(sent, connections, in_two=in_two)
                yield from _rows(what, value, before, bares(sent, connections, in_two=in_two))


def _rows(what: str, value: _Figures, before: _Figures, after: _Figures) -> Generator[Row]:
    yield Row(
        what=what,
        value=value.per_second,
        unit="events/s",
        bound=_BOUND,
        bounds=(before.per_second, after.per_second),
        aim=_AIM,
    )
    yield Row(
        what="the same, the server's processor time each",
        value=value.processor_microseconds,
        unit="us",
        bound=_BOUND,
        bounds=(before.processor_microseconds, after.processor_microseconds),
        lower_is_better=True,
    )


def _drive(address: Address, prepared: list[list[bytes]], *, pid: int, in_two: bool) -> _Figures:
    events, before = sum(map(len, prepared)), _processor_seconds(pid)
    seconds = drive_small(address, prepared, in_two=in_two)
    return _Figures(events / seconds, (_processor_seconds(pid) - before) / events * 1e6)


def _processor_seconds(pid: int) -> float:
    # Behind the name, which may hold anything, the 12th and 13th: in user mode and in the kernel.
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _to_service(service: Service, events: list[bytes], connections: int) -> list[list[bytes]]:
    prepared: list[list[bytes]] = []
    for number in range(connections):
        bootstrap = service.register()
        mine = events[number::connections]
        prepared.append([service.append(bootstrap, body, first_seq=seq) for seq, body in enumerate(mine, 1)])
    return prepared


def _to_bare(address: Address, events: list[bytes], connections: int) -> list[list[bytes]]:
    return [
        [address.request("POST", "/events", body) for body in events[number::connections]]
        for number in range(connections)
    ]

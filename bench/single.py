"""One small message a request, against a bare ASGI app that group-commits the same bodies (bench/bare/append.py)."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack

from bench.client import Address, drive_small
from bench.events import encoded, small_message
from bench.report import Row, bracketed
from bench.service import Service, running_bare, running_service

# Some seconds' work: a busy server comes together on one core within the first (decision 0034).
_REQUESTS = {8: 16_000, 64: 48_000}


def run() -> Generator[Row]:
    events = encoded(lambda _: small_message(), max(_REQUESTS.values()))
    with ExitStack() as stack:
        service = stack.enter_context(running_service())
        bare = Address.of(stack.enter_context(running_bare("append")))
        # Both servers' first requests are slower than all that follow.
        _ours(service, events[:800], 8)
        _bare(bare, events[:800], 8)
        for connections, requests in _REQUESTS.items():
            sent = events[:requests]
            value, bounds = bracketed(
                lambda connections=connections, sent=sent: _bare(bare, sent, connections),
                lambda connections=connections, sent=sent: _ours(service, sent, connections),
            )
            yield Row(
                what=f"one message of 190 B a request, {connections} connections",
                value=value,
                unit="events/s",
                bound="bare app that group-commits",
                bounds=bounds,
                aim=0.4,
            )


def _ours(service: Service, events: list[bytes], connections: int) -> float:
    prepared: list[list[bytes]] = []
    for number in range(connections):
        bootstrap = service.register()
        mine = events[number::connections]
        prepared.append([service.append(bootstrap, body, first_seq=seq) for seq, body in enumerate(mine, 1)])
    return len(events) / drive_small(service.address, prepared)


def _bare(address: Address, events: list[bytes], connections: int) -> float:
    prepared = [
        [address.request("POST", "/events", body) for body in events[number::connections]]
        for number in range(connections)
    ]
    return len(events) / drive_small(address, prepared)

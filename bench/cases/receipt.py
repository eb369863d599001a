"""What a ledger with a SHA-256 costs: batches and the `closed` that brings it, against the same without the digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Generator, Sequence

from bench.load.client import drive_large
from bench.load.events import batch, custom_message, encoded
from bench.load.service import Service, running_service
from bench.report import Row, bracketed

_EVENTS, _BATCH = 80_000, 1_000


def run() -> Generator[Row]:
    events = encoded(lambda _: custom_message(), _EVENTS)
    with running_service() as service:
        # What a server does once in its life is not measured.
        _store_and_close(service, events[: _EVENTS // 10], connections=8, digest=True)
        for connections in (8, 1):
            value, bounds = bracketed(
                lambda connections=connections: _store_and_close(
                    service, events, connections=connections, digest=False
                ),
                lambda connections=connections: _store_and_close(service, events, connections=connections, digest=True),
            )
            noun = "connection" if connections == 1 else "connections"
            yield Row(
                what=f"1 KB messages and a ledger, {connections} {noun}",
                value=value,
                unit="events/s",
                bound="a ledger without sha256",
                bounds=bounds,
                aim=0.8,
            )


def _store_and_close(service: Service, events: list[bytes], *, connections: int, digest: bool) -> float:
    """Events a second through the answer to the last `closed`; each connection is an invocation of its own."""
    each = len(events) // connections
    shares = [events[number * each : (number + 1) * each] for number in range(connections)]
    prepared = [_requests(service, mine, digest=digest) for mine in shares]
    return len(events) / drive_large(service.address, prepared)


def _requests(service: Service, events: Sequence[bytes], *, digest: bool) -> list[bytes]:
    bootstrap, number = service.register(), len(events) + 1
    starts = range(0, len(events), _BATCH)
    requests = [
        service.append(bootstrap, batch(events[start : start + _BATCH]), first_seq=start + 1) for start in starts
    ]
    ledger: dict[str, object] = {"messages": number, "last_seq": number}
    if digest:
        ledger["sha256"] = hashlib.sha256(b"".join(event + b"\n" for event in events)).hexdigest()
    closed = json.dumps({"method": "closed", "ledger": ledger}).encode()
    return [*requests, service.append(bootstrap, closed, first_seq=number)]

"""Batched durable ingest through the whole service: HTTP, authentication, checks, de-duplication, a commit on disk."""

from __future__ import annotations

from collections.abc import Callable, Generator

from bench.bare import raw_sqlite
from bench.load.client import drive_large
from bench.load.events import Message, batch, custom_message, encoded, log_message, materialization, text
from bench.load.service import Service, running_service
from bench.report import Row, bracketed

CONNECTIONS, BATCHES = 8, 5
_EACH = BATCHES * 1000

# Keys recur from one invocation to the next and are unique within one, as in real pipelines.
KEYS = [f"{text(12).replace(' ', '_')}/{number}" for number in range(_EACH)]
KINDS: dict[str, tuple[Callable[[int], Message], float]] = {
    "custom messages": (lambda _: custom_message(), 1.0),
    "logs": (lambda _: log_message(), 1.0),
    "materializations": (lambda number: materialization(KEYS[number % len(KEYS)]), 0.6),
}


def run() -> Generator[Row]:
    for kind, (make, aim) in KINDS.items():
        events = encoded(make, CONNECTIONS * _EACH)
        with running_service() as service:
            # What a server does once in its life (the first commit, the first growth of its files) is not measured.
            store_all(service, encoded(make, CONNECTIONS * 1000))
            value, bounds = bracketed(
                lambda events=events: raw_sqlite.rows_per_second(events),
                lambda events=events, service=service: store_all(service, events),
            )
        yield Row(
            what=f"1 KB {kind}",
            value=value,
            unit="events/s",
            bound="raw executemany",
            bounds=bounds,
            aim=aim,
        )


def store_all(service: Service, events: list[bytes]) -> float:
    """Events a second, of events that are shared out to eight invocations, each with a connection of its own."""
    prepared: list[list[bytes]] = []
    each = len(events) // CONNECTIONS
    for connection in range(CONNECTIONS):
        bootstrap = service.register()
        mine = events[connection * each : (connection + 1) * each]
        prepared.append(
            [
                service.append(bootstrap, batch(mine[start : start + 1000]), first_seq=start + 1)
                for start in range(0, each, 1000)
            ]
        )
    return len(events) / drive_large(service.address, prepared)

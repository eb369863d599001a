"""Batches into a server on PostgreSQL, against psycopg's COPY of the same events into the same cluster."""

from __future__ import annotations

import time
from collections.abc import Generator

import psycopg

from bench.cases.ingest import CONNECTIONS, KEYS, KINDS, store_all
from bench.load.events import encoded
from bench.load.service import running_service
from bench.report import Row, bracketed
from tests.support.postgres import Postgres, own_cluster

_SETTINGS = {
    "listen_addresses": "",
    # Everything that makes a commit durable is on, as it is by default. What is larger than by default is what is set
    # on any server that takes data: room for pages, and for what lies between two checkpoints.
    "shared_buffers": "256MB",
    "max_wal_size": "4GB",
    "log_min_messages": "warning",
}
_COPY = "COPY event (inv, body) FROM STDIN (FORMAT BINARY)"
# A second's work: in a quarter of one, which is what 3,000 take, the ratio went up and down by a third.
_EACH = 12_000
_AIMS = {"custom messages": 1.0, "logs": 1.0}


def run() -> Generator[Row]:
    with own_cluster(_SETTINGS) as cluster:
        for kind, (make, _) in KINDS.items():
            # A key is materialized once an invocation.
            each = min(_EACH, len(KEYS)) if kind == "materializations" else _EACH
            events = encoded(make, CONNECTIONS * each)
            with running_service(database_url=cluster.create(template="template0")) as service:
                store_all(service, encoded(make, CONNECTIONS * 1000))
                value, bounds = bracketed(
                    lambda events=events: _copied_per_second(cluster, events),
                    lambda events=events, service=service: store_all(service, events),
                )
            yield Row(
                what=f"1 KB {kind}",
                value=value,
                unit="events/s",
                bound="psycopg COPY",
                bounds=bounds,
                aim=_AIMS.get(kind),
            )


def _copied_per_second(cluster: Postgres, events: list[bytes]) -> float:
    """One row an event, one connection, a commit each 1,000; the same table as the bound on SQLite."""
    with psycopg.connect(cluster.create(template="template0"), autocommit=True) as connection:
        connection.execute(
            "CREATE TABLE event (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, inv int NOT NULL,"
            " body bytea NOT NULL)"
        )
        connection.execute("CREATE INDEX event_inv_id ON event (inv, id)")
        batches = [events[start : start + 1000] for start in range(0, len(events), 1000)]
        start = time.perf_counter()
        for number, batch in enumerate(batches):
            with connection.transaction(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
                copy.set_types(["int4", "bytea"])
                for body in batch:
                    copy.write_row((number % CONNECTIONS, body))
        return len(events) / (time.perf_counter() - start)

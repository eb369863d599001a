"""Servers and databases that die and come back: the acknowledged is there once, and readers find on by themselves."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import ServerFactory
from tests.support.postgres import Cluster, own_cluster
from tests.support.reporting import reading, reporting
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import register

# The database


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_cluster({"listen_addresses": "", "max_connections": "50", "log_min_messages": "warning"}) as made:
        yield made


@pytest.mark.parametrize("crash", [False, True])
def test_a_database_that_restarts_costs_nothing_that_was_acknowledged(
    start_server: ServerFactory, cluster: Cluster, crash: bool
) -> None:
    server = start_server(database_url=cluster.create())
    job = register(server, lease_seconds=300)
    with reading(job, server) as positions, reporting(job, server) as producers:
        for _ in range(2):
            seen = len(positions)
            wait_until(lambda seen=seen: len(positions) > seen + 50, what="events to be read")
            before = [producer.troubles for producer in producers]
            cluster.stop(crash=crash)
            wait_until(
                lambda before=before: all(p.troubles > b for p, b in zip(producers, before, strict=True)),
                what="every producer to be told to come again",
            )
            assert httpx.get(f"{server.url}/healthz", trust_env=False).status_code == 200
            assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 503
            cluster.start()
        seen = len(positions)
        wait_until(lambda: len(positions) > seen + 50, what="events to be read again")
    assert server.process.exit_code is None
    assert "Traceback" not in server.output()


# Servers


def test_a_server_killed_with_streams_open_costs_its_readers_nothing(server: Server) -> None:
    job = register(server)
    with reading(job, server) as first, reading(job, server) as second, reporting(job, server):
        for _ in range(3):
            seen = len(first), len(second)
            wait_until(lambda seen=seen: len(first) > seen[0] + 50, what="the first reader")
            wait_until(lambda seen=seen: len(second) > seen[1] + 50, what="the second reader")
            server.kill9()
            server.restart()


def test_a_replica_that_is_killed_takes_nothing_from_the_streams_of_another(
    start_server: ServerFactory, postgres_url: str
) -> None:
    stays, goes = start_server(database_url=postgres_url), start_server(database_url=postgres_url)
    job = register(stays)
    with reading(job, stays) as positions, reporting(job, goes, stays) as producers:
        wait_until(lambda: len(positions) > 100, what="events through both")
        with goes.http.stream("GET", f"{job.path}/events", headers={"Accept": "text/event-stream"}) as stream:
            lines = stream.iter_lines()
            assert next(lines)
            goes.kill9()
            with pytest.raises(httpx.TransportError):
                list(lines)
        wait_until(lambda: all(producer.troubles for producer in producers), what="the producers to go elsewhere")
        seen = len(positions)
        wait_until(lambda: len(positions) > seen + 50, what="events through the one that stayed")

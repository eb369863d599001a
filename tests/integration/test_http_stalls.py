"""Disks that stall or are full, databases that hang: it costs time, nothing that was acknowledged, and no orderly end.

The disk is a real one whose fsync is held up from outside, the full one a real small file system; no part of the
server is replaced.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from secrets import token_hex

import httpx
import psycopg
import pytest

from tests.conftest import DATABASES, ServerFactory
from tests.support.disk import CannotMisbehave, StallingDisk, small_disk, stalling_disk
from tests.support.postgres import Cluster, own_cluster
from tests.support.processes import Process, child_environment, run
from tests.support.reporting import reading, reporting
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, custom, problem_of, register

_STOPS_WITHIN = 25.0
_CLUSTER = {"listen_addresses": "", "max_connections": "50", "log_min_messages": "warning"}


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """Not in pytest's folder, which PostgreSQL's user may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="standpipe-disk-", dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def disk(open_folder: Path) -> StallingDisk:
    try:
        return stalling_disk(open_folder)
    except CannotMisbehave as reason:
        pytest.skip(str(reason))


@pytest.fixture(params=DATABASES)
def stalling_url(request: pytest.FixtureRequest, disk: StallingDisk, sqlite_url: str) -> Iterator[str]:
    """An empty database on the disk that stalls."""
    if request.param == "sqlite":
        yield sqlite_url
        return
    with own_cluster(_CLUSTER, env=disk.env) as cluster:
        yield cluster.create()
        # It cannot end otherwise.
        disk.go_on()


@pytest.fixture
def server(stalling_url: str, disk: StallingDisk, start_server: ServerFactory) -> Iterator[Server]:
    yield start_server(database_url=stalling_url, env=disk.env)
    disk.go_on()


def _stall_in_a_commit(disk: StallingDisk, job: Job) -> None:
    """Stalls the disk, and waits until one commit waits for it and something else waits behind that."""
    disk.stall()
    with job.server.client(token=job.registered["token"], timeout=0.2) as impatient:

        def waits() -> bool:
            with suppress(httpx.ReadTimeout):
                impatient.post(f"{job.path}/heartbeat")
            metrics = job.server.http.get(f"{job.server.url}/metrics").text
            (line,) = (line for line in metrics.splitlines() if line.startswith("standpipe_queued_writes "))
            return float(line.split()[1]) >= 1

        wait_until(waits, what="writes to wait behind the disk")


def test_a_disk_that_stalls_costs_time_and_nothing_else(server: Server, disk: StallingDisk) -> None:
    job = register(server, lease_seconds=300)
    with reading(job, server) as positions, reporting(job, server) as producers:
        for _ in range(3):
            seen = len(positions)
            wait_until(lambda seen=seen: len(positions) > seen + 30, what="events to be read")
            _stall_in_a_commit(disk, job)
            disk.go_on()
    # Nobody was refused for it, they only waited.
    assert [producer.troubles for producer in producers] == [0, 0, 0]


def test_a_server_killed_in_the_middle_of_a_commit_stores_nothing_twice(server: Server, disk: StallingDisk) -> None:
    job = register(server, lease_seconds=300)
    with reading(job, server) as positions, reporting(job, server):
        for _ in range(3):
            seen = len(positions)
            wait_until(lambda seen=seen: len(positions) > seen + 30, what="events to be read")
            _stall_in_a_commit(disk, job)
            server.kill9()
            disk.go_on()
            server.restart()


def test_a_server_killed_in_the_middle_of_a_migration_starts_again(
    stalling_url: str, disk: StallingDisk, start_server: ServerFactory, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "standpipe_server", "migrate", "--database", stalling_url]
    environment = child_environment(disk.env, home=tmp_path / "migrating")
    if stalling_url.startswith("sqlite"):
        # Otherwise it would wait for the disk sooner, when the log is set up.
        sqlite3.connect(stalling_url.removeprefix("sqlite:///")).execute("PRAGMA journal_mode=WAL").close()
    disk.stall()
    with Process(command, log=tmp_path / "migration.log", env=environment) as migration:
        wait_until(lambda: _is_committing(stalling_url), what="the migration to wait for the disk")
        migration.kill9()
    disk.go_on()
    server = start_server(database_url=stalling_url, env=disk.env)
    job = register(server)
    with reporting(job, server):
        pass
    assert run([*command, "--check"], env=environment).returncode == 0


def _is_committing(url: str) -> bool:
    if url.startswith("sqlite"):
        log = Path(url.removeprefix("sqlite:///") + "-wal")
        return log.exists() and log.stat().st_size > 0
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'standpipe' AND state = 'active'"
            " AND query ILIKE 'commit%' AND wait_event IS NOT NULL"
        ).fetchone()
    return found is not None and found[0] > 0


def test_a_server_that_is_told_to_stop_while_its_disk_stalls_says_goodbye_and_ends(
    server: Server, disk: StallingDisk
) -> None:
    job = register(server, lease_seconds=300)
    with reading(job, server) as positions, reporting(job, server):
        wait_until(lambda: len(positions) > 30, what="events to be read")
        with job.stream(after=10_000_000) as events:
            _stall_in_a_commit(disk, job)
            code = server.process.stop(timeout=_STOPS_WITHIN)
            assert [event.event for event in events] == ["bye"]
        disk.go_on()
        server.restart()
    assert code == 0
    assert "none of that was acknowledged" in server.output()


def test_streams_that_wait_for_a_hanging_database_say_goodbye_when_the_server_stops(
    postgres_server: Server, postgres_url: str
) -> None:
    server, job = postgres_server, register(postgres_server)
    with psycopg.connect(postgres_url) as other, job.stream() as events:
        job.append([custom(1)], producer="p", first_seq=1)
        assert next(events).id == "1"
        other.execute("LOCK TABLE invocation, segment IN ACCESS EXCLUSIVE MODE")
        with psycopg.connect(postgres_url, autocommit=True) as waker:
            for number in range(1, 100):
                waker.execute("SELECT pg_notify('standpipe', %s)", [f"{number}:0:0"])
            wait_until(
                lambda: waker.execute("SELECT count(*) FROM pg_locks WHERE NOT granted").fetchone() != (0,),
                what="the stream's read to wait",
            )
        assert server.process.stop(timeout=_STOPS_WITHIN) == 0
        assert [event.event for event in events] == ["bye"]
        other.rollback()
    assert "Traceback" not in server.output()


# A full disk


@pytest.fixture
def small(open_folder: Path) -> Iterator[Path]:
    with ExitStack() as stack:
        try:
            mounted = stack.enter_context(small_disk(open_folder / "small", mebibytes=48))
        except CannotMisbehave as reason:
            pytest.skip(str(reason))
        yield mounted


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with own_cluster(_CLUSTER) as made:
        yield made


@pytest.mark.parametrize("database", DATABASES)
def test_a_full_disk_is_told_as_such_and_costs_nothing_that_was_acknowledged(
    database: str, small: Path, start_server: ServerFactory, request: pytest.FixtureRequest
) -> None:
    if database == "sqlite":
        url = f"sqlite:///{small / 'standpipe.db'}"
    else:
        url = request.getfixturevalue("cluster").create_in(small)
    server = start_server(database_url=url)
    job, other = register(server, lease_seconds=300), register(server)
    filler = small / "filler"

    def all_are_told(before: Sequence[int]) -> bool:
        # The database has taken room on the disk ahead, which small reports use up slowly: rows of an invocation of no
        # interest, larger and smaller ones, take what is left of it.
        for size in (1_500, 400, 50):
            other.append([custom(token_hex(size))])
        return all(producer.troubles > troubles for producer, troubles in zip(producers, before, strict=True))

    with reading(job, server) as positions, reporting(job, server) as producers:
        for _ in range(2):
            seen, before = len(positions), [producer.troubles for producer in producers]
            wait_until(lambda seen=seen: len(positions) > seen + 30, what="events to be read")
            _fill(filler)
            wait_until(
                lambda before=before: all_are_told(before),
                what="every producer to be told to come again",
                timeout=90,
                interval=0.0,
            )
            answer = job.append([custom(token_hex(500_000))], producer="large", first_seq=1)
            assert int(answer.headers["Retry-After"]) >= 1
            problem_of(answer, status=503, name="overloaded")
            # What is stored can be read all the same.
            assert job.events(limit=1)[0]["position"] == 1
            filler.unlink()
    assert server.process.exit_code is None


def test_a_server_that_starts_on_a_full_disk_serves_what_it_has(small: Path, start_server: ServerFactory) -> None:
    server = start_server(database_url=f"sqlite:///{small / 'standpipe.db'}")
    job = register(server)
    assert job.append([custom(1)], producer="p", first_seq=1).status_code == 200
    server.kill9()
    _fill(small / "filler")
    server.restart()
    job.http = server.client(token=job.registered["token"])
    assert [event["position"] for event in job.events()] == [1]
    problem_of(job.append([custom(token_hex(500_000))], producer="p", first_seq=2), status=503, name="overloaded")
    (small / "filler").unlink()
    assert job.append([custom(2)], producer="p", first_seq=2).status_code == 200
    assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 200
    assert server.stop() == 0


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue

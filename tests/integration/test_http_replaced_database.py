"""A PostgreSQL database that is made anew, put back or crashes under a running server: the acknowledged is in it.

Where it is not any more, nothing else is acknowledged. Real databases, real processes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from psycopg import sql

from tests.conftest import ServerFactory
from tests.support.postgres import Cluster, Postgres, own_cluster
from tests.support.reporting import reporting
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, custom, opened, register

_LOST = 3


def _name(url: str) -> sql.Identifier:
    return sql.Identifier(urlsplit(url).path.lstrip("/"))


class _Databases:
    """What a person does with databases, and what they are called."""

    def __init__(self, postgres: Postgres, url: str) -> None:
        self.postgres = postgres
        self.url = url

    def run(self, statement: str, **names: sql.Composable) -> None:
        with psycopg.connect(self.postgres.admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL(statement).format(it=_name(self.url), **names))  # type: ignore[arg-type]

    @contextmanager
    def left_alone(self) -> Generator[None]:
        """Nobody is connected to it, and nobody can connect."""
        name = urlsplit(self.url).path.lstrip("/")
        self.run("ALTER DATABASE {it} ALLOW_CONNECTIONS false")
        with psycopg.connect(self.postgres.admin_url, autocommit=True) as connection:

            def is_left() -> bool:
                connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
                left = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name])
                return left.fetchone() == (0,)

            wait_until(is_left, what="the database to be left alone")
        yield
        self.run("ALTER DATABASE {it} ALLOW_CONNECTIONS true")

    def copy(self) -> sql.Identifier:
        """A copy of what is there now, as a dump would hold it."""
        copy = self.other_name
        with self.left_alone():
            self.run("CREATE DATABASE {copy} TEMPLATE {it}", copy=copy)
        return copy

    @property
    def other_name(self) -> sql.Identifier:
        return sql.Identifier(urlsplit(self.url).path.lstrip("/") + "_copy")


@pytest.fixture
def databases(postgres: Postgres, postgres_url: str) -> Iterator[_Databases]:
    made = _Databases(postgres, postgres_url)
    yield made
    with psycopg.connect(postgres.admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(made.other_name))


def _report_until_it_ends(server: Server, job: Job, *, after: int) -> None:
    """Nothing is acknowledged, however often it is tried, until the server has ended."""

    def tried() -> bool:
        try:
            answer = job.append([custom(after)], producer="p", first_seq=after + 1)
        except httpx.TransportError:
            return True
        assert answer.status_code == 503, answer.text
        return False

    wait_until(tried, what="the server to end")
    assert server.process.wait() == _LOST
    assert "CRITICAL" in server.output()
    assert "Traceback" not in server.output()


def _drop_and_make_anew(databases: _Databases) -> None:
    databases.run("DROP DATABASE {it} WITH (FORCE)")
    databases.run("CREATE DATABASE {it}")


def _drop_the_tables(databases: _Databases) -> None:
    with psycopg.connect(databases.url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def _empty_the_tables(databases: _Databases) -> None:
    with psycopg.connect(databases.url, autocommit=True) as connection:
        connection.execute("TRUNCATE server_writer, invocation CASCADE")


@pytest.mark.parametrize("way", [_drop_and_make_anew, _drop_the_tables, _empty_the_tables])
def test_nothing_is_acknowledged_into_a_database_that_was_made_anew(
    start_server: ServerFactory, databases: _Databases, way: Callable[[_Databases], None]
) -> None:
    server = start_server(database_url=databases.url)
    job = register(server)
    assert job.append([opened(), custom(1)], producer="p", first_seq=1).status_code == 200
    way(databases)
    _report_until_it_ends(server, job, after=2)


def test_nothing_is_acknowledged_into_a_database_that_another_server_set_up_anew(
    start_server: ServerFactory, databases: _Databases
) -> None:
    server = start_server(database_url=databases.url)
    job = register(server)
    assert job.append([opened(), custom(1)], producer="p", first_seq=1).status_code == 200
    _drop_and_make_anew(databases)
    other = start_server(database_url=databases.url)
    register(other)
    _report_until_it_ends(server, job, after=2)
    assert httpx.get(f"{other.url}/readyz", trust_env=False).status_code == 200


@pytest.mark.parametrize("before_start", [True, False])
def test_nothing_is_acknowledged_into_an_older_copy(
    start_server: ServerFactory, databases: _Databases, before_start: bool
) -> None:
    first = start_server(database_url=databases.url)
    job = register(first)
    assert job.append([opened(), custom(1)], producer="p", first_seq=1).status_code == 200
    if before_start:
        first.stop()
        copy = databases.copy()
        first.restart()
        job.http = first.client(token=job.registered["token"])
    else:
        copy = databases.copy()
    # Each of the three writers has acknowledged something that the copy has not.
    more = [register(first) for _ in range(3)]
    for each in (job, *more):
        assert each.append([opened(), custom(3)], producer="q", first_seq=1).status_code == 200
    databases.run("DROP DATABASE {it} WITH (FORCE)")
    databases.run("CREATE DATABASE {it} TEMPLATE {copy}", copy=copy)
    _report_until_it_ends(first, job, after=2)


def test_an_idle_server_on_a_database_that_was_made_anew_is_not_ready_and_ends(
    start_server: ServerFactory, databases: _Databases
) -> None:
    server = start_server(database_url=databases.url)
    register(server)
    _drop_and_make_anew(databases)
    assert httpx.get(f"{server.url}/readyz", trust_env=False).status_code == 503
    assert server.process.wait() == _LOST


def test_a_database_that_was_renamed_and_is_back_costs_nothing(
    start_server: ServerFactory, databases: _Databases
) -> None:
    server = start_server(database_url=databases.url)
    job = register(server, lease_seconds=300)
    with reporting(job, server) as producers:
        wait_until(lambda: all(producer.sent > 50 for producer in producers), what="reports")
        with databases.left_alone():
            databases.run("ALTER DATABASE {it} RENAME TO {away}", away=databases.other_name)
            before = [producer.troubles for producer in producers]
            wait_until(
                lambda: all(p.troubles > b for p, b in zip(producers, before, strict=True)),
                what="everyone to be refused",
            )
            databases.run("ALTER DATABASE {away} RENAME TO {it}", away=databases.other_name)
    assert server.stop() == 0


def test_a_cluster_that_was_put_back_to_an_older_state_is_noticed(start_server: ServerFactory, tmp_path: Path) -> None:
    """As after a restored base backup, or a failover to a standby that had not received everything."""
    folder = Path("/tmp") / f"standpipe-older-{tmp_path.name}-{id(tmp_path)}"
    settings = {"listen_addresses": "", "max_connections": "50", "log_min_messages": "warning"}
    try:
        with own_cluster(settings, kept=folder / "data") as cluster:
            url = cluster.create()
            server = start_server(database_url=url)
            job = register(server)
            assert job.append([opened(), custom(1)], producer="p", first_seq=1).status_code == 200
            cluster.stop()
            shutil.copytree(folder / "data", folder / "older", copy_function=_copy_with_owner)
            cluster.start()
            wait_until(
                lambda: job.append([custom(2)], producer="p", first_seq=3).status_code == 200, what="the database"
            )
            cluster.stop()
            _swap(folder)
            cluster.start()
            _report_until_it_ends(server, job, after=3)
            server.restart()
            assert [event["seq"] for event in job_on(server, job).events()] == [1, 2]
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def job_on(server: Server, job: Job) -> Job:
    """The same invocation after the server was started again."""
    return Job(server, job.registered, server.client(token=job.registered["token"]))


def _copy_with_owner(source: str, target: str) -> None:
    shutil.copy2(source, target)
    status = Path(source).stat()
    shutil.chown(target, status.st_uid, status.st_gid)


def _swap(folder: Path) -> None:
    """The older state takes the place of the newer one, whose folder stays the same."""
    data, older = folder / "data", folder / "older"
    for entry in list(data.iterdir()):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    shutil.copytree(older, data, copy_function=_copy_with_owner, dirs_exist_ok=True)
    owner = data.stat()
    for entry in data.rglob("*"):
        if entry.is_dir():
            shutil.chown(entry, owner.st_uid, owner.st_gid)
            entry.chmod(0o700)


# A database that acknowledges too early


@pytest.fixture
def forgetful() -> Iterator[Cluster]:
    """Its default is to acknowledge before it has written anything, and it writes late."""
    settings = {
        "listen_addresses": "",
        "max_connections": "50",
        "log_min_messages": "warning",
        "wal_writer_delay": "10s",
        "wal_writer_flush_after": "1GB",
        "synchronous_commit": "off",
    }
    with own_cluster(settings) as made:
        yield made


def test_what_was_acknowledged_survives_a_crash_whatever_the_databases_default_is(
    start_server: ServerFactory, forgetful: Cluster
) -> None:
    url = forgetful.create()
    with psycopg.connect(url, autocommit=True) as connection:
        name = _name(url)
        connection.execute(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(name))
        connection.execute(sql.SQL("ALTER ROLE postgres IN DATABASE {} SET synchronous_commit = off").format(name))
    server = start_server(database_url=url)
    job = register(server, lease_seconds=300)
    with reporting(job, server) as producers:
        for _ in range(2):
            enough = [producer.sent + 200 for producer in producers]
            wait_until(
                lambda enough=enough: all(p.sent > e for p, e in zip(producers, enough, strict=True)), what="reports"
            )
            forgetful.stop(crash=True)
            forgetful.start()
    assert server.process.exit_code is None
    assert server.stop() == 0


def test_a_database_that_may_lose_what_it_has_is_warned_of_once(
    start_server: ServerFactory, forgetful: Cluster
) -> None:
    with own_cluster({"listen_addresses": "", "fsync": "off", "full_page_writes": "off"}) as careless:
        loud = start_server(database_url=careless.create())
        register(loud)
        assert loud.stop() == 0
    assert loud.output().count("fsync=off and full_page_writes=off") == 1
    calm = start_server(database_url=forgetful.create())
    assert calm.stop() == 0
    assert "WARNING" not in calm.output()

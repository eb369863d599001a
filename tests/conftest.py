"""Fixtures every test may use: databases, and real server processes on them."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import hypothesis
import pytest

from tests.support.fork_server import ForkServer
from tests.support.server import Server
from tests.support.sharing import Sharing, place_of

if TYPE_CHECKING:
    from xdist.remote import Producer

    from standpipe_orchestrator import BrokerClient
    from tests.support.postgres import Postgres

# Examples are the same in every run, and a busy machine fails none; HYPOTHESIS_PROFILE=explore looks for new ones.
hypothesis.settings.register_profile("standpipe", deadline=None, derandomize=True, max_examples=100)
# What was tried at length on one Python is tried again on the others.
hypothesis.settings.register_profile("brief", deadline=None, derandomize=True, max_examples=15)
hypothesis.settings.register_profile("explore", deadline=None, max_examples=2_000)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "standpipe"))

DATABASES = ("sqlite", "postgresql")
_failed = pytest.StashKey[bool]()


class ServerFactory(Protocol):
    """Starts a server; without a home it gets one of its own."""

    def __call__(
        self,
        *,
        database_url: str | None = None,
        home: Path | None = None,
        arguments: Sequence[str] = (),
        env: Mapping[str, str | None] | None = None,
        start: bool = True,
    ) -> Server: ...


@pytest.fixture(scope="session", autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Whatever a test forgets to place somewhere goes into a folder of this run, never into the user's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STANDPIPE_HOME", str(tmp_path_factory.mktemp("standpipe-home")))
        yield


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The session's PostgreSQL: `postgres.create()` makes a database and returns its URL."""
    # psycopg comes with the server, which the SDK's tests on Python 3.10 do without.
    from tests.support.postgres import running_postgres

    with running_postgres() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: Postgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database of the test's own."""
    url = postgres.create()
    yield url
    postgres.release(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a SQLite file of the test's own, which does not exist yet."""
    return f"sqlite:///{tmp_path / 'standpipe.db'}"


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database of the test's own; the test runs once on each kind."""
    url: str = request.getfixturevalue(f"{'postgres' if request.param == 'postgresql' else request.param}_url")
    return url


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer | None]:
    """What servers are forked from, so that not each of them imports everything anew. None where that is not known."""
    if sys.platform != "linux":
        yield None
        return
    made = ForkServer()
    yield made
    made.close()


@pytest.fixture
def start_server(
    tmp_path: Path, request: pytest.FixtureRequest, fork_server: ForkServer | None
) -> Iterator[ServerFactory]:
    """Starts as many servers as the test asks for; all end with it. A failed test shows what they wrote."""
    started: list[Server] = []
    if request.node.get_closest_marker("own_interpreter") is not None:
        fork_server = None
    with ExitStack() as stack:

        def start(
            *,
            database_url: str | None = None,
            home: Path | None = None,
            arguments: Sequence[str] = (),
            env: Mapping[str, str | None] | None = None,
            start: bool = True,
        ) -> Server:
            server = Server(
                home or tmp_path / f"home-{len(started) + 1}",
                database_url=database_url,
                arguments=arguments,
                env=env,
                fork_server=fork_server,
            )
            started.append(server)
            stack.push(server)
            return server.start() if start else server

        yield start
    if request.node.stash.get(_failed, False):
        for server in started:
            print(f"--- what the server of {server.home.name} wrote\n{server.output()}")


@pytest.fixture
def server(database_url: str, start_server: ServerFactory) -> Server:
    """A real server process on each kind of database."""
    return start_server(database_url=database_url)


@pytest.fixture
def sqlite_server(sqlite_url: str, start_server: ServerFactory) -> Server:
    """A real server process on SQLite."""
    return start_server(database_url=sqlite_url)


@pytest.fixture
def postgres_server(postgres_url: str, start_server: ServerFactory) -> Server:
    """A real server process on PostgreSQL."""
    return start_server(database_url=postgres_url)


@pytest.fixture(scope="session")
def shared_sqlite_server(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    """One server process on SQLite for the whole session, for tests that keep to invocations of their own."""
    home = tmp_path_factory.mktemp("shared-server") / "home"
    with Server(home, database_url=f"sqlite:///{home / 'standpipe.db'}", fork_server=fork_server) as server:
        yield server


@pytest.fixture(scope="session")
def shared_postgres_server(
    postgres: Postgres, tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None
) -> Iterator[Server]:
    """The same on PostgreSQL."""
    url = postgres.create()
    with Server(tmp_path_factory.mktemp("shared-server") / "home", database_url=url, fork_server=fork_server) as server:
        yield server
    postgres.release(url)


@pytest.fixture(params=DATABASES)
def shared_server(request: pytest.FixtureRequest) -> Server:
    """The same on each kind of database; the test runs once on each."""
    kind = "postgres" if request.param == "postgresql" else request.param
    server: Server = request.getfixturevalue(f"shared_{kind}_server")
    return server


@pytest.fixture
def client(broker: Server) -> Iterator[BrokerClient]:
    """The orchestrator's client of a `broker`, a fixture of the tests' own."""
    # The SDK's tests on Python 3.10 do without the orchestrator.
    from standpipe_orchestrator import BrokerClient

    with BrokerClient(broker.url, api_key=broker.api_key) as made:
        yield made


@pytest.fixture
def anyio_backend() -> str:
    """Coroutine tests run on asyncio, which is what the server runs on."""
    return "asyncio"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Sharing:
    """Where several processes share the work, what belongs together stays together."""
    return Sharing(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The longest first, in each of the processes that share the work."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: place_of(item.nodeid))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report

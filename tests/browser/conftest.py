"""A browser, a server full of awkward invocations, and a person who is signed in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.support.browser import Visit, chromium, running_browser, visiting
from tests.support.fork_server import ForkServer
from tests.support.processes import REPOSITORY
from tests.support.server import Server
from tests.support.story import whole_story
from tests.support.wire import Job

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from tests.support.postgres import Postgres


# Not for the session: Playwright keeps an event loop running while it is open, and other tests have loops of their own.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """The machine's Chromium. Without one these tests say so and are skipped, unless STANDPIPE_NEEDS_BROWSER is set."""
    pytest.importorskip("playwright.sync_api", reason="The package playwright is not installed.")
    program = chromium()
    if program is None:
        assert not os.environ.get("STANDPIPE_NEEDS_BROWSER"), (
            "There is no Chromium, and STANDPIPE_NEEDS_BROWSER is set."
        )
        pytest.skip("There is no Chromium here (Debian: apt install chromium); the pages were not tried in a browser.")
    with running_browser(program) as started:
        yield started


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, fork_server: ForkServer | None) -> Iterator[Server]:
    """A server with the whole story in it, for tests that change none of it."""
    built = REPOSITORY / "server" / "src" / "standpipe_server" / "ui" / "built" / "manifest.json"
    assert built.exists(), "The pages are not built: run scripts/pages."
    with Server(tmp_path_factory.mktemp("site") / "home", fork_server=fork_server) as server:
        yield server


@pytest.fixture(scope="session")
def story(site: Server) -> dict[str, Job]:
    return whole_story(site)


@pytest.fixture(scope="session")
def postgres_site(
    tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, fork_server: ForkServer | None
) -> Iterator[Server]:
    """The same on PostgreSQL."""
    url = postgres.create()
    with Server(tmp_path_factory.mktemp("postgres-site") / "home", database_url=url, fork_server=fork_server) as server:
        yield server
    postgres.release(url)


@pytest.fixture(scope="session")
def postgres_story(postgres_site: Server) -> dict[str, Job]:
    return whole_story(postgres_site)


@pytest.fixture
def visit(browser: Browser, site: Server) -> Iterator[Visit]:
    """A signed-in person on a wide light screen; at the end nothing may have gone wrong in the browser."""
    with visiting(browser, site) as person:
        yield person
        person.no_faults()

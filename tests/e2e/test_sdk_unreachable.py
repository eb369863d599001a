"""A job that does not reach its broker says so within seconds: where it looked, why that failed, and what to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from standpipe.delivery.warnings import SECONDS, remedy
from tests.support.processes import PYTHON, Process, child_environment
from tests.support.server import Server
from tests.support.wire import register

# It waits for its context, as most jobs do at their beginning; the log is that of a program that configures none.
WAITS = """
from standpipe import open_pipes
with open_pipes() as context:
    context.report_custom_message(1)
    try:
        context.extras
    except Exception as error:
        print(type(error).__name__, flush=True)
print("went on", flush=True)
"""


@contextmanager
def deaf() -> Iterator[str]:
    """A port at which connections come about, and nothing is ever answered."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextmanager
def full() -> Iterator[str]:
    """A port at which connections never come about, as behind a firewall that drops what it does not like."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        waiting = [socket.socket() for _ in range(8)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(listening.getsockname())
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for one in waiting:
                one.close()


@contextmanager
def closed() -> Iterator[str]:
    """A port at which nothing listens."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"


@contextmanager
def unknown() -> Iterator[str]:
    yield "http://broker.invalid:8787"


CASES = {
    "closed": (closed, "refused", "Nothing listens there"),
    "unknown": (unknown, "broker.invalid", "does not know that host"),
    "deaf": (deaf, "has not answered", "No answer comes from there"),
    "full": (full, "has not answered", "No answer comes from there"),
}


@pytest.mark.parametrize("case", CASES)
def test_it_says_address_cause_and_remedy_while_it_still_waits(tmp_path: Path, case: str) -> None:
    make, cause, todo = CASES[case]
    with make() as url:
        variables = {"STANDPIPE_URL": url, "STANDPIPE_INVOCATION": "inv_1", "STANDPIPE_TOKEN": "spt_sesame"}
        limits = {"STANDPIPE_OPEN_TIMEOUT": "9", "STANDPIPE_CLOSE_TIMEOUT": "1"}
        env = child_environment({**variables, **limits}, home=tmp_path / "home")
        with Process([PYTHON, "-c", WAITS], log=tmp_path / "log", env=env) as job:
            told = job.wait_for_output("tried again")
            assert "PipesServerUnreachable" not in told
            assert job.wait(timeout=60) == 0
            told = job.output()
    (line,) = [line for line in told.splitlines() if "tried again" in line] or [""]
    assert url in line
    assert cause in line
    assert todo in line
    assert "went on" in told
    assert "sesame" not in told


def test_it_is_sooner_than_five_seconds_and_than_any_connection_takes_to_fail() -> None:
    assert SECONDS < 4


@pytest.mark.parametrize(
    ("reason", "todo"),
    [
        ("ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "STANDPIPE_CA_FILE"),
        ("ConnectError: [Errno 113] No route to host", "firewall"),
        ("ConnectTimeout: timed out", "firewall"),
        ("ProxyError: 407 Proxy Authentication Required", "NO_PROXY"),
        ("HTTP 502 from something that is not the Standpipe server", "login page"),
        ("the token in /run/token is still the one that the server refuses", "STANDPIPE_TOKEN_FILE"),
        ("OSError", "STANDPIPE_URL"),
    ],
)
def test_the_remedy_goes_with_the_cause(reason: str, todo: str) -> None:
    assert todo in remedy(reason)


def test_a_server_that_answers_is_not_warned_of(sqlite_server: Server, tmp_path: Path) -> None:
    job = register(sqlite_server)
    env = child_environment(dict(job.registered["env"]), home=tmp_path / "home")
    with Process([PYTHON, "-c", WAITS], log=tmp_path / "log", env=env) as running:
        assert running.wait(timeout=60) == 0
        assert running.output() == "went on\n"

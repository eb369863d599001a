"""`standpipe show` of an invocation that runs and of one that has ended: what was delivered, and by whom."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.support.processes import child_environment, run
from tests.support.server import Server
from tests.support.wire import closed, custom, materialization, opened, register

STANDPIPE = Path(sys.executable).parent / "standpipe"


def test_a_running_invocation_shows_what_is_missing_and_an_ended_one_its_receipt(sqlite_server: Server) -> None:
    def shown() -> str:
        return run([STANDPIPE, "show", job.id], env=child_environment(home=sqlite_server.home)).stdout

    job = register(sqlite_server, expected={"asset_keys": ["a", "b"]})
    hello = {"method": "opened", "params": {"extras": {"rank": 1, "host": "n7", "pid": 41}}}
    job.append([hello, materialization("a")], producer="p", first_seq=1)
    running = shown()
    assert "1 of 2 reports; missing: b" in running
    assert "p: rank 1, host n7, pid 41, open, 2 messages stored, last word " in running
    job.append([materialization("b"), closed()], producer="p", first_seq=3)
    job.append([opened(), custom(1)], producer="q", first_seq=1)
    job.finish()
    ended = shown()
    assert "sent 6, stored 6, producer q never closed, silent since " in ended
    assert "Producer q opened and never closed, silent since " in ended


def test_a_refused_request_is_shown_where_it_came_and_in_the_verdict(sqlite_server: Server) -> None:
    job = register(sqlite_server)
    job.append(opened())
    job.append('{"method": "log", "params": {"message": "he said "hi""}}')
    job.append(closed())
    job.finish(exit_code=0)
    shown = run([STANDPIPE, "show", job.id], env=child_environment(home=sqlite_server.home)).stdout
    assert "1 request with messages was refused, and nothing of that is stored. The first: malformed: " in shown
    lines = shown.splitlines()
    (at,) = (
        number for number, line in enumerate(lines) if "a request was refused: malformed (400), 56 bytes: " in line
    )
    assert 'he said "hi"' in lines[at]
    assert "opened" in lines[at - 1]
    assert "closed" in lines[at + 1]

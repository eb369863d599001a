"""Acknowledged means stored, exactly once and in order, whatever is killed: a real job, a real server, SIGKILL."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from tests.support.processes import child_environment
from tests.support.server import Server
from tests.support.waiting import wait_until

_EACH = 50
_JOB = f"""
import sys
from standpipe import open_pipes
with open_pipes() as context:
    for number in range(int(sys.argv[1])):
        if number % {_EACH} == 0:
            sys.stdin.readline()
        context.report_custom_message({{"number": number, "text": "x" * 200}})
"""


def _events(server: Server, invocation: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        page = server.http.get(f"/invocations/{invocation}/events", params={"after": len(found), "limit": 1000}).json()
        found += page["items"]
        if not page["items"]:
            return found


def test_a_server_killed_again_and_again_loses_nothing_and_stores_nothing_twice(server: Server) -> None:
    registered = server.http.post("/invocations", json={"context": {}, "launcher": "test"}).json()
    invocation = registered["invocation"]["id"]
    total = 2_000
    environment = child_environment({**registered["env"], "STANDPIPE_CLOSE_TIMEOUT": "60"}, home=server.home)
    command = [sys.executable, "-c", _JOB, str(total)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True) as job:
        assert job.stdin is not None
        for step in range(total // _EACH):
            print(file=job.stdin, flush=True)
            if step in (5, 15, 25):
                # In the middle of what is being sent: some of it may be stored and not acknowledged.
                wait_until(
                    lambda: server.http.get(f"/invocations/{invocation}").json()["last_position"], what="an event"
                )
                server.kill9()
                server.start()
        _, said = job.communicate(timeout=90)
    assert job.returncode == 0, said
    ended = server.http.post(f"/invocations/{invocation}/finish", json={"exit_code": 0}).json()
    assert (ended["verdict"], ended["reasons"]) == ("succeeded", [])
    events = _events(server, invocation)
    assert [event["position"] for event in events] == list(range(1, total + 3))
    assert [event["seq"] for event in events] == list(range(1, total + 3))
    numbers = [event["params"]["payload"]["number"] for event in events if event["method"] == "report_custom_message"]
    assert numbers == list(range(total))

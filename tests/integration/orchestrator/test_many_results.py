"""Many results through a real broker: those that are not asked for take no memory, and those that are, are whole."""

from __future__ import annotations

import json
import sys

import pytest

from tests.support.processes import run_python
from tests.support.server import Server

MANY = 60_000
MOST_MB = 18
"""By how much the orchestrator may grow; as Python objects all of them take twice as much."""

REPORTS = """
import json, os, sys, urllib.request
def append(messages):
    url = os.environ["STANDPIPE_URL"] + "/api/v1/invocations/" + os.environ["STANDPIPE_INVOCATION"] + "/events"
    headers = {"Authorization": "Bearer " + os.environ["STANDPIPE_TOKEN"]}
    request = urllib.request.Request(url, json.dumps(messages).encode(), headers)
    urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).read()
def message(number):
    if sys.argv[1] == "checks":
        params = {"asset_key": "a", "check_name": f"c{number}", "passed": True}
        return {"method": "report_asset_check", "params": params}
    return {"method": "report_custom_message", "params": {"payload": {"number": number, "tags": ["a", "b", "c"]}}}
append([{"method": "opened", "params": {}}])
for start in range(0, int(sys.argv[2]), 10_000):
    append([message(number) for number in range(start, start + 10_000)])
append([{"method": "closed", "params": {}}])
"""

ORCHESTRATES = """
import json, sys
from standpipe_orchestrator import ContextData, PipesSubprocessClient

_, reports, what, many = sys.argv

def memory():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

context = ContextData(asset_keys=("a",), run_id="r")
PipesSubprocessClient().run(context=context, command=[sys.executable, "-c", reports, what, "10000"])
before = memory()
completed = PipesSubprocessClient().run(context=context, command=[sys.executable, "-c", reports, what, many])
if what == "checks":
    numbers = sum(int(result.check_name[1:]) for result in completed.iterate_results() if hasattr(result, "passed"))
else:
    numbers = sum(message["number"] for message in completed.iterate_custom_messages())
grown = memory() - before
listed = len(completed.get_results()) - 1 if what == "checks" else len(completed.get_custom_messages())
print(json.dumps([numbers, listed, grown]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc says how much memory a process has")
@pytest.mark.parametrize("what", ["checks", "messages"])
def test_results_that_are_not_asked_for_take_no_memory(broker: Server, what: str) -> None:
    ended = run_python("-c", ORCHESTRATES, REPORTS, what, str(MANY), env=broker.orchestrator_environment(), timeout=300)
    numbers, listed, grown = json.loads(ended.stdout.splitlines()[-1])
    assert (numbers, listed) == (sum(range(MANY)), MANY)
    assert grown < MOST_MB

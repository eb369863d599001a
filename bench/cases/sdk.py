"""The SDK's cost to the job that uses it: its start, one report, a loop of reports, and a whole launch."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from pathlib import Path

from bench.bare import raw_sqlite
from bench.load.events import custom_message, encoded
from bench.load.service import Service, running_service
from bench.report import Row, bracketed
from standpipe_orchestrator import PipesSubprocessClient
from standpipe_orchestrator.client.broker_client import BrokerClient

_REPORTS = 20_000
_ROUNDS = 12

# Reads messages from a file, reports them, and prints the seconds until all were acknowledged.
_LOOP = """
import json, sys, time
from standpipe import open_pipes
payloads = [json.loads(line)["params"]["payload"] for line in open(sys.argv[1], encoding="utf-8")]
with open_pipes() as context:
    # Waits for the connection: the start is measured elsewhere.
    context.report_custom_message(payloads[0])
    context.flush(30)
    start = time.perf_counter()
    for payload in payloads:
        context.report_custom_message(payload)
    assert context.flush(120)
    print(time.perf_counter() - start)
"""
# One call's median, and json.dumps of the same messages before and after.
_CALL = """
import json, statistics, sys, time
from standpipe import open_pipes
messages = [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")][:2000]

def median(function, arguments):
    times = []
    for argument in arguments:
        start = time.perf_counter_ns()
        function(argument)
        times.append(time.perf_counter_ns() - start)
    return statistics.median(times) / 1000

with open_pipes() as context:
    context.report_custom_message(0)
    context.flush(30)
    before = median(json.dumps, messages)
    ours = median(context.report_custom_message, [message["params"]["payload"] for message in messages])
    context.flush(30)
    after = median(json.dumps, messages)
print(ours, before, after)
"""
_OPEN = """
import time
start = time.perf_counter()
import standpipe
context = standpipe.open_pipes()
print(time.perf_counter() - start)
context.close()
"""
_UPSTREAM = """
import time
start = time.perf_counter()
import dagster_pipes
print(time.perf_counter() - start)
"""
_TRIVIAL = """
from standpipe import open_pipes
with open_pipes() as context:
    context.report_asset_materialization(asset_key="orders", metadata={"rows": 3})
"""
_GET = """
import sys
import httpx
httpx.get(sys.argv[1])
"""


def run() -> Generator[Row]:
    events = encoded(lambda _: custom_message(), _REPORTS)
    with running_service() as service, tempfile.TemporaryDirectory(prefix="standpipe-bench-") as folder:
        given = Path(folder) / "messages.ndjson"
        given.write_bytes(b"\n".join(events))

        def reported_per_second(spool: str = "later") -> float:
            variables = {"STANDPIPE_SPOOL": spool, "STANDPIPE_HOME": f"{folder}/home"}
            return len(events) / float(_python(_LOOP, str(given), service=service, **variables))

        value, bounds = bracketed(lambda: raw_sqlite.rows_per_second(events), reported_per_second)
        yield Row(
            what="1 KB custom messages until all are acknowledged",
            value=value,
            unit="events/s",
            bound="raw executemany",
            bounds=bounds,
            aim=0.25,
        )
        value, bounds = bracketed(reported_per_second, lambda: reported_per_second("first"))
        yield Row(
            what="the same, each on disk before its report returns",
            value=value,
            unit="events/s",
            bound="without",
            bounds=bounds,
            aim=0.8,
        )
        value, *both = map(float, _python(_CALL, str(given), service=service).split())
        yield _time("a report call, median", value, (both[0], both[1]), unit="us", bound="json.dumps", aim=2.0)
        value, bounds = _alternating(
            lambda: float(_python(_UPSTREAM)) * 1000, lambda: float(_python(_OPEN, service=service)) * 1000
        )
        yield _time(
            "import standpipe and open_pipes()", value, bounds, unit="ms", bound="import dagster_pipes", aim=1.0
        )
        value, bounds = _whole_runs(service, Path(folder))
        yield _time(
            "a whole run() of a trivial script", value, bounds, unit="ms", bound="import httpx, one GET", aim=1.4
        )


def _time(what: str, value: float, bounds: tuple[float, float], *, unit: str, bound: str, aim: float) -> Row:
    return Row(what=what, value=value, unit=unit, bound=bound, bounds=bounds, aim=aim, lower_is_better=True)


def _whole_runs(service: Service, folder: Path) -> tuple[float, tuple[float, float]]:
    trivial, get = folder / "trivial.py", folder / "get.py"
    trivial.write_text(_TRIVIAL, encoding="utf-8")
    get.write_text(_GET, encoding="utf-8")
    with BrokerClient(service.url, api_key=service.api_key) as client:
        launcher = PipesSubprocessClient(client=client)

        def launched() -> None:
            completed = launcher.run(context=None, command=[sys.executable, str(trivial)])
            assert len(completed.get_results()) == 1

        def asked() -> None:
            subprocess.run([sys.executable, str(get), f"{service.url}/healthz"], check=True)

        return _alternating(lambda: _milliseconds(asked), lambda: _milliseconds(launched))


def _alternating(bound: Callable[[], float], measure: Callable[[], float]) -> tuple[float, tuple[float, float]]:
    """Medians over rounds of bound, ours, bound: for what is short enough to be disturbed by whatever else runs."""
    bound()
    measure()
    rounds = [(bound(), measure(), bound()) for _ in range(_ROUNDS)]
    before, value, after = (statistics.median(times) for times in zip(*rounds, strict=True))
    return value, (before, after)


def _milliseconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return (time.perf_counter() - start) * 1000


def _python(code: str, *arguments: str, service: Service | None = None, **variables: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("STANDPIPE_")} | variables
    if service is not None:
        environment |= service.register().to_environment()
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment).stdout

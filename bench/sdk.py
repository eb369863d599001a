"""The SDK's cost to the job that uses it: its import, one report, and a loop of reports until all are acknowledged."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time

from bench.report import Row
from bench.service import Service, running_service

_REPORTS = 5_000

_LOOP = f"""
import time
from standpipe import open_pipes
with open_pipes() as context:
    context.extras
    start = time.perf_counter()
    for number in range({_REPORTS}):
        context.report_custom_message({{"step": number, "loss": 0.25, "note": "x" * 100}})
    reported = time.perf_counter() - start
print(reported, time.perf_counter() - start)
"""
_POST = """
import httpx, time
client = httpx.Client()
url = "{url}/healthz"
client.get(url)
start = time.process_time()
for _ in range(300):
    client.post(url, content=b"x" * 190)
print((time.process_time() - start) / 300)
"""


def run() -> list[Row]:
    passing, ours = _start("pass"), _start("import standpipe")
    upstream = _start("import httpx")
    with running_service() as service:
        post = float(_python(_POST.format(url=service.url)))
        reported, acknowledged = map(float, _python(_LOOP, env=_environment(service)).split())
    one = reported / _REPORTS
    return [
        Row(
            "import standpipe",
            (ours - passing) * 1000,
            "ms",
            (ours - passing) / (upstream - passing),
            "import httpx",
            None,
        ),
        Row(
            "one report, in the caller's thread",
            one * 1e6,
            "us",
            one / post,
            "one httpx post (CPU)",
            0.1,
            lower_is_better=True,
        ),
        Row("5,000 reports until acknowledged", _REPORTS / acknowledged, "events/s", None, "", None),
        Row(
            "5,000 reports until acknowledged",
            acknowledged,
            "s",
            acknowledged / (post * _REPORTS),
            "5,000 httpx posts",
            0.05,
            lower_is_better=True,
        ),
    ]


def _start(code: str) -> float:
    def once() -> float:
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True)
        return time.perf_counter() - start

    once()
    return statistics.median(once() for _ in range(9))


def _python(code: str, *, env: dict[str, str] | None = None) -> str:
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=env)
    return result.stdout


def _environment(service: Service) -> dict[str, str]:
    invocation, token = service.register()
    ours = {"STANDPIPE_URL": service.url, "STANDPIPE_INVOCATION": invocation, "STANDPIPE_TOKEN": token}
    return {**os.environ, **ours}

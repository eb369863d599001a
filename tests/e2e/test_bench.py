"""The benchmarks start what they measure: their figures are judged by people, but they have to run."""

from __future__ import annotations

import httpx
import pytest

from bench.load.service import running_bare, running_service


def test_the_measured_server_takes_a_benchmarks_append() -> None:
    with running_service() as service:
        bootstrap = service.register()
        headers = {"Authorization": f"Bearer {service.api_key}"}
        found = httpx.get(f"{service.url}/api/v1/invocations/{bootstrap.invocation}", headers=headers, trust_env=False)
    assert found.json()["last_position"] == 1


@pytest.mark.parametrize("module", ["append", "sse"])
def test_a_yardstick_answers(module: str) -> None:
    with running_bare(module) as url:
        assert httpx.get(f"{url}/nowhere", trust_env=False).status_code < 500

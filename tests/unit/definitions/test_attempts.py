"""A platform may start external work again: what the newer attempt reports takes the place of the older one's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe_orchestrator.definitions import AssetCheckSpec, RunEvent, asset, materialize
from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "home"))


def test_a_result_of_a_newer_attempt_takes_the_place_of_the_older_ones() -> None:
    told: list[RunEvent] = []

    @asset(check_specs=[AssetCheckSpec("fresh", asset="orders")])
    def orders() -> Iterator[MaterializeResult | AssetCheckResult]:
        yield MaterializeResult(metadata={"attempt": 1})
        yield AssetCheckResult(passed=False)
        yield MaterializeResult(metadata={"attempt": 2}, replaces=True)
        yield AssetCheckResult(passed=True, replaces=True)

    result = materialize([orders], on_event=told.append)

    assert result.success
    assert [(made.metadata["attempt"].value) for made in result.materializations] == [2]
    assert [check.passed for check in result.checks] == [True]
    assert sum(type(event).__name__ == "Recorded" for event in told) == 4

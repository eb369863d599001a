"""Assets that a step may leave out: what depends on them does not run, and nothing is red for it."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console

from standpipe_orchestrator.cli.launching.step_progress import Progress
from standpipe_orchestrator.definitions import (
    AssetCheckSpec,
    AssetsDefinition,
    AssetSpec,
    asset,
    asset_check,
    materialize,
    multi_asset,
)
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "home"))


def makes(*made: str, **specs: bool) -> AssetsDefinition:
    """A step whose assets are skippable or not, and which makes these of them."""

    @multi_asset(specs=[AssetSpec(name, skippable=skippable) for name, skippable in specs.items()])
    def step() -> Iterator[MaterializeResult]:
        yield from (MaterializeResult(asset_key=name) for name in made)

    return step


def depends(name: str, *deps: str) -> AssetsDefinition:
    def function() -> None: ...

    return asset(name=name, deps=list(deps))(function)


def test_what_depends_on_an_asset_that_was_left_out_is_skipped_and_the_run_is_green() -> None:
    result = materialize([makes("a", a=False, b=True), depends("c", "a", "b"), depends("d", "c"), depends("e", "a")])
    assert result.success
    assert [(step.name, step.status, step.excused) for step in result.steps] == [
        ("step", "succeeded", False),
        ("c", "skipped", True),
        ("d", "skipped", True),
        ("e", "succeeded", False),
    ]
    assert result.outcome_for("c").reason == "`step` did not make 'b' this time"


def test_a_fault_upstream_counts_beside_an_asset_that_was_left_out() -> None:
    @asset
    def broken() -> None:
        raise RuntimeError("no disk")

    result = materialize(
        [makes("a", a=False, b=True), broken, depends("c", "b", "broken"), depends("d", "c")], raise_on_error=False
    )
    assert not result.success
    assert [(step.reason, step.excused) for step in result.steps[2:]] == [
        ("`broken` failed", False),
        ("`c` was skipped", False),
    ]


def test_a_blocking_check_that_failed_counts_beside_an_asset_that_was_left_out() -> None:
    @asset_check(asset="a", blocking=True)
    def fresh() -> AssetCheckResult:
        return AssetCheckResult(passed=False)

    result = materialize([makes("a", a=False, b=True), fresh, depends("c", "a", "b")], raise_on_error=False)
    assert not result.outcome_for("c").excused
    assert result.outcome_for("c").reason == "the blocking check fresh on a did not pass"


def test_the_checks_of_an_asset_that_was_left_out_are_not_missed_those_of_the_others_are() -> None:
    made: list[str] = []

    @multi_asset(
        specs=[AssetSpec("a", skippable=True), AssetSpec("b")],
        check_specs=[AssetCheckSpec("of_a", asset="a", blocking=True), AssetCheckSpec("of_b", asset="b")],
    )
    def both() -> Iterator[MaterializeResult | AssetCheckResult]:
        yield from (MaterializeResult(asset_key=name) for name in made)
        yield AssetCheckResult(passed=True, asset_key="b", check_name="of_b")

    @asset_check(asset="a")
    def by_itself() -> AssetCheckResult:
        raise AssertionError("there is nothing to check")

    made[:] = ["b"]
    result = materialize([both, by_itself, depends("c", "a")])
    assert result.success
    assert [step.status for step in result.steps] == ["succeeded", "skipped", "skipped"]

    made[:] = ["a", "b"]
    result = materialize([both], raise_on_error=False)
    assert str(result.steps[0].reason).endswith("expected outputs {'a__of_a'}.")


def test_an_asset_whose_output_is_not_required_may_yield_nothing() -> None:
    @asset(output_required=False)
    def perhaps() -> Iterator[MaterializeResult]:
        yield from ()

    result = materialize([perhaps, depends("after", "perhaps")])
    assert result.success
    assert result.materializations == ()


@pytest.mark.parametrize("hand_on", [tuple, list, iter])
def test_a_result_that_nobody_reported_makes_no_asset_that_may_be_left_out(
    hand_on: Callable[[list[MaterializeResult]], object],
) -> None:
    @multi_asset(specs=[AssetSpec("a"), AssetSpec("b", skippable=True)])
    def both() -> object:
        return hand_on([MaterializeResult(asset_key="a", implicit=True), MaterializeResult("b", implicit=True)])

    result = materialize([both, depends("after", "b")])
    assert result.success
    assert [made.asset_key for made in result.materializations] == [AssetKey("a")]
    assert result.outcome_for("after").excused


def test_the_last_line_is_green_and_counts_what_did_not_have_to_run() -> None:
    shown = io.StringIO()
    progress = Progress(title="x.py", console=Console(file=shown, width=120, color_system=None))
    materialize([makes("a", a=False, b=True), depends("c", "b")], on_event=progress)
    progress.summary()
    assert "All green: 1 of 2 steps (1 did not have to run)" in shown.getvalue()

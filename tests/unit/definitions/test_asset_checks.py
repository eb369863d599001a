"""Asset checks in a run: green, red, blocking, declared with their asset or by themselves."""

from __future__ import annotations

from pathlib import Path

import pytest

from standpipe_orchestrator.definitions import (
    AssetCheckExecutionContext,
    AssetCheckSpec,
    Definitions,
    asset,
    asset_check,
    materialize,
)
from standpipe_orchestrator.errors import InvalidResult
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.results import AssetCheckResult, AssetCheckSeverity, MaterializeResult


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(("severity", "green"), [(AssetCheckSeverity.ERROR, False), (AssetCheckSeverity.WARN, True)])
def test_a_failed_check_is_red_as_error_and_green_as_warning(severity: AssetCheckSeverity, green: bool) -> None:
    @asset
    def orders() -> None: ...

    @asset_check(asset=orders)
    def complete() -> AssetCheckResult:
        return AssetCheckResult(passed=False, severity=severity)

    result = materialize(Definitions(assets=[orders], asset_checks=[complete]))

    assert result.success is green
    assert [(check.asset_key, check.check_name) for check in result.checks] == [(AssetKey("orders"), "complete")]


def test_a_check_takes_the_value_of_its_asset_under_any_name_and_is_told_no_asset_keys() -> None:
    contexts: list[object] = []

    @asset
    def orders() -> list[int]:
        return [1]

    @asset_check(asset="orders")
    def not_empty(context: AssetCheckExecutionContext, rows: list[int]) -> AssetCheckResult:
        contexts.append(context.op_execution_context.to_context_data().asset_keys)
        return AssetCheckResult(passed=bool(rows))

    assert materialize([orders, not_empty]).success
    assert contexts == [()]


def test_a_check_of_another_asset_is_refused_with_the_targets() -> None:
    @asset_check(asset="my_asset")
    def check() -> AssetCheckResult:
        return AssetCheckResult(passed=True, asset_key="other", check_name="check")

    with pytest.raises(InvalidResult) as caught:
        materialize([check])
    assert "It targets asset 'other' which is not targeted by any of the checks" in str(caught.value)
    assert "['my_asset']" in str(caught.value)


def test_a_blocking_check_stands_between_its_asset_and_what_is_downstream() -> None:
    @asset
    def orders() -> None: ...

    @asset_check(asset=orders, blocking=True)
    def complete() -> AssetCheckResult:
        return AssetCheckResult(passed=False)

    @asset_check(asset=orders)
    def fresh() -> AssetCheckResult:
        return AssetCheckResult(passed=True)

    @asset(deps=[orders])
    def report() -> None: ...

    result = materialize([report, orders, complete, fresh], raise_on_error=False)

    assert result.outcome_for("orders__fresh").status == "succeeded"
    assert result.outcome_for("report").reason == "the blocking check complete on orders did not pass"


def test_checks_declared_with_an_asset_must_come_with_it() -> None:
    @asset(check_specs=[AssetCheckSpec("not_empty", asset="orders")])
    def orders():
        return MaterializeResult(check_results=[AssetCheckResult(passed=True)])

    assert materialize([orders]).checks[0].check_name == "not_empty"

    @asset(check_specs=[AssetCheckSpec("not_empty", asset="users")])
    def users() -> None: ...

    with pytest.raises(InvalidResult, match=r"expected outputs {'users__not_empty'}"):
        materialize([users])

"""What steps find in their context beside what external processes are told: their run, and a place for metadata."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from standpipe_orchestrator import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetExecutionContext,
    AssetKey,
    AssetSpec,
    IntMetadataValue,
    MaterializeResult,
    Output,
    TextMetadataValue,
    asset,
    asset_check,
    materialize,
    multi_asset,
)
from standpipe_orchestrator.errors import InvalidContextUse, InvalidMetadata


def test_the_run_is_known_by_its_id_and_its_job() -> None:
    seen: list[tuple[str, str]] = []

    @asset
    def orders(context: AssetExecutionContext) -> None:
        seen.append((context.run.run_id, context.run.job_name))

    @asset_check(asset=orders)
    def fine(context: AssetCheckExecutionContext) -> AssetCheckResult:
        seen.append((context.run.run_id, context.op_execution_context.run.job_name))
        return AssetCheckResult(passed=True)

    assert materialize([orders, fine], run_id="run-7").success
    assert seen == [("run-7", "materialize")] * 2


@pytest.mark.parametrize("returned", ["nothing", "value", "output", "result"])
def test_metadata_that_was_added_is_the_assets_and_wins_over_what_the_result_brings(returned: str) -> None:
    @asset
    def orders(context: AssetExecutionContext) -> object:
        context.add_output_metadata({"rows": 1, "first": "a"})
        context.add_output_metadata({"rows": 2})
        context.op_execution_context.add_asset_metadata({"last": "b"})
        if returned == "output":
            return Output(1, metadata={"rows": 0, "own": "c"})
        if returned == "result":
            return MaterializeResult(metadata={"rows": 0, "own": "c"})
        return 1 if returned == "value" else None

    (made,) = materialize([orders]).materializations
    shown = {name: value for name, value in made.metadata.items() if name not in ("own", "path")}
    assert shown == {"rows": IntMetadataValue(2), "first": TextMetadataValue("a"), "last": TextMetadataValue("b")}
    assert ("own" in made.metadata) is (returned in ("output", "result"))


def test_of_several_assets_one_is_named() -> None:
    @multi_asset(specs=[AssetSpec(["pre", "orders"]), AssetSpec("users")])
    def both(context: AssetExecutionContext) -> Iterator[MaterializeResult]:
        context.add_output_metadata({"n": 1}, output_name="pre__orders")
        context.add_asset_metadata({"n": 2}, asset_key="users")
        yield MaterializeResult(asset_key=["pre", "orders"])
        yield MaterializeResult(asset_key="users")

    made = {result.asset_key: result.metadata for result in materialize([both]).materializations}
    assert made == {
        AssetKey(["pre", "orders"]): {"n": IntMetadataValue(1)},
        AssetKey("users"): {"n": IntMetadataValue(2)},
    }


def _unnamed(context: AssetExecutionContext) -> None:
    context.add_output_metadata({"n": 1})


def _unknown(context: AssetExecutionContext) -> None:
    context.add_asset_metadata({"n": 1}, asset_key="others")


def _mapped(context: AssetExecutionContext) -> None:
    context.add_output_metadata({"n": 1}, output_name="users", mapping_key="m")


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (_unnamed, r"makes \['orders', 'users'\]\. Give it the `output_name` of one"),
        (_unknown, "Give it the `asset_key` of one"),
        (_mapped, "leave it out"),
    ],
)
def test_a_wrong_call_says_what_to_do(call: Callable[[AssetExecutionContext], None], sentence: str) -> None:
    @multi_asset(specs=[AssetSpec("orders"), AssetSpec("users")])
    def both(context: AssetExecutionContext) -> None:
        call(context)

    with pytest.raises(InvalidContextUse, match=sentence):
        materialize([both])


def test_after_an_asset_was_yielded_nothing_is_added_to_it() -> None:
    @multi_asset(specs=[AssetSpec("orders"), AssetSpec("users")])
    def both(context: AssetExecutionContext) -> Iterator[MaterializeResult]:
        yield MaterializeResult(asset_key="orders")
        context.add_asset_metadata({"n": 1}, asset_key="orders")

    with pytest.raises(InvalidContextUse, match="after the step `both` had yielded it"):
        materialize([both])


def test_a_value_without_a_type_is_refused_where_it_is_added() -> None:
    @asset
    def orders(context: AssetExecutionContext) -> None:
        context.add_output_metadata({"odd": object()})

    with pytest.raises(InvalidMetadata, match="metadata value for 'odd'"):
        materialize([orders])

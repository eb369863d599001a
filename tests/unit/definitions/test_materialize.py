"""What `materialize` does with assets, checks, values and failures: no external process takes part."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from standpipe_orchestrator.definitions import (
    AssetExecutionContext,
    AssetIn,
    AssetSpec,
    DailyPartitionsDefinition,
    Output,
    RunEvent,
    asset,
    file_relative_path,
    materialize,
    multi_asset,
)
from standpipe_orchestrator.definitions.io_managers import FilesystemIOManager, InputContext, IOManager, OutputContext
from standpipe_orchestrator.errors import InvalidDefinition, InvalidResult, ValueNotStored
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.metadata_values import IntMetadataValue, PathMetadataValue
from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "home"))


def test_an_asset_that_returns_nothing_is_materialized() -> None:
    @asset
    def my_asset(): ...

    result = materialize([my_asset])

    assert result.success
    assert [made.asset_key for made in result.materializations] == [AssetKey("my_asset")]
    assert result.asset_value("my_asset") is None


def test_a_value_goes_downstream_by_the_name_of_the_asset() -> None:
    @asset
    def numbers() -> list[int]:
        return [1, 2, 3]

    @asset
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    result = materialize([total, numbers])

    assert [step.name for step in result.steps] == ["numbers", "total"]
    assert result.output_for_node("total") == 6
    assert result.asset_value("numbers") == [1, 2, 3]


def test_an_output_brings_its_metadata_and_the_path_of_its_value() -> None:
    @asset
    def orders() -> Output[list[int]]:
        return Output([1, 2], metadata={"rows": 2})

    made = orders()
    assert isinstance(made, Output)
    assert made.metadata == {"rows": IntMetadataValue(2)}
    metadata = materialize([orders]).materializations[0].metadata

    assert metadata["rows"] == IntMetadataValue(2)
    assert isinstance(metadata["path"], PathMetadataValue)


def test_resources_and_context_are_passed_by_name() -> None:
    seen: list[object] = []

    @asset(key_prefix="raw", code_version="7")
    def orders(context: AssetExecutionContext, greeting: str, punctuation: str = "!") -> None:
        seen.extend([context.asset_key, context.run_id, greeting + punctuation, context.has_partition_key])
        seen.append(context.to_context_data({"a": 1}).to_wire())

    materialize([orders], resources={"greeting": "hello"}, run_id="run-1")

    assert seen[:4] == [AssetKey(["raw", "orders"]), "run-1", "hello!", False]
    assert seen[4] == {
        "asset_keys": ["raw/orders"],
        "code_version_by_asset_key": {"raw/orders": "7"},
        "provenance_by_asset_key": {"raw/orders": None},
        "partition_key": None,
        "partition_key_range": None,
        "partition_time_window": None,
        "run_id": "run-1",
        "job_name": "materialize",
        "retry_number": 0,
        "extras": {"a": 1},
    }


def test_a_partitioned_step_knows_its_slice_in_every_form() -> None:
    seen: list[object] = []

    @asset(partitions_def=DailyPartitionsDefinition(start_date="2024-01-01"))
    def orders(context: AssetExecutionContext) -> None:
        keys, window = context.partition_key_range, context.partition_time_window
        seen.extend([context.partition_key, keys.start, keys.end, window.start.isoformat(), window.end.isoformat()])

    assert materialize([orders], partition_key="2024-01-03").success
    assert seen == ["2024-01-03"] * 3 + ["2024-01-03T00:00:00+00:00", "2024-01-04T00:00:00+00:00"]


def test_a_step_whose_result_does_not_fit_is_left_at_once() -> None:
    left: list[str] = []

    @asset
    def orders():
        try:
            yield MaterializeResult(asset_key="orders")
            yield MaterializeResult(asset_key="orders")
            yield MaterializeResult(asset_key="orders")
        finally:
            left.append("orders")

    outcome = materialize([orders], raise_on_error=False).outcome_for("orders")

    # The error, with its frames, is kept; so leaving must not wait until nobody refers to the generator.
    assert isinstance(outcome.error, InvalidResult)
    assert left == ["orders"]


def test_a_path_beside_a_file_is_plain() -> None:
    assert file_relative_path("/code/a/defs.py", "../b/run.py") == str(Path("/code/b/run.py").absolute())


def test_ins_maps_a_parameter_to_another_key() -> None:
    @asset(key=["raw", "orders"])
    def first() -> int:
        return 4

    @asset(ins={"rows": AssetIn(key=["raw", "orders"]), "orders": AssetIn(key_prefix="raw")})
    def second(rows: int, orders: int) -> int:
        return rows + orders

    assert materialize([first, second]).asset_value("second") == 8


def test_a_multi_asset_hands_on_a_result_for_each_of_its_assets() -> None:
    @multi_asset(specs=[AssetSpec("orders"), AssetSpec("users")])
    def both():
        return MaterializeResult(asset_key="users"), Output(3, "orders", metadata={"n": 3})

    result = materialize([both])

    assert [made.asset_key for made in result.materializations] == [AssetKey("users"), AssetKey("orders")]
    assert result.output_for_node("both", "orders") == 3
    assert [len(step.materializations) for step in result.steps] == [2]


def test_a_generator_is_recorded_as_it_yields() -> None:
    told: list[RunEvent] = []
    seen_while_running: list[int] = []

    @multi_asset(specs=[AssetSpec("a"), AssetSpec("b")])
    def both() -> Iterator[MaterializeResult]:
        yield MaterializeResult(asset_key="a")
        seen_while_running.append(sum(type(event).__name__ == "Recorded" for event in told))
        yield MaterializeResult(asset_key="b")

    materialize([both], on_event=told.append)

    assert seen_while_running == [1]
    assert [type(event).__name__ for event in told] == [
        "RunStarted",
        "StepStarted",
        "Recorded",
        "Recorded",
        "StepEnded",
        "RunEnded",
    ]


def test_a_multi_asset_that_can_subset_is_told_what_is_selected() -> None:
    @multi_asset(specs=[AssetSpec("a"), AssetSpec("b")], can_subset=True)
    def both(context: AssetExecutionContext):
        return [MaterializeResult(asset_key=key) for key in context.selected_asset_keys]

    assert [made.asset_key for made in materialize([both], selection="b").materializations] == [AssetKey("b")]


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        ([MaterializeResult(asset_key="orders")], "did not yield or return expected outputs {'users'}"),
        ([MaterializeResult(asset_key="other")], "the asset key 'other', which it does not declare"),
        ([MaterializeResult()], "MaterializeResult without an asset_key; it makes 'orders', 'users'"),
        ([MaterializeResult(asset_key="orders")] * 2, "returned an output 'orders' multiple times"),
        ([AssetCheckResult(passed=True)], "Received unexpected AssetCheckResult"),
        ((), "did not yield or return expected outputs {'orders', 'users'}"),
        ("text", "returned or yielded 'text' (str); expected a MaterializeResult"),
    ],
)
def test_a_result_that_does_not_fit_the_declaration_fails_the_step_by_name(returned: object, sentence: str) -> None:
    @multi_asset(specs=[AssetSpec("orders"), AssetSpec("users")])
    def both():
        return returned

    with pytest.raises(InvalidResult) as caught:
        materialize([both])
    assert sentence in str(caught.value)


def test_reading_results_of_external_work_and_returning_none_of_them_fails_the_step() -> None:
    @asset
    def forgetful(context: AssetExecutionContext) -> None:
        context.set_requires_typed_event_stream(error_message="Did you forget to return the results?")

    with pytest.raises(InvalidResult, match=r"outputs {'forgetful'}\. Did you forget to return the results\?"):
        materialize([forgetful])


def test_returning_what_run_answers_is_refused_with_what_to_return_instead() -> None:
    class Answer:
        def get_materialize_result(self) -> MaterializeResult:
            raise AssertionError("not asked for")

    @asset
    def hasty() -> Answer:
        return Answer()

    with pytest.raises(InvalidResult, match="get_materialize_result"):
        materialize([hasty])


def test_what_needs_a_failed_step_is_skipped_and_says_so_and_the_rest_runs() -> None:
    @asset
    def broken() -> None:
        raise RuntimeError("no disk")

    @asset(deps=[broken])
    def after() -> None: ...

    @asset(deps=[after])
    def long_after() -> None: ...

    @asset
    def beside() -> None: ...

    result = materialize([broken, after, long_after, beside], raise_on_error=False)

    assert not result.success
    assert [(step.name, step.status, step.reason) for step in result.steps] == [
        ("broken", "failed", "no disk"),
        ("after", "skipped", "`broken` failed"),
        ("long_after", "skipped", "`after` was skipped"),
        ("beside", "succeeded", None),
    ]


def test_what_a_step_raises_is_raised_unless_told_otherwise() -> None:
    @asset
    def broken() -> None:
        raise RuntimeError("no disk")

    with pytest.raises(RuntimeError, match="no disk"):
        materialize([broken])


def test_leaving_by_sys_exit_is_a_failure_and_not_the_end_of_the_run() -> None:
    @asset
    def leaving() -> None:
        raise SystemExit(0)

    result = materialize([leaving], raise_on_error=False)

    assert not result.success
    assert "sys.exit(0)" in str(result.outcome_for("leaving").reason)


def test_an_asset_made_without_a_value_does_not_hand_on_that_of_an_earlier_run() -> None:
    hands_on = [True, False]

    @asset
    def orders():
        return Output(1) if hands_on.pop(0) else MaterializeResult()

    @asset
    def after(orders: int) -> int:
        return orders

    assert materialize([orders, after]).asset_value("after") == 1
    with pytest.raises(ValueNotStored, match="No value is stored of the asset 'orders'"):
        materialize([orders, after])


def test_an_upstream_value_of_an_earlier_run_serves_a_selection() -> None:
    runs: list[str] = []

    @asset
    def orders() -> int:
        runs.append("orders")
        return 5

    @asset
    def after(orders: int) -> int:
        return orders + 1

    materialize([orders, after], selection=[orders])
    assert materialize([orders, after], selection="after").asset_value("after") == 6
    assert runs == ["orders"]


def test_an_io_manager_of_ones_own_keeps_the_values() -> None:
    class Memory(IOManager):
        def __init__(self) -> None:
            self.values: dict[AssetKey, object] = {}

        def handle_output(self, context: OutputContext, obj: object) -> None:
            self.values[context.asset_key] = obj
            context.add_output_metadata({"where": "memory"})

        def load_input(self, context: InputContext) -> object:
            return self.values[context.asset_key]

    memory = Memory()
    value = object()

    @asset
    def anything() -> object:
        return value

    result = materialize([anything], resources={"io_manager": memory})

    assert result.asset_value("anything") is value
    assert result.materializations[0].metadata["where"].value == "memory"


def test_a_resource_called_io_manager_must_be_one() -> None:
    @asset
    def anything() -> None: ...

    with pytest.raises(InvalidDefinition, match="expected an IOManager"):
        materialize([anything], resources={"io_manager": {}})


def test_what_a_step_logs_goes_to_the_logger_of_runs(caplog: pytest.LogCaptureFixture) -> None:
    @asset
    def talkative(context: AssetExecutionContext) -> None:
        context.log.info("%d rows", 3)

    with caplog.at_level(logging.INFO, logger="standpipe_orchestrator.run"):
        materialize([talkative])

    assert [(record.name, record.getMessage()) for record in caplog.records] == [("talkative", "3 rows")]


def test_decorated_functions_can_be_called() -> None:
    @asset
    def doubled(number: int = 2) -> int:
        return number * 2

    assert doubled(4) == 8


def test_values_live_under_the_home_unless_a_folder_is_given(tmp_path: Path) -> None:
    @asset
    def orders() -> int:
        return 1

    result = materialize([orders], resources={"io_manager": FilesystemIOManager(tmp_path / "elsewhere")})

    assert str(result.materializations[0].metadata["path"].value).startswith(str(tmp_path / "elsewhere"))
    assert not (tmp_path / "home").exists()

"""What is said about definitions that do not fit, which assets a selection means, and in which order steps run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import pytest

from standpipe_orchestrator.definitions import (
    AssetCheckSpec,
    AssetIn,
    AssetSpec,
    DailyPartitionsDefinition,
    Definitions,
    MonthlyPartitionsDefinition,
    StaticPartitionsDefinition,
    asset,
    asset_check,
    multi_asset,
)
from standpipe_orchestrator.definitions.running.plan import Plan, plan_run
from standpipe_orchestrator.errors import InvalidDefinition, InvalidPartition, InvalidSelection
from standpipe_orchestrator.values.asset_key import AssetKey


@asset(group_name="raw")
def orders() -> None: ...


@asset(group_name="raw")
def users() -> None: ...


@asset(deps=[orders, users])
def joined() -> None: ...


@asset
def report(joined: object) -> None: ...


@asset(deps=[report])
def mail() -> None: ...


@asset_check(asset=orders)
def not_empty() -> None: ...


CHAIN = Definitions(assets=[mail, report, joined, users, orders], asset_checks=[not_empty])


def names(plan: Plan) -> list[str]:
    return [step.name for step in plan.steps]


def test_steps_run_after_what_they_need_and_checks_as_soon_as_they_can() -> None:
    assert names(plan_run(CHAIN.graph)) == ["users", "orders", "orders__not_empty", "joined", "report", "mail"]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        ("joined", ["joined"]),
        ("+joined", ["users", "orders", "orders__not_empty", "joined"]),
        ("joined+", ["joined", "report"]),
        ("joined++", ["joined", "report", "mail"]),
        ("+joined+", ["users", "orders", "orders__not_empty", "joined", "report"]),
        ("*report", ["users", "orders", "orders__not_empty", "joined", "report"]),
        ("users*", ["users", "joined", "report", "mail"]),
        ("group:raw", ["users", "orders", "orders__not_empty"]),
        ("users, mail", ["users", "mail"]),
        (["users", AssetKey("mail")], ["users", "mail"]),
        ([orders], ["orders", "orders__not_empty"]),
        (orders, ["orders", "orders__not_empty"]),
        ("*", ["users", "orders", "orders__not_empty", "joined", "report", "mail"]),
    ],
)
def test_a_selection_means_these_steps(selection: object, expected: list[str]) -> None:
    assert names(plan_run(CHAIN.graph, selection=selection)) == expected


@pytest.mark.parametrize(
    ("selection", "sentence"),
    [
        ("order", "There is no asset 'order'; did you mean 'orders'?"),
        ("group:cooked", "There is no group 'cooked'; there are: ['raw']"),
        ("", "holds no asset that a step makes"),
        ([], "holds no asset that a step makes"),
        (3, "Expected asset keys, assets or selection texts, got 3"),
    ],
)
def test_a_selection_that_means_nothing_is_refused_by_name(selection: object, sentence: str) -> None:
    with pytest.raises(InvalidSelection) as caught:
        plan_run(CHAIN.graph, selection=selection)
    assert sentence in str(caught.value)


def test_a_key_with_slashes_is_selected_by_its_escaped_text() -> None:
    @asset(key=["pre", "a/b"])
    def odd() -> None: ...

    assert names(plan_run(Definitions(assets=[odd, orders]).graph, selection=r"pre/a\/b")) == ["pre__a/b"]


def test_a_part_of_a_step_that_runs_whole_cannot_be_selected() -> None:
    @multi_asset(specs=[AssetSpec("a"), AssetSpec("b")])
    def both() -> None: ...

    with pytest.raises(InvalidSelection, match="these are not selected: b"):
        plan_run(Definitions(assets=[both]).graph, selection="a")


def test_an_asset_that_something_else_makes_can_be_depended_on_and_is_not_run() -> None:
    @asset(deps=["elsewhere"])
    def here() -> None: ...

    assert names(plan_run(Definitions(assets=[AssetSpec("elsewhere"), here]).graph)) == ["here"]


def cycle() -> Sequence[object]:
    @asset(deps=["b"])
    def a() -> None: ...

    @asset(deps=["a"])
    def b() -> None: ...

    return [a, b]


def the_same_key_twice() -> Sequence[object]:
    @asset(name="orders")
    def again() -> None: ...

    return [orders, again]


def unknown_parameter() -> Sequence[object]:
    @asset
    def a(ordres: object) -> None: ...

    return [a, orders]


def unknown_input() -> Sequence[object]:
    @asset(ins={"x": "order"})
    def a(x: object) -> None: ...

    return [a, orders]


def ambiguous_parameter() -> Sequence[object]:
    @asset
    def client() -> None: ...

    @asset
    def a(client: object) -> None: ...

    return [client, a]


def the_same_check_twice() -> Sequence[object]:
    @asset(check_specs=[AssetCheckSpec("fine", asset="a")])
    def a() -> None: ...

    @asset_check(asset="a")
    def fine() -> None: ...

    return [a, fine]


def own_value() -> Sequence[object]:
    @asset(ins={"before": "a"})
    def a(before: object) -> None: ...

    return [a]


def unlike_partitions() -> Sequence[object]:
    @asset(partitions_def=DailyPartitionsDefinition("2013-01-01"))
    def daily() -> None: ...

    @asset(partitions_def=MonthlyPartitionsDefinition("2013-01-01"))
    def monthly(daily: object) -> None: ...

    return [daily, monthly]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (cycle, "These steps wait for each other: a <- b <- a"),
        (the_same_key_twice, "The asset 'orders' is made twice: by `orders` and by `orders`"),
        (unknown_parameter, "is neither a resource (there are: `client`) nor an asset; did you mean `orders`?"),
        (unknown_input, "not among the definitions; did you mean 'orders'?"),
        (ambiguous_parameter, "names a resource and an asset"),
        (the_same_check_twice, "The check fine on a is declared twice: by `a` and by `a__fine`"),
        (own_value, "takes the value of 'a', which it makes"),
        (unlike_partitions, "have different partitions"),
        (lambda: ["orders"], "got 'orders'"),
    ],
)
def test_definitions_that_do_not_fit_are_refused_before_anything_runs(
    make: Callable[[], Sequence[object]], sentence: str
) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        Definitions(assets=make(), resources={"client": 1})  # type: ignore[arg-type]
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: asset(key="a", name="b")(lambda: None), "is given `key` and also `name`"),
        (lambda: multi_asset(specs=[])(lambda: None), "declares no assets"),
        (lambda: asset(check_specs=[AssetCheckSpec("c", asset="other")], name="a")(lambda: None), "does not make"),
        (lambda: asset(name="a")(lambda **everything: None), "give each of them a parameter of its own"),
        (lambda: asset(ins={"x": AssetIn()}, name="a")(lambda y: None), "which it has no parameter for"),
        (lambda: AssetSpec(3), "Expected an asset key"),  # type: ignore[arg-type]
        (lambda: AssetCheckSpec("", asset="a"), "needs a name"),
    ],
)
def test_a_declaration_that_cannot_be_is_refused_where_it_stands(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(InvalidDefinition) as caught:
        make()
    assert sentence in str(caught.value)


def test_an_async_function_is_refused() -> None:
    async def later() -> None: ...

    with pytest.raises(InvalidDefinition, match="async function"):
        asset(later)


def test_a_check_waits_for_what_it_needs_beside_its_asset() -> None:
    @asset_check(asset=orders, additional_deps=[joined])
    def complete() -> None: ...

    assert names(plan_run(Definitions(assets=[complete, orders, users, joined]).graph)) == [
        "orders",
        "users",
        "joined",
        "orders__complete",
    ]


def test_a_month_is_named_and_its_window_passed_on() -> None:
    @asset(partitions_def=MonthlyPartitionsDefinition("2013-01", "2014-01", fmt="%Y-%m"))
    def flights() -> None: ...

    plan = plan_run(Definitions(assets=[flights, orders]).graph, partition_key="2013-12")
    flights_step, orders_step = plan.steps

    assert flights_step.partition_key == "2013-12"
    window = flights_step.time_window
    assert window is not None
    assert (window.start, window.end) == (datetime(2013, 12, 1, tzinfo=UTC), datetime(2014, 1, 1, tzinfo=UTC))
    assert orders_step.partition_key is None


def test_a_check_runs_for_the_slice_of_its_asset() -> None:
    @asset(partitions_def=StaticPartitionsDefinition(["eu", "us"]))
    def sales() -> None: ...

    @asset_check(asset=sales)
    def positive() -> None: ...

    plan = plan_run(Definitions(assets=[sales], asset_checks=[positive]).graph, partition_key="us")
    assert [step.partition_key for step in plan.steps] == ["us", "us"]


@pytest.mark.parametrize(
    ("partition_key", "sentence"),
    [
        (None, "is partitioned: say which partition is to run (for instance '2013-01')"),
        ("2014-01", "There is no partition '2014-01'; expected a month from '2013-01' to '2013-12'"),
        ("2012-12", "There is no partition '2012-12'"),
        ("2013-1", "There is no partition '2013-1'"),
        ("x", "There is no partition 'x'"),
    ],
)
def test_a_missing_or_unknown_partition_is_refused(partition_key: str | None, sentence: str) -> None:
    @asset(partitions_def=MonthlyPartitionsDefinition("2013-01", "2014-01", fmt="%Y-%m"))
    def flights() -> None: ...

    with pytest.raises(InvalidPartition) as caught:
        plan_run(Definitions(assets=[flights]).graph, partition_key=partition_key)
    assert sentence in str(caught.value)


def test_a_partition_where_nothing_is_partitioned_is_refused() -> None:
    with pytest.raises(InvalidPartition, match="none of the selected assets is partitioned"):
        plan_run(CHAIN.graph, partition_key="2013-01")


def test_days_end_with_the_last_one_that_is_over() -> None:
    days = DailyPartitionsDefinition("2024-02-28")
    now = datetime(2024, 3, 2, 12, tzinfo=UTC)

    assert days.get_partition_keys(now) == ["2024-02-28", "2024-02-29", "2024-03-01"]
    with pytest.raises(InvalidPartition, match="from '2024-02-28' to '2024-03-01'"):
        days.require("2024-03-02", current_time=now)


def test_days_of_a_time_zone_change_length_with_the_clocks() -> None:
    window = DailyPartitionsDefinition("2024-03-30", timezone="Europe/Berlin").time_window("2024-03-31")

    assert window is not None
    assert window.start.isoformat() == "2024-03-31T00:00:00+01:00"
    assert window.end.isoformat() == "2024-04-01T00:00:00+02:00"


def test_a_start_within_a_month_means_the_next_one() -> None:
    months = MonthlyPartitionsDefinition("2024-01-15", "2024-04-01")
    assert months.get_partition_keys() == ["2024-02-01", "2024-03-01"]


@pytest.mark.parametrize(
    "make",
    [
        lambda: StaticPartitionsDefinition([]),
        lambda: StaticPartitionsDefinition(["a", "a"]),
        lambda: DailyPartitionsDefinition("2024-13-01"),
        lambda: DailyPartitionsDefinition("2024-02-01", "2024-01-01"),
        lambda: DailyPartitionsDefinition("2024-02", fmt="%Y-%m-%d"),
        lambda: MonthlyPartitionsDefinition("2024", fmt="%Y"),
    ],
)
def test_partitions_that_cannot_be_are_refused(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidDefinition):
        make()


def test_what_upstreams_decorators_say_about_an_asset_is_kept() -> None:
    @asset(tags={"layer": "raw"}, owners=["team:data"], kinds={"python"}, compute_kind="pandas")
    def told() -> None: ...

    (spec,) = told.specs
    assert (spec.tags, spec.owners, spec.kinds) == ({"layer": "raw"}, ("team:data",), {"python", "pandas"})

    @multi_asset(
        specs=[AssetSpec("a", tags={"t": "1"}, kinds={"sql"}), AssetSpec("b", group_name="own")], group_name="raw"
    )
    def both() -> None: ...

    assert [found.group_name for found in both.specs] == ["raw", "own"]
    assert (both.specs[0].tags, both.specs[0].kinds) == ({"t": "1"}, {"sql"})

    @asset_check(asset=told, metadata={"why": "because"})
    def fine() -> None: ...

    (check,) = fine.check_specs
    assert check.metadata == {"why": "because"}
    assert check.key == AssetCheckSpec("fine", asset=told, metadata={"why": "because"}).key
    assert Definitions(assets=None, asset_checks=None, resources=None).steps == ()

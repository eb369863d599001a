"""Keys that look alike: a hyphen and an underscore, parts and a dot. They are different assets all the way."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import pytest

from standpipe_orchestrator.definitions import (
    AssetCheckSpec,
    AssetIn,
    AssetsDefinition,
    AssetSpec,
    Definitions,
    Output,
    asset,
    asset_check,
    materialize,
    multi_asset,
)
from standpipe_orchestrator.definitions.io_managers import FilesystemIOManager, InputContext, OutputContext
from standpipe_orchestrator.errors import InvalidDefinition, InvalidResult
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult

ALIKE: Sequence[tuple[str, ...]] = (
    ("daily-orders",),
    ("daily_orders",),
    ("daily.orders",),
    ("a", "b"),
    ("a__b",),
    ("a/b",),
    ("a", "b-c"),
    ("a", "b.c"),
    ("a", "b", "c"),
    ("a__b_c",),
)
PAIRS = [
    (AssetKey(one), AssetKey(other))
    for one, other in combinations(ALIKE, 2)
    if AssetKey(one).to_python_identifier() == AssetKey(other).to_python_identifier()
]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_HOME", str(tmp_path / "home"))


def test_there_are_pairs_that_look_alike() -> None:
    assert len(PAIRS) == 7


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("made", [0, 1])
def test_one_of_two_that_look_alike_is_missed_by_its_own_name(pair: tuple[AssetKey, AssetKey], made: int) -> None:
    @multi_asset(specs=[AssetSpec(key) for key in pair])
    def both():
        yield MaterializeResult(asset_key=pair[made])

    result = materialize([both], raise_on_error=False)

    assert not result.success
    assert f"expected outputs {{{pair[1 - made].to_escaped_user_string()!r}}}" in str(result.steps[0].reason)


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_two_that_look_alike_are_made_together_each_with_its_value(pair: tuple[AssetKey, AssetKey]) -> None:
    one, other = pair

    @multi_asset(specs=[AssetSpec(key) for key in pair])
    def both():
        return [MaterializeResult(asset_key=other, value="other"), MaterializeResult(asset_key=one, value="one")]

    @asset(ins={"first": AssetIn(one), "second": AssetIn(other)})
    def after(first: str, second: str) -> list[str]:
        return [first, second]

    result = materialize([both, after])

    assert result.success
    assert result.asset_value("after") == ["one", "other"]


@pytest.mark.parametrize("pair", PAIRS, ids=str)
def test_two_that_look_alike_may_be_steps_of_their_own_named_by_their_keys(pair: tuple[AssetKey, AssetKey]) -> None:
    def step(key: AssetKey) -> AssetsDefinition:
        return asset(key=key)(lambda: f"the value of {key}")

    steps = [step(key) for key in pair]
    result = materialize(steps)
    assert [step.name for step in result.steps] == [key.to_escaped_user_string() for key in pair]
    for key in pair:
        assert result.asset_value(key) == f"the value of {key}"
        assert result.output_for_node(key.to_escaped_user_string()) == f"the value of {key}"
        assert materialize(steps, selection=[key]).materializations[0].asset_key == key


@pytest.mark.parametrize("pair", PAIRS, ids=str)
@pytest.mark.parametrize("selected", [None, 0, 1])
def test_an_output_name_that_fits_two_fails_the_step_and_says_what_to_write(
    pair: tuple[AssetKey, AssetKey], selected: int | None
) -> None:
    @multi_asset(specs=[AssetSpec(key) for key in pair], can_subset=True)
    def both(context):  # type: ignore[no-untyped-def]
        yield Output(1, output_name=pair[0].to_python_identifier())

    result = materialize([both], selection=None if selected is None else [pair[selected]], raise_on_error=False)

    assert not result.success
    reason = str(result.steps[0].reason)
    assert "asset_key=" in reason
    for key in pair:
        assert repr(key.to_escaped_user_string()) in reason


def test_an_output_name_that_is_the_text_of_one_key_means_that_one() -> None:
    @multi_asset(specs=[AssetSpec("daily-orders"), AssetSpec("daily.orders"), AssetSpec(["raw", "daily.orders"])])
    def several():
        yield Output(1, output_name="daily-orders")
        yield Output(2, output_name="daily.orders")
        yield Output(3, output_name="raw__daily_orders")

    result = materialize([several])
    assert [result.asset_value(key) for key in ("daily-orders", "daily.orders", ["raw", "daily.orders"])] == [1, 2, 3]
    assert result.output_for_node("several", "daily.orders") == 2
    assert result.output_for_node("several", "raw__daily_orders") == 3
    with pytest.raises(KeyError, match=r"may be 'daily-orders' and 'daily.orders'; `asset_value\(asset_key=…\)`"):
        result.output_for_node("several", "daily_orders")


def test_checks_that_look_alike_are_missed_and_run_each_by_itself() -> None:
    @asset(check_specs=[AssetCheckSpec("no-nulls", asset="orders"), AssetCheckSpec("no_nulls", asset="orders")])
    def orders():
        yield MaterializeResult(check_results=[AssetCheckResult(passed=True, check_name="no-nulls")])

    with pytest.raises(InvalidResult, match=r"expected outputs {'no_nulls on orders'}"):
        materialize([orders])

    steps = [
        asset_check(asset=key, name=name)(lambda: AssetCheckResult(passed=True))
        for key, name in [(AssetKey(["a", "b"]), "c"), (AssetKey("a"), "b__c"), (AssetKey("a"), "b-_c")]
    ]
    result = materialize(steps)
    assert [step.name for step in result.steps] == ["c on a/b", "b__c on a", "b-_c on a"]


def test_a_check_of_a_key_that_only_looks_alike_is_not_taken() -> None:
    @asset_check(asset="a/b")
    def check() -> AssetCheckResult:
        return AssetCheckResult(passed=True, asset_key=["a", "b"])

    with pytest.raises(InvalidResult, match=r"targets asset 'a/b' which is not targeted"):
        materialize([check])


def test_steps_that_were_given_one_name_are_refused_as_before() -> None:
    @multi_asset(specs=[AssetSpec("a")], name="same")
    def first():
        yield MaterializeResult()

    @multi_asset(specs=[AssetSpec("b")], name="same")
    def second():
        yield MaterializeResult()

    with pytest.raises(InvalidDefinition, match="Two steps are called `same`"):
        Definitions(assets=[first, second])


@pytest.mark.parametrize("key", [AssetKey([]), AssetKey(["a", ""]), ["a", ""], AssetKey("")])
def test_a_key_that_would_be_another_one_on_the_wire_is_refused(key: AssetKey) -> None:
    with pytest.raises(InvalidDefinition, match="ends in an empty part"):
        AssetSpec(key)


def test_no_two_keys_and_partitions_share_a_file(tmp_path: Path) -> None:
    values = FilesystemIOManager(tmp_path / "values")
    keys = [AssetKey(parts) for parts in (*ALIKE, ("A", "b"), ("a", "B"), ("a b",), ("ä",), ("a\u0308",), ("x" * 300,))]
    partitions = (None, "whole", "2026-01", "2026_01", "2026/01", "")
    slices = [(key, partition) for key in keys for partition in partitions]
    for number, (key, partition) in enumerate(slices):
        values.handle_output(OutputContext(asset_key=key, partition_key=partition, run_id="r"), number)
    for number, (key, partition) in enumerate(slices):
        assert values.load_input(InputContext(asset_key=key, partition_key=partition)) == number
    folders = {str(path.parent).lower() for path in (tmp_path / "values").rglob("current.json")}
    assert len(folders) == len(slices)

"""The getters of a finished invocation: upstream's rules and sentences."""

from __future__ import annotations

import pytest

from standpipe_orchestrator import (
    AssetCheckResult,
    AssetKey,
    AssetObservation,
    IntMetadataValue,
    MaterializeResult,
    PipesClientCompletedInvocation,
)
from standpipe_orchestrator.errors import DagsterPipesError
from standpipe_orchestrator.reading.result_collection import ResultCollection
from standpipe_orchestrator.reading.result_getters import ResultGetters
from standpipe_protocol.invocation import Event, Invocation
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import (
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportAssetObservation,
    ReportCustomMessage,
)


class Source(ResultGetters):
    """Results as a session has them, without a broker."""

    def __init__(self, *asset_keys: str, succeeded: bool = True) -> None:
        self.collected = ResultCollection(asset_keys)
        super().__init__(self.collected)
        self.invocation = Invocation(id="inv_x", status="ended", verdict="succeeded" if succeeded else "failed")
        self._succeeded = succeeded
        self._events = 0

    def add(
        self,
        message: ReportAssetMaterialization | ReportAssetCheck | ReportAssetObservation | ReportCustomMessage,
    ) -> Source:
        self._events += 1
        event = Event(
            position=self._events,
            producer="p",
            seq=self._events,
            method=message.method,
            params=message.params(),
            received_at="2026-01-01T00:00:00Z",
        )
        self.collected.add(event, message)
        return self

    def materialize(self, key: str, **metadata: int) -> Source:
        return self.add(ReportAssetMaterialization(asset_key=key, metadata=metadata or None))

    def check(self, key: str, name: str, *, passed: bool = True) -> Source:
        return self.add(ReportAssetCheck(asset_key=key, check_name=name, passed=passed))

    def end(self, **metadata: int) -> PipesClientCompletedInvocation:
        self.collected.end(succeeded=self._succeeded)
        return PipesClientCompletedInvocation(self, metadata=metadata)


def test_results_come_in_reported_order_then_the_implicit_ones_marked() -> None:
    completed = Source("orders", "users").materialize("users", total=2).end()
    users, orders = completed.get_results()
    assert users == MaterializeResult(asset_key="users", metadata={"total": 2})
    assert isinstance(orders, MaterializeResult)
    assert (orders.asset_key, orders.implicit, orders.metadata) == (AssetKey("orders"), True, {})
    assert completed.get_results(implicit_materializations=False) == (users,)
    assert completed.get_results() == completed.get_results() == tuple(completed.iterate_results())


def test_observations_stand_beside_the_results_and_count_as_none_of_them() -> None:
    seen = ReportAssetObservation(
        asset_key="orders", metadata={"rows": 3}, data_version="7", partition="p", tags={"by": "cron", "odd": 1}
    )
    completed = Source("orders", "users").materialize("users").add(seen).add(seen).end()
    observation = AssetObservation("orders", metadata={"rows": 3}, data_version="7", partition="p", tags={"by": "cron"})
    assert completed.get_observations() == tuple(completed.iterate_observations()) == (observation, observation)
    assert observation.data_version == "7"
    users, orders = completed.get_results()
    assert (users.asset_key, orders.asset_key) == (AssetKey("users"), AssetKey("orders"))
    assert isinstance(orders, MaterializeResult)
    assert orders.implicit


def test_an_invocation_that_did_not_succeed_has_no_implicit_results() -> None:
    completed = Source("orders", succeeded=False).end()
    assert completed.get_results() == ()
    with pytest.raises(DagsterPipesError, match=r"^No materialization results received from external process\.$"):
        completed.get_materialize_result()


def test_partial_results_are_what_was_reported_whatever_the_verdict() -> None:
    for succeeded in (True, False):
        completed = Source("orders", "users", succeeded=succeeded).materialize("users").check("users", "c").end(n=1)
        materialization, check = completed.partial_results
        assert materialization == MaterializeResult(asset_key="users", metadata={"n": 1})
        assert isinstance(check, AssetCheckResult)


def test_the_materialize_result_is_the_only_one_with_its_checks() -> None:
    completed = Source("a").check("a", "c1").materialize("a").check("a", "c2", passed=False).end()
    result = completed.get_materialize_result()
    assert [(check.check_name, check.passed) for check in result.check_results] == [("c1", True), ("c2", False)]
    assert Source("a").end().get_materialize_result().implicit
    with pytest.raises(DagsterPipesError, match="No materialization results received"):
        Source("a").end().get_materialize_result(implicit_materialization=False)


def test_several_materializations_name_their_keys() -> None:
    completed = Source("orders", "users").materialize("users").materialize("orders").end()
    expected = (
        "Multiple materialize results returned with asset keys ['orders', 'users']. If you are materializing multiple "
        "assets in a pipes invocation, use get_results() instead."
    )
    with pytest.raises(DagsterPipesError) as raised:
        completed.get_materialize_result()
    assert str(raised.value) == expected


def test_a_check_of_another_asset_does_not_pass_as_the_materializations() -> None:
    completed = Source("a").materialize("a").check("b", "c").end()
    with pytest.raises(DagsterPipesError, match="Check result specified an asset key that is not part of"):
        completed.get_materialize_result()


def test_the_check_result_is_the_only_result() -> None:
    check = Source().check("my_asset", "no_empty_order_check").end().get_asset_check_result()
    assert check == AssetCheckResult(passed=True, asset_key="my_asset", check_name="no_empty_order_check")
    with pytest.raises(DagsterPipesError) as raised:
        Source("a").check("a", "c").end().get_asset_check_result()
    assert str(raised.value) == (
        "Did not find singular AssetCheckResult, got 1 MaterializeResults and 1 AssetCheckResults. "
        "Correct the reported results or use get_results() instead."
    )


def test_custom_messages_come_in_order_nulls_included() -> None:
    source = Source()
    payloads: list[JsonValue] = [1, None, {"a": [2]}]
    for payload in payloads:
        source.add(ReportCustomMessage(payload=payload))
    completed = source.end()
    assert completed.get_custom_messages() == tuple(completed.iterate_custom_messages()) == (1, None, {"a": [2]})


def test_metadata_of_the_invocation_wins_over_reported_metadata() -> None:
    result = Source("a").materialize("a", n=1, m=1).end(n=2).get_materialize_result()
    assert result.metadata == {"n": IntMetadataValue(2), "m": IntMetadataValue(1)}


def test_new_results_are_taken_once_and_implicit_ones_only_after_the_end() -> None:
    source = Source("a", "b").materialize("a")
    assert [result.asset_key for result in source.collected.take_new()] == [AssetKey("a")]
    assert list(source.collected.take_new()) == []
    source.end()
    assert [result.asset_key for result in source.collected.take_new()] == [AssetKey("b")]
    assert list(source.collected.take_new()) == []

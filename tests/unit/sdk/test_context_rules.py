"""Upstream's rules and error sentences, through `open_pipes` against a recording broker."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from standpipe import DagsterPipesError, PipesContext, open_dagster_pipes, open_pipes
from standpipe.testing import RecordingBroker, recording_broker
from standpipe_protocol.context import ContextData, KeyRange, TimeWindow

FULL = ContextData(
    asset_keys=("orders",),
    code_version_by_asset_key={"orders": "v1"},
    provenance_by_asset_key={"orders": {"code_version": "v1", "input_data_versions": {}, "is_user_provided": False}},
    partition_key="2024-01",
    partition_key_range=KeyRange(start="2024-01", end="2024-01"),
    partition_time_window=TimeWindow(start="2024-01-01T00:00:00+00:00", end="2024-02-01T00:00:00+00:00"),
    run_id="run-1",
    job_name="job",
    retry_number=2,
    extras={"foo": "bar", "nothing": None},
)


@contextmanager
def opened(context: ContextData) -> Iterator[tuple[PipesContext, RecordingBroker]]:
    with recording_broker(context=context) as broker, broker.environment(), open_pipes() as pipes:
        yield pipes, broker


def raises(text: str) -> Any:
    return pytest.raises(DagsterPipesError, match=f"^{re.escape(text)}$")


def test_every_property_shows_what_the_orchestrator_said() -> None:
    with opened(FULL) as (pipes, _):
        assert pipes.is_asset_step
        assert pipes.asset_key == "orders"
        assert pipes.asset_keys == ["orders"]
        assert pipes.code_version == "v1"
        assert pipes.code_version_by_asset_key == {"orders": "v1"}
        assert pipes.provenance == {"code_version": "v1", "input_data_versions": {}, "is_user_provided": False}
        assert list(pipes.provenance_by_asset_key) == ["orders"]
        assert pipes.is_partition_step
        assert pipes.partition_key == "2024-01"
        assert pipes.partition_key_range == {"start": "2024-01", "end": "2024-01"}
        window = pipes.partition_time_window
        assert window is not None
        assert window["end"] == "2024-02-01T00:00:00+00:00"
        assert (pipes.run_id, pipes.job_name, pipes.retry_number) == ("run-1", "job", 2)
        assert pipes.extras == {"foo": "bar", "nothing": None}
        assert pipes.get_extra("foo") == "bar"
        assert pipes.get_extra("nothing") is None
        assert not pipes.cancel_requested
        assert not pipes.is_closed


NO_ASSET = "Missing required property: `{0}` is undefined. Current step does not target an asset."
NO_PARTITION = "Missing required property: `{0}` is undefined. Current step does not target any partitions."
MANY_ASSETS = "`{0}` is undefined. Current step targets multiple assets."


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("asset_key", NO_ASSET),
        ("asset_keys", NO_ASSET),
        ("provenance", NO_ASSET),
        ("provenance_by_asset_key", NO_ASSET),
        ("code_version", NO_ASSET),
        ("code_version_by_asset_key", NO_ASSET),
        ("partition_key", NO_PARTITION),
        ("partition_key_range", NO_PARTITION),
        ("partition_time_window", NO_PARTITION),
    ],
)
def test_a_property_that_the_step_does_not_have_says_so(name: str, sentence: str) -> None:
    with opened(ContextData(run_id="r")) as (pipes, _):
        with raises(sentence.format(name)):
            getattr(pipes, name)
        assert not pipes.is_asset_step
        assert not pipes.is_partition_step


@pytest.mark.parametrize("keys", [(), ("a", "b")])
@pytest.mark.parametrize("name", ["asset_key", "provenance", "code_version"])
def test_the_one_asset_is_undefined_unless_there_is_exactly_one(name: str, keys: tuple[str, ...]) -> None:
    context = ContextData(
        asset_keys=keys,
        code_version_by_asset_key=dict.fromkeys(keys),
        provenance_by_asset_key=dict.fromkeys(keys),
    )
    with opened(context) as (pipes, _):
        assert pipes.is_asset_step
        with raises(MANY_ASSETS.format(name)):
            getattr(pipes, name)


def test_an_undefined_extra_is_named() -> None:
    with opened(FULL) as (pipes, _), raises("Extra `spam` is undefined. Extras must be provided by user."):
        pipes.get_extra("spam")


def test_a_second_materialization_of_a_key_raises_at_the_call() -> None:
    with opened(FULL) as (pipes, broker):
        pipes.report_asset_materialization(metadata={"n": 1})
        with raises(
            "Calling `report_asset_materialization` with asset key `orders` is undefined. Asset has already been"
            " materialized, so no additional data can be reported for it."
        ):
            pipes.report_asset_materialization(asset_key="orders")
    assert list(broker.materializations) == ["orders"]


def test_a_materialization_that_could_not_be_sent_may_be_tried_again() -> None:
    with opened(FULL) as (pipes, broker):
        with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
            pipes.report_asset_materialization(metadata={"n": object()})  # pyright: ignore[reportArgumentType]
        pipes.report_asset_materialization(metadata={"n": 2})
    assert broker.materializations["orders"].metadata == {"n": {"raw_value": 2, "type": "__infer__"}}


Report = Callable[[PipesContext], None]


def materialize(**arguments: Any) -> Report:
    return lambda pipes: pipes.report_asset_materialization(**arguments)


def check(**arguments: Any) -> Report:
    return lambda pipes: pipes.report_asset_check(**{"check_name": "c", "passed": True, **arguments})


MATERIALIZE, CHECK = "report_asset_materialization", "report_asset_check"


@pytest.mark.parametrize(
    ("keys", "report", "sentence"),
    [
        (
            ("a", "b"),
            materialize(asset_key="c"),
            "Invalid asset key. Expected one of `['a', 'b']`, got `c`.",
        ),
        (
            ("a", "b"),
            materialize(),
            f"Calling `{MATERIALIZE}` without passing an asset key is undefined. Current step targets multiple assets.",
        ),
        (
            ("a", "b"),
            check(asset_key=""),
            f"Calling `{CHECK}` without passing an asset key is undefined. Current step targets multiple assets.",
        ),
        (
            (),
            check(),
            f"Calling `{CHECK}` without passing an asset key is undefined. Current step does not target a specific"
            " asset.",
        ),
        (
            None,
            materialize(),
            f"Calling `{MATERIALIZE}` without passing an asset key is undefined. Current step does not target a"
            " specific asset.",
        ),
        (
            ("a",),
            materialize(asset_key=1),
            f"Invalid type for parameter `asset_key` of `{MATERIALIZE}`. Expected `Optional[<class 'str'>]`, got"
            " `<class 'int'>`.",
        ),
        (
            ("a",),
            materialize(data_version=1),
            f"Invalid type for parameter `data_version` of `{MATERIALIZE}`. Expected `Optional[<class 'str'>]`, got"
            " `<class 'int'>`.",
        ),
        (
            ("a",),
            materialize(metadata=[1]),
            f"Invalid type for parameter `metadata` of `{MATERIALIZE}`. Expected `<class 'dict'>`, got"
            " `<class 'list'>`.",
        ),
        (
            ("a",),
            check(metadata={1: 2}),
            f"Invalid type for parameter `metadata` of `{CHECK}`. Expected a dict with string keys, got a key `1` of"
            " type `<class 'int'>`.",
        ),
        (
            ("a",),
            materialize(metadata={"m": {"raw_value": 1}}),
            f"Invalid type for parameter `metadata` of `{MATERIALIZE}`. Expected a dict with string keys and values"
            " that are either raw metadata values or dictionaries with schema `{raw_value: ..., type: ...}`. Got a"
            " value `{'raw_value': 1}`.",
        ),
        (
            ("a",),
            check(check_name=1),
            f"Invalid type for parameter `check_name` of `{CHECK}`. Expected `<class 'str'>`, got `<class 'int'>`.",
        ),
        (
            ("a",),
            check(passed=1),
            f"Invalid type for parameter `passed` of `{CHECK}`. Expected `<class 'bool'>`, got `<class 'int'>`.",
        ),
        (
            ("a",),
            check(severity="FATAL"),
            f"Invalid value for parameter `severity` of `{CHECK}`. Expected one of `('WARN', 'ERROR')`, got `FATAL`.",
        ),
    ],
)
def test_misuse_raises_upstreams_sentence_and_sends_nothing(
    keys: tuple[str, ...] | None, report: Report, sentence: str
) -> None:
    with opened(ContextData(asset_keys=keys)) as (pipes, broker):
        with raises(sentence):
            report(pipes)
        assert pipes.flush(10)
        assert broker.methods == ("opened",)


def test_an_unknown_metadata_type_names_the_entry_and_the_known_types() -> None:
    with opened(FULL) as (pipes, _), pytest.raises(DagsterPipesError) as caught:
        pipes.report_asset_materialization(metadata={"m": {"raw_value": 1, "type": "spam"}})
    text = str(caught.value)
    assert text.startswith(
        f"Invalid value for parameter `metadata.m.type` of `{MATERIALIZE}`. Expected one of `frozenset({{"
    )
    assert text.endswith("got `spam`.")
    assert "'table_column_lineage'" in text


def test_the_first_of_several_mistakes_is_the_one_upstream_names() -> None:
    with opened(FULL) as (pipes, _):
        with raises("Invalid asset key. Expected one of `['orders']`, got `x`."):
            pipes.report_asset_materialization(asset_key="x", metadata=[1], data_version=2)  # pyright: ignore
        with pytest.raises(DagsterPipesError, match="parameter `metadata`"):
            pipes.report_asset_materialization(metadata=[1], data_version=2)  # pyright: ignore
        with pytest.raises(DagsterPipesError, match="parameter `check_name`"):
            pipes.report_asset_check(1, 1)  # pyright: ignore


def test_a_step_without_known_keys_takes_any_key() -> None:
    for keys in ((), None):
        with opened(ContextData(asset_keys=keys)) as (pipes, broker):
            pipes.report_asset_materialization(asset_key="anything")
            pipes.report_asset_check("c", False, "WARN", asset_key="other")
        assert list(broker.materializations) == ["anything"]
        assert (broker.checks[0].asset_key, broker.checks[0].severity, broker.checks[0].passed) == (
            "other",
            "WARN",
            False,
        )


def test_metadata_is_brought_into_upstreams_form() -> None:
    with opened(FULL) as (pipes, broker):
        pipes.report_asset_materialization(
            metadata={
                "plain": 3,
                "none": None,
                "list": [1, "a"],
                "typed": {"type": "url", "raw_value": "http://example.com"},
                "nan": float("nan"),
                "inf": {"type": "__infer__", "raw_value": float("inf")},
            },
            data_version="v7",
        )
    found = broker.materializations["orders"]
    assert found.data_version == "v7"
    assert found.metadata == {
        "plain": {"raw_value": 3, "type": "__infer__"},
        "none": {"raw_value": None, "type": "__infer__"},
        "list": {"raw_value": [1, "a"], "type": "__infer__"},
        "typed": {"type": "url", "raw_value": "http://example.com"},
        # As a string it would be inferred to be text.
        "nan": {"raw_value": "NaN", "type": "float"},
        "inf": {"raw_value": "Infinity", "type": "float"},
    }


def test_empty_metadata_is_none() -> None:
    with opened(ContextData(asset_keys=("a", "b"))) as (pipes, broker):
        pipes.report_asset_materialization(metadata={}, asset_key="a")
        pipes.report_asset_check("c", True, asset_key="b", metadata={})
    assert broker.materializations["a"].metadata is None
    assert broker.checks[0].metadata is None


def test_a_custom_message_is_any_json_and_keys_become_strings() -> None:
    with opened(FULL) as (pipes, broker):
        pipes.report_custom_message({"order_id": {0: 1, 1: 2}})
        pipes.report_custom_message(None)
        with pytest.raises(TypeError, match="Object of type set is not JSON serializable"):
            pipes.report_custom_message({1, 2})  # pyright: ignore[reportArgumentType]
        circle: list[Any] = []
        circle.append(circle)
        with pytest.raises(ValueError, match="Circular reference"):
            pipes.report_custom_message(circle)
    assert broker.custom_messages == [{"order_id": {"0": 1, "1": 2}}, None]
    closed = broker.closed
    assert closed is not None
    assert closed.ledger is not None
    assert closed.ledger.by_method["report_custom_message"] == 2


def test_captured_output_is_passed_on_and_its_stream_is_checked() -> None:
    with opened(FULL) as (pipes, broker):
        pipes.log_external_stream("stderr", "oh\n", {"line": 1})
        with raises(
            "Invalid value for parameter `stream` of `log_external_stream`. Expected one of `('stdout', 'stderr')`,"
            " got `stdlog`."
        ):
            pipes.log_external_stream("stdlog", "x")
        with raises(
            "Invalid type for parameter `extras` of `log_external_stream`. Expected `Optional[<class 'dict'>]`, got"
            " `<class 'list'>`."
        ):
            pipes.log_external_stream("stdout", "x", [1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert broker.messages[1].params == {"stream": "stderr", "text": "oh\n", "extras": {"line": 1}}


def test_values_of_any_static_type_may_be_reported() -> None:
    # What pyright is to accept: `dict` and `list` are invariant in what they hold.
    table: dict[str, list[int]] = {"order_id": [1, 2]}
    typed: dict[str, dict[str, str]] = {"home": {"type": "url", "raw_value": "http://example.com"}}
    with recording_broker(asset_keys=["orders"], extras=table) as broker, broker.environment(), open_pipes() as pipes:
        assert pipes.extras == table
        pipes.report_custom_message(table)
        pipes.report_asset_materialization(metadata=typed)
        pipes.report_asset_check("c", True, metadata=table)
        pipes.log_external_stream("stdout", "x", table)
    assert broker.custom_messages == [table]
    assert broker.materializations["orders"].metadata == typed


def test_close_takes_upstreams_dictionaries_and_an_empty_one_is_no_exception() -> None:
    with recording_broker(context=FULL) as broker, broker.environment():
        pipes = open_pipes()
        with pytest.raises(DagsterPipesError, match="Invalid value for parameter `exc` of `close`"):
            pipes.close({"stack": []})
        with pytest.raises(DagsterPipesError, match="Invalid value for parameter `exc` of `close`"):
            pipes.close("it failed")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert not pipes.is_closed
        pipes.close({})
    assert broker.closed is not None
    assert broker.closed.exception is None


def test_after_close_every_report_raises_and_closing_again_does_nothing() -> None:
    with recording_broker(context=FULL) as broker, broker.environment():
        pipes = open_pipes()
        first = pipes.close()
        assert pipes.is_closed
        for report in (
            materialize(),
            check(),
            lambda pipes: pipes.report_custom_message(1),
            lambda pipes: pipes.log_external_stream("stdout", "x"),
            lambda pipes: pipes.log.info("x"),
        ):
            with raises("Cannot send message after pipes context is closed."):
                report(pipes)
        assert pipes.close() is first
    assert broker.methods == ("opened", "closed")


def test_getting_a_context_before_there_is_one_says_what_to_call() -> None:
    assert not PipesContext.is_initialized()
    with raises("PipesContext has not been initialized. You must call `open_dagster_pipes()`."):
        PipesContext.get()


def test_the_context_is_one_a_process() -> None:
    with recording_broker(context=FULL) as broker, broker.environment(), open_dagster_pipes() as pipes:
        assert open_pipes() is pipes
        assert PipesContext.get() is pipes
        assert PipesContext.is_initialized()
    assert broker.methods == ("opened", "closed")

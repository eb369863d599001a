"""Outside an orchestrator."""

from __future__ import annotations

import logging
import warnings

import pytest

from standpipe import (
    DagsterPipesError,
    DagsterPipesWarning,
    PipesConfigurationError,
    PipesContext,
    PipesEnvVarParamsLoader,
    PipesMappingParamsLoader,
    PipesParamsLoader,
    open_pipes,
)
from standpipe.testing import recording_broker


def open_outside() -> PipesContext:
    with pytest.warns(DagsterPipesWarning, match="not launched by an orchestrator"):
        return open_pipes()


def test_the_warning_points_at_the_callers_line() -> None:
    with pytest.warns(DagsterPipesWarning) as caught:
        open_pipes()
    assert [warning.filename for warning in caught] == [__file__]


def test_it_is_a_context_of_the_same_type_and_warns_once() -> None:
    pipes = open_outside()
    assert isinstance(pipes, PipesContext)
    assert pipes.is_null
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert open_pipes() is pipes
    assert PipesContext.get() is pipes
    with pipes as entered:
        assert entered is pipes


def test_nothing_in_it_is_truthy_that_would_not_be(monkeypatch: pytest.MonkeyPatch) -> None:
    pipes = open_outside()
    assert not pipes.is_asset_step
    assert not pipes.is_partition_step
    assert not pipes.cancel_requested
    assert pipes.extras == {}
    assert pipes.run_id is None
    assert pipes.retry_number == 0
    with pytest.raises(DagsterPipesError, match="Extra `foo` is undefined"):
        pipes.get_extra("foo")
    with pytest.raises(DagsterPipesError, match="does not target any partitions"):
        _ = pipes.partition_key


def test_extras_can_be_given_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_EXTRAS", '{"foo": "bar"}')
    assert open_outside().get_extra("foo") == "bar"


UPSTREAMS = "eJyrVipILMlQslJQyk0tLk5MTy1WqgUARiYG4A=="


@pytest.mark.parametrize("loader", [None, PipesEnvVarParamsLoader])
def test_a_launch_by_dagster_itself_is_a_named_error(
    loader: type[PipesParamsLoader] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", UPSTREAMS)
    with pytest.raises(PipesConfigurationError, match="DAGSTER_PIPES_CONTEXT is set and STANDPIPE_INVOCATION is not"):
        open_pipes(params_loader=loader and loader())
    assert not PipesContext.is_initialized()
    with recording_broker() as broker, broker.environment(), open_pipes() as pipes:
        assert not pipes.is_null


def test_a_mapping_with_dagsters_own_params_is_a_named_error() -> None:
    widgets = {"DAGSTER_PIPES_CONTEXT": UPSTREAMS, "DAGSTER_PIPES_MESSAGES": UPSTREAMS}
    with pytest.raises(PipesConfigurationError, match="launched this process"):
        open_pipes(params_loader=PipesMappingParamsLoader(widgets))


def test_a_loader_that_finds_nothing_decides_also_in_a_process_that_dagster_launched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DAGSTER_PIPES_CONTEXT", UPSTREAMS)
    with pytest.warns(DagsterPipesWarning, match="not launched by an orchestrator"):
        assert open_pipes(params_loader=PipesMappingParamsLoader({})).is_null


@pytest.mark.parametrize("text", ["[1]", "{", "3"])
def test_extras_that_are_no_object_are_a_named_error(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANDPIPE_EXTRAS", text)
    with pytest.raises(PipesConfigurationError, match=r"STANDPIPE_EXTRAS is .*; expected a JSON object"):
        open_pipes()


def test_what_would_be_sent_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="standpipe")
    with open_outside() as pipes:
        pipes.report_asset_materialization(metadata={"rows": 3})
        pipes.report_asset_check("c", True, asset_key="orders")
        pipes.log.warning("careful")
    told = [record.getMessage() for record in caplog.records]
    assert any('"method":"report_asset_materialization"' in line and '"rows"' in line for line in told)
    assert any('"check_name":"c"' in line for line in told)
    assert "careful" in told
    assert any('"method":"closed"' in line for line in told)


def test_calls_are_checked_as_inside() -> None:
    pipes = open_outside()
    pipes.report_asset_materialization(asset_key="a")
    with pytest.raises(DagsterPipesError, match="already been materialized"):
        pipes.report_asset_materialization(asset_key="a")
    with pytest.raises(DagsterPipesError, match="Expected `<class 'bool'>`"):
        pipes.report_asset_check("c", 1)  # pyright: ignore
    with pytest.raises(TypeError, match="not JSON serializable"):
        pipes.report_custom_message(object())  # pyright: ignore
    with pytest.raises(DagsterPipesError, match="Expected a dict with string keys"):
        pipes.report_asset_materialization(metadata={"a": {"x": 1}}, asset_key="b")
    pipes.close()
    with pytest.raises(DagsterPipesError, match="after pipes context is closed"):
        pipes.report_custom_message(1)


def test_a_key_may_be_left_out_because_inside_there_may_be_one_asset() -> None:
    pipes = open_outside()
    pipes.report_asset_materialization()
    pipes.report_asset_check("c", True)
    with pytest.raises(DagsterPipesError, match="already been materialized"):
        pipes.report_asset_materialization()


def test_it_gives_way_to_an_invocation() -> None:
    null = open_outside()
    with recording_broker() as broker:
        environment = broker.environment()
        with environment:
            PipesContext.set(null)
            with open_pipes() as pipes:
                assert pipes is not null
        assert broker.opened

"""Nothing is green before everything that the broker has is here: what could not be taken raises, and is named."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

import pytest

from standpipe_orchestrator import (
    BrokerClient,
    ContextData,
    MaterializeResult,
    PipesExecutionError,
    PipesResultsIncomplete,
    PipesSubprocessClient,
    open_pipes_session,
)
from standpipe_orchestrator.values.metadata_conversion import metadata_from_wire
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_protocol.json_text import JsonValue
from tests.support.processes import child_environment, run, run_python

Script = Callable[[str], list[str]]
TARGETS = ContextData(asset_keys=("a", "b", "c"), run_id="r")
REPORTS_THREE = """
from standpipe import open_pipes
with open_pipes() as context:
    for key in context.asset_keys:
        context.report_asset_materialization(asset_key=key, metadata={"odd": key == "b"})
    context.log.info("the last word")
"""
A, C = (MaterializeResult(asset_key=key, metadata={"odd": False}) for key in "ac")


@pytest.fixture
def b_cannot_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handling of the second materialization raises."""

    def raising(metadata: Mapping[str, JsonValue] | None) -> dict[str, MetadataValue]:
        values = metadata_from_wire(metadata)
        if any(value.value is True for value in values.values()):
            raise ZeroDivisionError("metadata nobody thought of")
        return values

    monkeypatch.setattr("standpipe_orchestrator.values.from_events.metadata_from_wire", raising)


@pytest.mark.usefixtures("b_cannot_be_made")
def test_a_result_that_cannot_be_made_is_named_and_costs_its_siblings_nothing(
    pipes: PipesSubprocessClient, script: Script
) -> None:
    with pytest.raises(PipesResultsIncomplete) as raised:
        pipes.run(context=TARGETS, command=script(REPORTS_THREE))
    told = str(raised.value)
    assert "position 3 (report_asset_materialization): ZeroDivisionError: metadata nobody thought of" in told
    assert raised.value.completed is not None
    # Neither is there an implicit result in the place of the one that was lost.
    assert raised.value.completed.get_results() == (A, C)
    assert (raised.value.verdict, raised.value.exit_code) == ("succeeded", 0)
    found: list[object] = []
    with pytest.raises(PipesResultsIncomplete):
        found.extend(pipes.stream(context=TARGETS, command=script(REPORTS_THREE)))
    assert found == [A, C]


@pytest.mark.usefixtures("b_cannot_be_made")
def test_a_session_raises_for_it_too_whatever_verdict_was_asked_for(client: BrokerClient) -> None:
    with (
        pytest.raises(PipesResultsIncomplete, match=r"position 3 .*ZeroDivisionError"),
        open_pipes_session(TARGETS, client=client, require_success=False) as session,
    ):
        run_python("-c", REPORTS_THREE, env=child_environment(session.get_bootstrap_env_vars()))
    assert session.get_results() == (A, C)


@pytest.mark.usefixtures("b_cannot_be_made")
def test_an_exception_of_the_block_is_told_of_it(client: BrokerClient) -> None:
    def block() -> None:
        with open_pipes_session(TARGETS, client=client) as session:
            run_python("-c", REPORTS_THREE, env=child_environment(session.get_bootstrap_env_vars()))
            raise KeyError("the block's own")

    with pytest.raises(KeyError) as raised:
        block()
    assert "ZeroDivisionError" in raised.value.__notes__[0]


def test_a_log_that_raises_does_not_end_the_reading(pipes: PipesSubprocessClient, script: Script) -> None:
    class Context:
        run_id = "r"
        asset_keys = ("a", "b", "c")
        log = logging.Logger("raises", logging.INFO)

    def refuse(record: logging.LogRecord) -> bool:
        if "opened" in record.getMessage():
            raise OSError("the log's disk is full")
        return True

    Context.log.addFilter(refuse)
    with pytest.raises(PipesResultsIncomplete, match=r"position 1 \(opened\): OSError: the log's disk") as raised:
        pipes.run(context=Context(), command=script(REPORTS_THREE))
    assert raised.value.completed is not None
    assert len(raised.value.completed.get_results()) == 3


def test_what_was_reported_before_a_failure_stays_readable(
    pipes: PipesSubprocessClient, client: BrokerClient, script: Script
) -> None:
    fails = REPORTS_THREE.replace("    context.log", "        if key == 'b': raise ValueError(key)\n    context.log")
    reported = (A, MaterializeResult(asset_key="b", metadata={"odd": True}))
    with pytest.raises(PipesExecutionError, match="ValueError: b") as raised:
        pipes.run(context=TARGETS, command=script(fails))
    assert raised.value.completed is not None
    assert raised.value.completed.partial_results == reported
    with (
        pytest.raises(PipesExecutionError, match="ValueError: b"),
        open_pipes_session(TARGETS, client=client) as session,
    ):
        run(script(fails), env=child_environment(session.get_bootstrap_env_vars()), check=False)
    assert session.get_reported_results() == reported

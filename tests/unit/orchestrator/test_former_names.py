"""What older programs and older stored values name is still there, and what is misspelt is refused."""

from __future__ import annotations

import importlib
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from standpipe_orchestrator import (
    AssetKey,
    BrokerClient,
    FilesystemIOManager,
    InputContext,
    JsonMetadataValue,
    MaterializeResult,
    MetadataValue,
    OutputContext,
    TableColumn,
    TableRecord,
    TableSchema,
    TextMetadataValue,
)
from standpipe_orchestrator.values.metadata_values import IntMetadataValue

ORDERS = AssetKey("orders")


@pytest.mark.parametrize(
    "name", ["PipesExecutionError", "PipesLaunchError", "PipesResultsIncomplete", "DagsterPipesExecutionError"]
)
def test_errors_of_results_are_in_the_module_of_errors(name: str) -> None:
    errors, public = (importlib.import_module(f"standpipe_orchestrator{part}") for part in (".errors", ""))
    assert getattr(errors, name) is getattr(public, name)
    with pytest.raises(AttributeError, match="Pipes_Error"):
        _ = errors.Pipes_Error


def test_running_work_has_its_former_name() -> None:
    running = importlib.import_module("standpipe_orchestrator.launchers.running")
    assert running.RunningSubprocess is running.RunningWork


MISSPELT: dict[str, Callable[[BrokerClient], object]] = {
    "exitcode": lambda client: client.invocations.finish("inv_1", exitcode=3),  # pyright: ignore[reportCallIssue]
    "jobid": lambda client: client.invocations.launch("inv_1", state="running", jobid="7"),  # pyright: ignore[reportCallIssue]
    "limits": lambda client: client.assets.list(limits=1),  # pyright: ignore[reportCallIssue]
    "partition": lambda client: client.assets.materializations("orders", partition="x"),  # pyright: ignore[reportCallIssue]
    "sinse": lambda client: client.assets.observations("orders", sinse="x"),  # pyright: ignore[reportCallIssue]
    "untill": lambda client: client.assets.checks("orders", untill="x"),  # pyright: ignore[reportCallIssue]
    "cursors": lambda client: client.errors.list(cursors="x"),  # pyright: ignore[reportCallIssue]
}


@pytest.mark.parametrize("name", MISSPELT)
def test_a_misspelt_argument_is_refused_before_anything_is_sent(name: str) -> None:
    with (
        BrokerClient("http://127.0.0.1:9", api_key="k", retry_seconds=0) as client,
        pytest.raises(TypeError, match=rf"\(\) got an unexpected keyword argument '{name}'$"),
    ):
        MISSPELT[name](client)


def as_an_older_version_wrote_it(value: object) -> bytes:
    """A pickle in which modules and the slot of metadata have their former names."""
    pickled = pickle.dumps(value, protocol=2)
    for new, old in (
        ("values.asset_key", "asset_key"),
        ("values.metadata_values", "metadata"),
        ("values.results", "results"),
        ("values.tables", "tables"),
    ):
        pickled = pickled.replace(
            f"cstandpipe_orchestrator.{new}\n".encode(), f"cstandpipe_orchestrator.{old}\n".encode()
        )
    return pickled.replace(b"X\x06\x00\x00\x00_value", b"X\x05\x00\x00\x00_held")


@pytest.mark.parametrize(
    "value",
    [
        [ORDERS, MetadataValue.text("seven"), MetadataValue.json({"rows": [7]})],
        MaterializeResult(asset_key="orders", metadata={"rows": 7}),
        MetadataValue.table([TableRecord({"rows": 7})], TableSchema([TableColumn("rows", "int")])),
    ],
    ids=["values", "a result", "a table"],
)
def test_a_value_that_an_older_version_stored_is_loaded(value: object, tmp_path: Path) -> None:
    manager = FilesystemIOManager(tmp_path / "values")
    manager.handle_output(OutputContext(asset_key=ORDERS, partition_key=None, run_id="r"), value)
    (stored,) = (tmp_path / "values").rglob("*.pickle")
    old = as_an_older_version_wrote_it(value)
    assert b"standpipe_orchestrator.values" not in old
    stored.write_bytes(old)
    assert manager.load_input(InputContext(asset_key=ORDERS, partition_key=None)) == value


def test_a_field_that_an_older_version_did_not_have_is_at_its_default() -> None:
    made = MaterializeResult(asset_key="orders", metadata={"rows": [7]})
    state = made.__getstate__()
    del state["replaces"]
    older = object.__new__(MaterializeResult)
    older.__setstate__(state)
    assert older == made

    data = object.__new__(JsonMetadataValue)
    data.__setstate__((None, {"_held": [7]}))
    assert data.to_wire() == MetadataValue.json([7]).to_wire()


def test_a_subclass_of_a_metadata_value_has_its_type() -> None:
    class Title(TextMetadataValue):
        pass

    class Count(IntMetadataValue, field="count"):
        pass

    assert Title("x").to_wire() == {"type": "text", "raw_value": "x"}
    assert repr(Title("x")) == "Title(text='x')"
    assert Count(7).to_wire() == {"type": "int", "raw_value": 7}
    assert repr(Count(7)) == "Count(count=7)"
    with pytest.raises(TypeError):
        Title(7)  # pyright: ignore[reportArgumentType]

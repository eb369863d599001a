"""The seed page's examples, run for real: external processes, an embedded broker, the results that upstream gives.

Where upstream loses what its own documentation shows (three shapes of rich metadata), what is documented is expected.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from standpipe_orchestrator import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetKey,
    Definitions,
    IntMetadataValue,
    JsonMetadataValue,
    MarkdownMetadataValue,
    MaterializeResult,
    NotebookMetadataValue,
    NullMetadataValue,
    PathMetadataValue,
    PipesExecutionError,
    TableColumnLineageMetadataValue,
    TableMetadataValue,
    TableSchemaMetadataValue,
    TextMetadataValue,
    TimestampMetadataValue,
    UrlMetadataValue,
    asset,
    close_default_client,
    materialize,
)
from standpipe_orchestrator.definitions.files import load_definitions
from standpipe_orchestrator.values.metadata_values import BoolMetadataValue, FloatMetadataValue
from tests.support.processes import REPOSITORY, child_environment, run

SEED = REPOSITORY / "examples" / "seed"
SCRIPTS = Path(sys.executable).parent
"""Where the `standpipe` command is, and the `python` that the examples' `shutil.which("python")` must find."""
PATH = f"{SCRIPTS}{os.pathsep}{os.environ.get('PATH', '')}"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One home for the module: its embedded broker is started by whoever runs first, and serves the rest."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("seed") / "home"
        for name in ("STANDPIPE_URL", "STANDPIPE_API_KEY", "STANDPIPE_INVOCATION", "STANDPIPE_TOKEN"):
            patch.delenv(name, raising=False)
        patch.setenv("STANDPIPE_HOME", str(folder))
        patch.setenv("PATH", PATH)
        yield folder
        close_default_client()


def definitions_of(example: str) -> Definitions:
    return load_definitions(SEED / example / "dagster_code.py")


def run_command(example: str, home: Path, *, check: bool = True) -> tuple[int, str, str]:
    """`standpipe materialize` on an example: exit code, stdout, stderr."""
    done = run(
        [SCRIPTS / "standpipe", "materialize", SEED / example / "dagster_code.py"],
        env=child_environment({"PATH": PATH}, home=home),
        timeout=120,
        check=check,
    )
    return done.returncode, done.stdout, done.stderr


def test_the_command_runs_on_a_home_where_nothing_is_yet(tmp_path: Path) -> None:
    code, stdout, stderr = run_command("with_extras_env", tmp_path / "home")

    assert code == 0
    assert stdout.splitlines() == ["{'foo': 'bar'}", "bar", "my_value"]
    assert "subprocess_asset materialized (nothing reported)" in stderr
    assert "All green: 1 of 1 step" in stderr


def test_extras_and_environment_reach_the_external_code(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    result = materialize(definitions_of("with_extras_env"))

    assert capfd.readouterr().out.splitlines() == ["{'foo': 'bar'}", "bar", "my_value"]
    assert result.materializations == (
        MaterializeResult(asset_key=AssetKey("subprocess_asset"), metadata={}, implicit=True),
    )


def test_an_asset_check_is_evaluated_by_external_code(home: Path) -> None:
    result = materialize(definitions_of("with_asset_check"))

    assert result.success
    assert result.checks == (
        AssetCheckResult(
            passed=True,
            asset_key=AssetKey(["my_asset"]),
            check_name="no_empty_order_check",
            metadata={},
            severity=AssetCheckSeverity.ERROR,
            description=None,
        ),
    )
    assert [made.asset_key for made in result.materializations] == [AssetKey("my_asset")]


def test_the_command_shows_the_check(home: Path) -> None:
    code, stdout, stderr = run_command("with_asset_check", home)

    assert (code, stdout) == (0, "")
    assert "check no_empty_order_check on my_asset passed" in stderr
    assert "1 of 1 check passed" in stderr


def test_a_multi_asset_has_a_result_for_each_key_in_the_order_they_were_reported(home: Path) -> None:
    result = materialize(definitions_of("with_multi_asset"))

    assert result.materializations == (
        MaterializeResult(asset_key=AssetKey("orders"), metadata={"total_orders": IntMetadataValue(3)}),
        MaterializeResult(asset_key=AssetKey("users"), metadata={"total_users": IntMetadataValue(2)}),
    )


def test_the_command_shows_what_a_multi_asset_reports(home: Path) -> None:
    code, _, stderr = run_command("with_multi_asset", home)

    assert code == 0
    assert "orders materialized  total_orders 3" in stderr
    assert "users materialized  total_users 2" in stderr


def test_a_second_materialization_of_a_key_fails_with_the_quoted_error_and_the_first_is_kept(home: Path) -> None:
    with pytest.raises(PipesExecutionError) as caught:
        materialize(definitions_of("with_multi_asset/reported_twice"))

    assert (
        "Calling `report_asset_materialization` with asset key `orders` is undefined. Asset has already been "
        "materialized, so no additional data can be reported for it." in str(caught.value)
    )
    assert caught.value.exit_code == 1
    assert caught.value.completed is not None
    assert caught.value.completed.get_results() == (
        MaterializeResult(asset_key=AssetKey("orders"), metadata={"total_orders": IntMetadataValue(3)}),
    )


def test_the_command_is_not_green_after_a_second_materialization(home: Path) -> None:
    code, _, stderr = run_command("with_multi_asset/reported_twice", home, check=False)

    assert code == 1
    assert "Asset has already been materialized" in stderr
    assert "Not green: 0 of 1 step" in stderr


def test_a_custom_message_becomes_a_data_frame_that_goes_downstream(home: Path) -> None:
    @asset
    def downstream(subprocess_asset: pd.DataFrame) -> list[int]:
        return [int(item) for item in subprocess_asset["item_id"]]

    seed = definitions_of("custom_messages")
    result = materialize([*seed.steps, downstream], resources=seed.resources)

    # The dictionary's integer keys became JSON strings, as they do with upstream.
    expected = pd.DataFrame({"order_id": [1, 2, 3], "item_id": [321, 654, 987]}, index=pd.Index(["0", "1", "2"]))
    pd.testing.assert_frame_equal(result.output_for_node("subprocess_asset"), expected)  # type: ignore[arg-type]
    metadata = result.outcome_for("subprocess_asset").materializations[0].metadata
    assert metadata["total_orders"] == IntMetadataValue(3)
    assert str(metadata["path"].value).endswith(".parquet")
    assert result.asset_value("downstream") == [321, 654, 987]


def test_the_command_runs_the_custom_messages(home: Path) -> None:
    code, _, stderr = run_command("custom_messages", home)

    assert code == 0
    assert "subprocess_asset materialized  total_orders 3" in stderr


def test_all_kinds_of_rich_metadata_arrive_in_the_shapes_the_page_shows(home: Path) -> None:
    metadata = materialize(definitions_of("rich_metadata")).materializations[0].metadata

    assert metadata["url_metadata.url_meta"] == UrlMetadataValue("http://example.com")
    assert metadata["path_metadata.path_meta"] == PathMetadataValue("/path/to/file.txt")
    assert metadata["notebook_metadata.notebook_meta"] == NotebookMetadataValue("/path/to/notebook.ipynb")
    assert metadata["json_metadata.json_meta"] == JsonMetadataValue(["item1", "item2", "item3"])
    assert metadata["markdown_metadata.md_meta"] == MarkdownMetadataValue("# Header\nSome **bold** text")
    assert metadata["timestamp_metadata.timestamp_meta"] == TimestampMetadataValue(1234567890.0)
    assert metadata["plain_values.float"] == FloatMetadataValue(1.5)
    assert metadata["plain_values.integer"] == IntMetadataValue(2)
    assert metadata["plain_values.boolean"] == BoolMetadataValue(True)
    assert metadata["plain_values.string"] == TextMetadataValue("text")
    assert metadata["plain_values.null"] == NullMetadataValue()

    table = metadata["table_metadata.table_meta"]
    assert isinstance(table, TableMetadataValue)
    assert [dict(record.data) for record in table.records] == [
        {"column1": "foo", "column2": 1},
        {"column1": "bar", "column2": 2},
    ]
    schema = metadata["table_schema_metadata.table_meta"]
    assert isinstance(schema, TableSchemaMetadataValue)
    for columns in (table.schema.columns, schema.schema.columns):
        first, second = columns
        assert (first.name, first.type, first.description) == ("column1", "string", "The first column")
        assert (dict(first.tags), first.constraints.unique) == ({"source": "source1"}, True)
        # Dagster knows no such constraints; they are kept as text.
        assert list(second.constraints.other) == ["min: 0", "max: 100"]

    lineage = metadata["table_column_lineage.lineage_meta"]
    assert isinstance(lineage, TableColumnLineageMetadataValue)
    deps = {
        column: [(dep.asset_key, dep.column_name) for dep in deps]
        for column, deps in lineage.column_lineage.deps_by_column.items()
    }
    assert deps == {"a": [(AssetKey("upstream"), "column1")], "b": [(AssetKey("upstream"), "column2")]}


def test_the_command_runs_the_rich_metadata(home: Path) -> None:
    code, _, stderr = run_command("rich_metadata", home)

    assert code == 0
    assert "foo materialized  url_meta http://example.com" in stderr

"""Asset keys, metadata values and results, as orchestration code uses them."""

from __future__ import annotations

import math
import pickle
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

import pytest

import standpipe_orchestrator as orchestrator
from standpipe_orchestrator import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetKey,
    DagsterAssetMetadataValue,
    FloatMetadataValue,
    IntMetadataValue,
    JsonMetadataValue,
    MarkdownMetadataValue,
    MaterializeResult,
    MetadataValue,
    NullMetadataValue,
    PathMetadataValue,
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableMetadataValue,
    TableRecord,
    TableSchema,
    TextMetadataValue,
    TimestampMetadataValue,
)
from standpipe_orchestrator.errors import InvalidMetadata
from standpipe_orchestrator.values.metadata_conversion import (
    metadata_from_history,
    metadata_from_wire,
    metadata_to_wire,
    normalise_values,
)
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.metadata import INFER, METADATA_TYPES
from standpipe_server.resources.reports import METADATA_VALUES
from tests.support import story
from tests.support.processes import REPOSITORY


def test_every_public_name_can_be_loaded() -> None:
    names = vars(orchestrator)["__all__"]
    assert sorted(names) == names
    for name in names:
        assert getattr(orchestrator, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = orchestrator.no_such_name  # type: ignore[attr-defined]


def test_a_string_is_one_part_of_a_key_whatever_it_holds() -> None:
    assert AssetKey("a/b").path == ["a/b"]
    assert AssetKey(["a", "b"]).path == ["a", "b"]
    assert AssetKey.from_user_string("a/b") == AssetKey(["a", "b"])


def test_a_keys_escaped_text_reads_back_to_the_key() -> None:
    key = AssetKey(["pre", "a/b", "c\\d"])
    assert key.to_escaped_user_string() == r"pre/a\/b/c\\d"
    assert AssetKey.from_escaped_user_string(key.to_escaped_user_string()) == key
    assert key.to_user_string() == "pre/a/b/c\\d"


def test_keys_are_hashable_and_ordered_by_their_parts() -> None:
    assert len({AssetKey("a"), AssetKey(["a"])}) == 1
    assert sorted([AssetKey("b"), AssetKey(["a", "z"]), AssetKey("a")]) == [
        AssetKey("a"),
        AssetKey(["a", "z"]),
        AssetKey("b"),
    ]
    assert AssetKey(["raw", "my-table"]).to_python_identifier() == "raw__my_table"


def test_a_key_of_something_else_than_strings_is_refused() -> None:
    with pytest.raises(TypeError, match=r"AssetKey was given \[1\]; expected a string"):
        AssetKey([1])  # type: ignore[list-item]


def test_the_nine_shapes_of_the_seed_page_become_values() -> None:
    schema: JsonValue = [
        {"name": "column1", "type": "string", "description": "The first", "tags": {"source": "s1"},
         "constraints": {"unique": True}},
        {"name": "column2", "type": "int", "constraints": {"min": 0, "max": 100}},
    ]  # fmt: skip
    values = metadata_from_wire(
        {
            "url": {"type": "url", "raw_value": "http://example.com"},
            "path": {"type": "path", "raw_value": "/path/to/file.txt"},
            "notebook": {"type": "notebook", "raw_value": "/path/to/notebook.ipynb"},
            "json": {"type": "json", "raw_value": ["item1", "item2"]},
            "md": {"type": "md", "raw_value": "# Header"},
            "table": {"type": "table", "raw_value": {"schema": schema, "records": [{"column1": "foo", "column2": 1}]}},
            "table_schema": {"type": "table_schema", "raw_value": schema},
            "lineage": {
                "type": "table_column_lineage",
                "raw_value": {"table_column_lineage": {"a": [{"asset_key": "up/stream", "column": "column1"}]}},
            },
            "timestamp": {"type": "timestamp", "raw_value": 1234567890},
        }
    )
    columns = [
        TableColumn("column1", "string", "The first", TableColumnConstraints(unique=True), {"source": "s1"}),
        TableColumn("column2", "int", None, TableColumnConstraints(other=["min: 0", "max: 100"])),
    ]
    assert values == {
        "url": MetadataValue.url("http://example.com"),
        "path": MetadataValue.path("/path/to/file.txt"),
        "notebook": MetadataValue.notebook("/path/to/notebook.ipynb"),
        "json": MetadataValue.json(["item1", "item2"]),
        "md": MetadataValue.md("# Header"),
        "table": MetadataValue.table([TableRecord({"column1": "foo", "column2": 1})], TableSchema(columns)),
        "table_schema": MetadataValue.table_schema(TableSchema(columns)),
        "lineage": MetadataValue.column_lineage(
            TableColumnLineage({"a": [TableColumnDep(AssetKey(["up", "stream"]), "column1")]})
        ),
        "timestamp": MetadataValue.timestamp(1234567890.0),
    }


@pytest.mark.parametrize(
    "value",
    [
        MetadataValue.text("x"),
        MetadataValue.text(None),
        MetadataValue.url("http://x"),
        MetadataValue.path("/x"),
        MetadataValue.notebook("/x.ipynb"),
        MetadataValue.json({"a": [1, None]}),
        MetadataValue.json(5),
        MetadataValue.md("**x**"),
        MetadataValue.float(1.5),
        MetadataValue.float(math.inf),
        MetadataValue.float(None),
        MetadataValue.int(2**70),
        MetadataValue.bool(False),
        MetadataValue.null(),
        MetadataValue.timestamp(12.0),
        MetadataValue.dagster_run("run"),
        MetadataValue.asset(AssetKey(["a", "b/c"])),
        MetadataValue.table([TableRecord({"n": 1, "t": "x"})]),
        MetadataValue.table_schema(TableSchema([TableColumn("n", "int", tags={"k": "v"})])),
        MetadataValue.column_lineage(TableColumnLineage({"c": [TableColumnDep("up", "d")]})),
    ],
    ids=repr,
)
def test_what_a_value_writes_it_reads_back(value: MetadataValue) -> None:
    assert metadata_from_wire(metadata_to_wire({"it": value})) == {"it": value}
    assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  what was just pickled


def test_a_value_is_its_plain_value_and_its_field() -> None:
    assert MetadataValue.text("x").text == MetadataValue.text("x").value == "x"
    assert MetadataValue.md(None).md_str == ""
    assert JsonMetadataValue([1]).data == JsonMetadataValue([1]).value == [1]
    assert DagsterAssetMetadataValue("a").value == AssetKey("a")
    assert repr(IntMetadataValue(3)) == "IntMetadataValue(value=3)"
    table = TableMetadataValue([TableRecord({"a": 1, "b": "x"})])
    assert table.value is table
    assert [(column.name, column.type) for column in table.schema.columns] == [("a", "int"), ("b", "string")]


def test_a_reported_entry_in_a_wrong_shape_is_kept_as_json_beside_its_siblings() -> None:
    values = metadata_from_wire({"bad": {"type": "int", "raw_value": "many"}, "good": 1})
    assert values == {"bad": JsonMetadataValue("many"), "good": IntMetadataValue(1)}


def test_a_type_that_only_a_newer_server_knows_is_json_with_a_problem() -> None:
    values = metadata_from_history({"new": {"type": "video", "raw_value": [1]}, "n": {"type": "int", "raw_value": 1}})
    new = values["new"]
    assert isinstance(new, JsonMetadataValue)
    assert (new.value, "'video'" in str(new.problem)) == ([1], True)
    assert values["n"] == IntMetadataValue(1)


def test_plain_python_values_become_the_values_they_obviously_are() -> None:
    values = normalise_values(
        {
            "text": "x",
            "int": 1,
            "bool": True,
            "float": math.nan,
            "none": None,
            "json": [1],
            "path": PurePosixPath("/a"),
            "asset": AssetKey("a"),
            "time": datetime(2020, 1, 1, tzinfo=UTC),
            "made": MarkdownMetadataValue("x"),
        }
    )
    assert [type(value) for value in values.values()] == [
        TextMetadataValue,
        IntMetadataValue,
        type(MetadataValue.bool(True)),
        FloatMetadataValue,
        NullMetadataValue,
        JsonMetadataValue,
        PathMetadataValue,
        DagsterAssetMetadataValue,
        TimestampMetadataValue,
        MarkdownMetadataValue,
    ]


def test_a_python_value_without_a_type_is_refused_by_name() -> None:
    with pytest.raises(InvalidMetadata, match=r"Could not resolve the metadata value for 'x' to a known type"):
        MaterializeResult(metadata={"x": object()})
    with pytest.raises(InvalidMetadata, match="not JSON serializable"):
        MetadataValue.json({"x": object()})


@pytest.mark.parametrize(
    "make",
    [
        lambda: MetadataValue.text(1),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: MetadataValue.url(b"x"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: MetadataValue.path(b"x"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: MetadataValue.notebook(1),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: MetadataValue.md([]),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: MetadataValue.float("1.5"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: MetadataValue.int(1.5),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: MetadataValue.bool(1),  # type: ignore[arg-type]
        lambda: MetadataValue.timestamp("2020-01-01"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        lambda: MetadataValue.dagster_run(None),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    ],
)
def test_a_value_of_another_kind_than_its_type_is_refused(make: Callable[[], MetadataValue]) -> None:
    with pytest.raises(InvalidMetadata, match=r"MetadataValue was given .*; expected (str|float|int|bool)"):
        make()


def test_nothing_is_the_empty_text_where_upstream_has_it_so() -> None:
    for value in (MetadataValue.text(None), MetadataValue.url(None), MetadataValue.notebook(None)):
        assert value.value == ""
    reported = metadata_from_wire({"text": {"type": "text", "raw_value": None}})
    assert reported["text"].value == ""


def test_tables_take_none_for_what_is_not_said_and_lineage_has_one_order() -> None:
    column = TableColumn("a", "int", None, None, None)
    assert column == TableColumn("a", "int")
    assert TableSchema([column], None) == TableSchema([column])
    deps = [TableColumnDep("b", "x"), TableColumnDep("a", "y"), TableColumnDep("a", "x")]
    lineage = TableColumnLineage({"c": deps})
    assert lineage == TableColumnLineage({"c": deps[::-1]})
    assert [(dep.asset_key.to_user_string(), dep.column_name) for dep in lineage.deps_by_column["c"]] == [
        ("a", "x"),
        ("a", "y"),
        ("b", "x"),
    ]


@pytest.mark.parametrize("wrong", [{"path": ["a"]}, {"a"}, None, 1, ["a", 1]])
def test_a_key_is_made_of_strings_in_order(wrong: Any) -> None:
    with pytest.raises(TypeError, match="expected a string or a sequence of strings"):
        AssetKey(wrong)


def test_a_timestamp_needs_a_zone() -> None:
    assert TimestampMetadataValue(datetime(2020, 1, 1, tzinfo=UTC)).value == 1577836800.0
    with pytest.raises(InvalidMetadata, match="no time zone"):
        TimestampMetadataValue(datetime(2020, 1, 1))  # noqa: DTZ001  that is the point


def test_results_are_frozen_values_that_compare_and_print_as_upstreams() -> None:
    result = MaterializeResult(asset_key="a", metadata={"n": 1}, data_version="v1")
    assert result == MaterializeResult(asset_key=AssetKey("a"), metadata={"n": IntMetadataValue(1)}, data_version="v1")
    assert result != MaterializeResult(asset_key="b")
    assert result == MaterializeResult("a", {"n": 1}, None, "v1")
    assert result.data_version is not None
    assert result.data_version.value == "v1"
    assert repr(MaterializeResult(asset_key="a")) == (
        "MaterializeResult(asset_key=AssetKey(['a']), metadata={}, check_results=[], data_version=None, tags=None)"
    )
    assert pickle.loads(pickle.dumps(result)) == result  # noqa: S301  what was just pickled
    with pytest.raises(AttributeError, match="frozen"):
        result.asset_key = AssetKey("c")


def test_a_check_result_wants_a_real_bool() -> None:
    check = AssetCheckResult(passed=False, check_name="c", severity=AssetCheckSeverity.WARN)
    assert check.severity is AssetCheckSeverity.WARN
    assert check.metadata == {}
    with pytest.raises(TypeError, match="expected a bool"):
        AssetCheckResult(passed=1)  # type: ignore[arg-type]


_DRAWN_AS_TEXT = {"text", "null"}


def test_a_metadata_type_is_known_to_everyone_who_shows_it() -> None:
    types = METADATA_TYPES - {INFER}
    assert set(METADATA_VALUES) == types
    shown = {entry["type"]: {"entry": entry} for entry in story.METADATA.values() if isinstance(entry, dict)}
    assert set(shown) == types, "tests/support/story.py shows every type to the browser's tests"
    read = {kind: metadata_from_wire(metadata)["entry"].metadata_type for kind, metadata in shown.items()}
    # The last of a type may be one that does not fit it, and is kept as JSON.
    assert {kind for kind, made in read.items() if made != kind} <= {"int"}
    pages = (REPOSITORY / "server/pages/src/metadata/value.tsx").read_text(encoding="utf-8")
    drawn = set(re.findall(r'case "(\w+)"', pages[pages.index("function Plain(") : pages.index("default:")]))
    assert drawn == types - _DRAWN_AS_TEXT

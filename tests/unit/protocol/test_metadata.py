"""Metadata: every shape in which a type is written comes out as one normal form, and a wrong one costs only itself."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standpipe_protocol.json_text import JsonValue, encode_json
from standpipe_protocol.metadata import METADATA_TYPES, float_from_raw, normalise_entry, normalise_metadata

values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=6,
)


def normal(kind: str, raw: JsonValue) -> JsonValue:
    entry = normalise_entry({"type": kind, "raw_value": raw})
    assert entry.problem is None, entry.problem
    assert entry.type == kind
    return entry.raw_value


def column(name: str, kind: str, **more: JsonValue) -> dict[str, JsonValue]:
    """A column in normal form."""
    constraints: JsonValue = {"nullable": True, "unique": False, "other": []}
    return {"name": name, "type": kind, "description": None, "tags": {}, "constraints": constraints, **more}


@given(st.sampled_from(sorted(METADATA_TYPES)), values)
def test_what_was_made_normal_stays_as_it_is(kind: str, raw: JsonValue) -> None:
    once = normalise_entry({"type": kind, "raw_value": raw})
    again = normalise_entry({"type": once.type, "raw_value": once.raw_value})
    if once.problem is None and once.type != "null":
        assert again == once


@given(values)
def test_no_value_is_refused(entry: JsonValue) -> None:
    made = normalise_entry(entry)
    assert made.type in METADATA_TYPES
    assert encode_json(made.to_wire())


@pytest.mark.parametrize(
    ("value", "kind"),
    [("a", "text"), (1, "int"), (1.5, "float"), (True, "bool"), (None, "null"), ([1], "json")],
)
def test_the_type_of_a_plain_value_is_inferred(value: JsonValue, kind: str) -> None:
    assert normalise_entry(value).to_wire() == {"type": kind, "raw_value": value}
    assert normalise_entry({"raw_value": value, "type": "__infer__"}).to_wire() == {"type": kind, "raw_value": value}


def test_the_seeds_table_is_understood() -> None:
    raw: JsonValue = {
        "records": [{"id": 1, "name": "Alice"}],
        "schema": [{"name": "id", "type": "int"}, {"name": "name", "type": "str", "constraints": {"nullable": False}}],
    }
    found = normal("table", raw)
    name = column("name", "str", constraints={"nullable": False, "unique": False, "other": []})
    assert found == {
        "records": [{"id": 1, "name": "Alice"}],
        "schema": {"columns": [column("id", "int"), name], "constraints": {"other": []}},
    }


@pytest.mark.parametrize("wrapped", [True, False])
def test_a_table_schema_may_be_a_list_or_an_object(wrapped: bool) -> None:
    columns: JsonValue = [{"name": "age", "type": "int", "constraints": {"min": 0, "max": 130}, "tags": {"pii": True}}]
    found = normal("table_schema", {"columns": columns} if wrapped else columns)
    age = column(
        "age",
        "int",
        tags={"pii": "true"},
        constraints={"nullable": True, "unique": False, "other": ["min: 0", "max: 130"]},
    )
    assert found == {"columns": [age], "constraints": {"other": []}}


@pytest.mark.parametrize(
    "raw",
    [
        {"table_column_lineage": {"a": [{"asset_key": "pre/up", "column": "x"}]}},
        {"deps_by_column": {"a": [{"asset_key": ["pre", "up"], "column_name": "x"}]}},
    ],
    ids=["seed", "upstream"],
)
def test_column_lineage_is_understood_in_both_shapes(raw: JsonValue) -> None:
    expected = {"deps_by_column": {"a": [{"asset_key": ["pre", "up"], "column_name": "x"}]}}
    assert normal("table_column_lineage", raw) == expected


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("url", "https://x.example", "https://x.example"),
        ("path", None, ""),
        ("md", None, ""),
        ("text", None, ""),
        ("url", None, ""),
        ("notebook", None, ""),
        ("json", [1], [1]),
        ("json", None, None),
        ("float", 1, 1.0),
        ("float", "NaN", "NaN"),
        ("timestamp", 1700000000, 1700000000.0),
        ("asset", "pre/a", ["pre", "a"]),
        ("asset", ["pre", "a/b"], ["pre", "a/b"]),
        ("null", "anything", None),
        ("int", 10**600, 10**600),
    ],
)
def test_a_simple_type_takes_what_upstream_takes(kind: str, raw: JsonValue, expected: JsonValue) -> None:
    assert normal(kind, raw) == expected


@pytest.mark.parametrize(
    ("kind", "raw"),
    [
        ("text", 1),
        ("float", "1.5"),
        ("float", 10**400),
        ("float", True),
        ("int", 1.5),
        ("bool", 1),
        ("timestamp", "2026-01-01"),
        ("timestamp", None),
        ("asset", []),
        ("asset", ""),
        ("table", {"records": [{"a": [1]}], "schema": []}),
        ("table", {"records": []}),
        ("table_schema", [{"type": "int"}]),
        ("table_schema", "id int"),
        ("table_column_lineage", {"deps_by_column": {"a": [{"asset_key": "up"}]}}),
        ("table_column_lineage", []),
        ("colour", "red"),
        (7, 1),
    ],
)
def test_a_wrong_shape_is_kept_as_json_and_marked(kind: JsonValue, raw: JsonValue) -> None:
    entry = normalise_entry({"type": kind, "raw_value": raw})
    assert (entry.type, entry.raw_value) == ("json", raw)
    assert entry.problem


def test_a_wrong_entry_leaves_its_siblings_untouched() -> None:
    found = normalise_metadata({"good": 1, "bad": {"type": "int", "raw_value": "x"}, "odd": {"raw_value": 1}})
    assert [(name, entry.type, entry.problem is None) for name, entry in found.items()] == [
        ("good", "int", True),
        ("bad", "json", False),
        ("odd", "json", False),
    ]


def test_no_metadata_is_no_entries() -> None:
    assert normalise_metadata(None) == {}


@pytest.mark.parametrize("where", ["type", "constraint", "tag", "other"])
def test_an_integer_python_would_not_print_does_no_harm(where: str) -> None:
    huge = pow(7, 20_000)
    entries: dict[str, JsonValue] = {
        "type": {"type": huge, "raw_value": 1},
        "constraint": {"type": "table_schema", "raw_value": [{"name": "a", "constraints": {"max": huge}}]},
        "tag": {"type": "table_schema", "raw_value": [{"name": "a", "tags": {"max": huge}}]},
        "other": {"type": "table_schema", "raw_value": {"columns": [], "constraints": {"other": [huge]}}},
    }
    assert normalise_entry(entries[where]).type in METADATA_TYPES


def test_non_finite_floats_are_read_back_from_their_names() -> None:
    assert math.isnan(float_from_raw("NaN"))
    assert [float_from_raw("Infinity"), float_from_raw("-Infinity"), float_from_raw(2)] == [math.inf, -math.inf, 2.0]

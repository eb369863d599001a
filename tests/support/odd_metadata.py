"""Metadata of every type with values of every shape, most of which do not fit."""

from __future__ import annotations

from typing import Any

from standpipe_protocol.metadata import METADATA_TYPES
from tests.support.wire import Json

_COLUMN: Json = {"name": "id", "type": "int", "constraints": {"min": 0, "nullable": False}, "tags": {"n": 1}}
_PLAIN: list[Any] = [None, True, 3, 1.5, -0.0, 10**40, "text", "", "NaN", "a/b", ["a", "b/c"], [1], {"a": 1}]
_COLUMNS: list[Any] = [[_COLUMN], [{"name": 1}], [{"name": "x", "type": 1}], [{"name": "x", "description": 5}]]
_VALUES: list[Any] = [
    *_PLAIN,
    *_COLUMNS,
    {"columns": [_COLUMN], "constraints": {"other": ["x", 1]}},
    {"columns": [{"name": "x", "tags": [], "constraints": {"unique": "no"}}]},
    {"records": [{"id": 1}], "schema": [_COLUMN]},
    {"records": [{"id": 1}]},
    {"records": [{"id": [1]}], "schema": [_COLUMN]},
    {"deps_by_column": {"id": [{"asset_key": "raw/a\\/b", "column_name": "x"}]}},
    {"table_column_lineage": {"id": [{"asset_key": ["raw"], "column": "x"}]}},
    {"deps_by_column": {"id": [{"asset_key": [1], "column_name": "x"}]}},
]
ODD_METADATA: Json = {f"plain {index}": value for index, value in enumerate(_VALUES)} | {
    f"{kind} {index}": {"type": kind, "raw_value": value}
    for kind in (*sorted(METADATA_TYPES), "none", 5)
    for index, value in enumerate(_VALUES)
}

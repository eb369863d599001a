"""Metadata on its way in and out: from the wire, from plain Python values, to the wire.

What was reported never fails: an entry in a wrong shape becomes a `JsonMetadataValue`, its siblings are untouched. What
Python code gives is refused when it has no obvious type, since its author can still change it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TypeAlias, cast

from standpipe_orchestrator.errors import InvalidMetadata
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.metadata_values import (
    BoolMetadataValue,
    DagsterAssetMetadataValue,
    DagsterRunMetadataValue,
    FloatMetadataValue,
    IntMetadataValue,
    JsonMetadataValue,
    MarkdownMetadataValue,
    MetadataValue,
    NotebookMetadataValue,
    NullMetadataValue,
    PathMetadataValue,
    TableColumnLineageMetadataValue,
    TableMetadataValue,
    TableSchemaMetadataValue,
    TextMetadataValue,
    TimestampMetadataValue,
    UrlMetadataValue,
)
from standpipe_orchestrator.values.tables import (
    TableColumn,
    TableColumnConstraints,
    TableColumnDep,
    TableColumnLineage,
    TableConstraints,
    TableRecord,
    TableSchema,
)
from standpipe_protocol.json_text import JsonObject, JsonValue
from standpipe_protocol.metadata import float_from_raw, normalise_entry, normalise_metadata

RawMetadataValue: TypeAlias = object
"""What may stand in a `metadata` mapping: a MetadataValue, or a plain value that has an obvious one."""


def normalise_values(metadata: Mapping[str, RawMetadataValue] | None) -> dict[str, MetadataValue]:
    """The metadata that Python code gave, as values.

    Raises:
        InvalidMetadata: a name is not a string, or a value has no obvious metadata type.
    """
    values: dict[str, MetadataValue] = {}
    for name, value in (metadata or {}).items():
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
            raise InvalidMetadata(f"Metadata has the name {name!r}; expected a string.")
        values[name] = _value_of(name, value)
    return values


def metadata_to_wire(metadata: Mapping[str, MetadataValue]) -> JsonObject:
    return {name: value.to_wire() for name, value in metadata.items()}


def _value_of(name: str, value: object) -> MetadataValue:
    match value:
        case MetadataValue():
            return value
        case None:
            return NullMetadataValue()
        case bool():
            return BoolMetadataValue(value)
        case int():
            return IntMetadataValue(value)
        case float():
            return FloatMetadataValue(value)
        case str():
            return TextMetadataValue(value)
        case list() | dict():
            return JsonMetadataValue(cast("object", value))
        case AssetKey():
            return DagsterAssetMetadataValue(value)
        case TableSchema():
            return TableSchemaMetadataValue(value)
        case TableColumnLineage():
            return TableColumnLineageMetadataValue(value)
        case datetime():
            return TimestampMetadataValue(value)
        case os.PathLike():
            return PathMetadataValue(os.fspath(cast("os.PathLike[str]", value)))
        case _:
            raise InvalidMetadata(
                f"Could not resolve the metadata value for {name!r} to a known type. Its type was {type(value)}. "
                "Consider wrapping the value with the appropriate MetadataValue type."
            )


def metadata_from_wire(metadata: Mapping[str, JsonValue] | None) -> dict[str, MetadataValue]:
    """The metadata of a message, as values; never fails."""
    return {name: _value(one.type, one.raw_value, one.problem) for name, one in normalise_metadata(metadata).items()}


def metadata_from_history(metadata: Mapping[str, JsonValue] | None) -> dict[str, MetadataValue]:
    """The metadata of a history item, which the server gives in normal form, as values; a type that only a newer server
    knows is JSON with a problem."""
    entries = cast("Mapping[str, JsonObject]", metadata or {})
    return {
        name: _value(str(one["type"]), one["raw_value"], cast("str | None", one.get("problem")))
        for name, one in entries.items()
    }


def _value(kind: str, raw: JsonValue, problem: str | None) -> MetadataValue:
    reader = _READERS.get(kind)
    if problem is None and reader is not None:
        return reader(raw)
    return JsonMetadataValue(raw, problem=problem or normalise_entry({"type": kind, "raw_value": raw}).problem)


def wrong_shapes(metadata: Mapping[str, MetadataValue]) -> dict[str, str]:
    """Which values were reported as a type that they do not fit, and why."""
    return {
        name: value.problem
        for name, value in metadata.items()
        if isinstance(value, JsonMetadataValue) and value.problem is not None
    }


def _float_or_none(raw: JsonValue) -> FloatMetadataValue:
    return FloatMetadataValue(None if raw is None else float_from_raw(raw))


def _schema_from(raw: JsonValue) -> TableSchema:
    wire = cast("dict[str, dict[str, list[str]]]", raw)
    columns = cast("list[dict[str, object]]", wire["columns"])
    return TableSchema(
        columns=[
            TableColumn(
                name=cast("str", column["name"]),
                type=cast("str", column["type"]),
                description=cast("str | None", column["description"]),
                tags=cast("dict[str, str]", column["tags"]),
                constraints=TableColumnConstraints(**cast("dict[str, bool]", column["constraints"])),  # pyright: ignore[reportArgumentType]  `other` is a list
            )
            for column in columns
        ],
        constraints=TableConstraints(other=wire["constraints"]["other"]),
    )


def _table_from(raw: JsonValue) -> TableMetadataValue:
    wire = cast("dict[str, list[dict[str, JsonValue]]]", raw)
    schema = _schema_from(cast("JsonValue", wire["schema"]))
    return TableMetadataValue([TableRecord(record) for record in wire["records"]], schema)


def _lineage_from(raw: JsonValue) -> TableColumnLineage:
    wire = cast("dict[str, dict[str, list[dict[str, object]]]]", raw)
    return TableColumnLineage(
        deps_by_column={
            column: [
                TableColumnDep(AssetKey(cast("list[str]", dep["asset_key"])), cast("str", dep["column_name"]))
                for dep in deps
            ]
            for column, deps in wire["deps_by_column"].items()
        }
    )


_READERS: Mapping[str, Callable[[JsonValue], MetadataValue]] = {
    "text": lambda raw: TextMetadataValue(cast("str | None", raw)),
    "url": lambda raw: UrlMetadataValue(cast("str | None", raw)),
    "path": lambda raw: PathMetadataValue(cast("str", raw)),
    "notebook": lambda raw: NotebookMetadataValue(cast("str", raw)),
    "json": JsonMetadataValue,
    "md": lambda raw: MarkdownMetadataValue(cast("str", raw)),
    "float": _float_or_none,
    "int": lambda raw: IntMetadataValue(cast("int | None", raw)),
    "bool": lambda raw: BoolMetadataValue(cast("bool | None", raw)),
    "dagster_run": lambda raw: DagsterRunMetadataValue(cast("str", raw)),
    "asset": lambda raw: DagsterAssetMetadataValue(cast("list[str]", raw)),
    "null": lambda _: NullMetadataValue(),
    "table": _table_from,
    "table_schema": lambda raw: TableSchemaMetadataValue(_schema_from(raw)),
    "table_column_lineage": lambda raw: TableColumnLineageMetadataValue(_lineage_from(raw)),
    "timestamp": lambda raw: TimestampMetadataValue(float_from_raw(raw)),
}

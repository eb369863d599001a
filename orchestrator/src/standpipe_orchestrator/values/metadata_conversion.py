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
from standpipe_orchestrator.values import metadata_values, tables
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_protocol.json_text import JsonObject, JsonValue
from standpipe_protocol.metadata import float_from_raw, normalise_entry, normalise_metadata

RawMetadataValue: TypeAlias = object
"""What may stand in a `metadata` mapping: a MetadataValue, or a plain value that has an obvious one."""


def normalise_values(metadata: Mapping[str, RawMetadataValue] | None) -> dict[str, metadata_values.MetadataValue]:
    """The metadata that Python code gave, as values.

    Raises:
        InvalidMetadata: a name is not a string, or a value has no obvious metadata type.
    """
    values: dict[str, metadata_values.MetadataValue] = {}
    for name, value in (metadata or {}).items():
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
            raise InvalidMetadata(f"Metadata has the name {name!r}; expected a string.")
        values[name] = _value_of(name, value)
    return values


def metadata_to_wire(metadata: Mapping[str, metadata_values.MetadataValue]) -> JsonObject:
    return {name: value.to_wire() for name, value in metadata.items()}


def _value_of(name: str, value: object) -> metadata_values.MetadataValue:
    match value:
        case metadata_values.MetadataValue():
            return value
        case None:
            return metadata_values.NullMetadataValue()
        case bool():
            return metadata_values.BoolMetadataValue(value)
        case int():
            return metadata_values.IntMetadataValue(value)
        case float():
            return metadata_values.FloatMetadataValue(value)
        case str():
            return metadata_values.TextMetadataValue(value)
        case list() | dict():
            return metadata_values.JsonMetadataValue(cast("object", value))
        case AssetKey():
            return metadata_values.DagsterAssetMetadataValue(value)
        case tables.TableSchema():
            return metadata_values.TableSchemaMetadataValue(value)
        case tables.TableColumnLineage():
            return metadata_values.TableColumnLineageMetadataValue(value)
        case datetime():
            return metadata_values.TimestampMetadataValue(value)
        case os.PathLike():
            return metadata_values.PathMetadataValue(os.fspath(cast("os.PathLike[str]", value)))
        case _:
            raise InvalidMetadata(
                f"Could not resolve the metadata value for {name!r} to a known type. Its type was {type(value)}. "
                "Consider wrapping the value with the appropriate MetadataValue type."
            )


def metadata_from_wire(metadata: Mapping[str, JsonValue] | None) -> dict[str, metadata_values.MetadataValue]:
    """The metadata of a message, as values; never fails."""
    return {name: _value(one.type, one.raw_value, one.problem) for name, one in normalise_metadata(metadata).items()}


def metadata_from_history(metadata: Mapping[str, JsonValue] | None) -> dict[str, metadata_values.MetadataValue]:
    """The metadata of a history item, which the server gives in normal form, as values; a type that only a newer server
    knows is JSON with a problem."""
    entries = cast("Mapping[str, JsonObject]", metadata or {})
    return {
        name: _value(str(one["type"]), one["raw_value"], cast("str | None", one.get("problem")))
        for name, one in entries.items()
    }


def _value(kind: str, raw: JsonValue, problem: str | None) -> metadata_values.MetadataValue:
    reader = _READERS.get(kind)
    if problem is None and reader is not None:
        return reader(raw)
    return metadata_values.JsonMetadataValue(
        raw, problem=problem or normalise_entry({"type": kind, "raw_value": raw}).problem
    )


def wrong_shapes(metadata: Mapping[str, metadata_values.MetadataValue]) -> dict[str, str]:
    """Which values were reported as a type that they do not fit, and why."""
    return {
        name: value.problem
        for name, value in metadata.items()
        if isinstance(value, metadata_values.JsonMetadataValue) and value.problem is not None
    }


def _float_or_none(raw: JsonValue) -> metadata_values.FloatMetadataValue:
    return metadata_values.FloatMetadataValue(None if raw is None else float_from_raw(raw))


def _schema_from(raw: JsonValue) -> tables.TableSchema:
    wire = cast("dict[str, dict[str, list[str]]]", raw)
    columns = cast("list[dict[str, object]]", wire["columns"])
    return tables.TableSchema(
        columns=[
            tables.TableColumn(
                name=cast("str", column["name"]),
                type=cast("str", column["type"]),
                description=cast("str | None", column["description"]),
                tags=cast("dict[str, str]", column["tags"]),
                constraints=tables.TableColumnConstraints(**cast("dict[str, bool]", column["constraints"])),  # pyright: ignore[reportArgumentType]  `other` is a list
            )
            for column in columns
        ],
        constraints=tables.TableConstraints(other=wire["constraints"]["other"]),
    )


def _table_from(raw: JsonValue) -> metadata_values.TableMetadataValue:
    wire = cast("dict[str, list[dict[str, JsonValue]]]", raw)
    schema = _schema_from(cast("JsonValue", wire["schema"]))
    return metadata_values.TableMetadataValue([tables.TableRecord(record) for record in wire["records"]], schema)


def _lineage_from(raw: JsonValue) -> tables.TableColumnLineage:
    wire = cast("dict[str, dict[str, list[dict[str, object]]]]", raw)
    return tables.TableColumnLineage(
        deps_by_column={
            column: [
                tables.TableColumnDep(AssetKey(cast("list[str]", dep["asset_key"])), cast("str", dep["column_name"]))
                for dep in deps
            ]
            for column, deps in wire["deps_by_column"].items()
        }
    )


_READERS: Mapping[str, Callable[[JsonValue], metadata_values.MetadataValue]] = {
    "text": lambda raw: metadata_values.TextMetadataValue(cast("str | None", raw)),
    "url": lambda raw: metadata_values.UrlMetadataValue(cast("str | None", raw)),
    "path": lambda raw: metadata_values.PathMetadataValue(cast("str", raw)),
    "notebook": lambda raw: metadata_values.NotebookMetadataValue(cast("str", raw)),
    "json": metadata_values.JsonMetadataValue,
    "md": lambda raw: metadata_values.MarkdownMetadataValue(cast("str", raw)),
    "float": _float_or_none,
    "int": lambda raw: metadata_values.IntMetadataValue(cast("int | None", raw)),
    "bool": lambda raw: metadata_values.BoolMetadataValue(cast("bool | None", raw)),
    "dagster_run": lambda raw: metadata_values.DagsterRunMetadataValue(cast("str", raw)),
    "asset": lambda raw: metadata_values.DagsterAssetMetadataValue(cast("list[str]", raw)),
    "null": lambda _: metadata_values.NullMetadataValue(),
    "table": _table_from,
    "table_schema": lambda raw: metadata_values.TableSchemaMetadataValue(_schema_from(raw)),
    "table_column_lineage": lambda raw: metadata_values.TableColumnLineageMetadataValue(_lineage_from(raw)),
    "timestamp": lambda raw: metadata_values.TimestampMetadataValue(float_from_raw(raw)),
}

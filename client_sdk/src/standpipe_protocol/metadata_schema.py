"""The normal form of metadata as JSON Schema. Not imported at run time.

Metadata is normalised by functions, not described by dataclasses, so its shapes are written out here; a test checks
that whatever `normalise_entry` gives fits them.
"""

from __future__ import annotations

from typing import TypeAlias

from standpipe_protocol.json_text import NON_FINITE, JsonValue

Schema: TypeAlias = "dict[str, JsonValue]"

_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_NAMED: Schema = {"enum": [*NON_FINITE], "description": "A float that JSON has no number for."}
_CONSTRAINT_TEXTS: Schema = {"type": "array", "items": _TEXT}
_COLUMN: Schema = {
    "type": "object",
    "required": ["name", "type", "description", "tags", "constraints"],
    "properties": {
        "name": _TEXT,
        "type": _TEXT,
        "description": _TEXT_OR_NULL,
        "tags": {"type": "object", "additionalProperties": _TEXT},
        "constraints": {
            "type": "object",
            "required": ["nullable", "unique", "other"],
            "properties": {
                "nullable": {"type": "boolean"},
                "unique": {"type": "boolean"},
                "other": _CONSTRAINT_TEXTS,
            },
        },
    },
}
_TABLE_SCHEMA: Schema = {
    "type": "object",
    "required": ["columns", "constraints"],
    "properties": {
        "columns": {"type": "array", "items": _COLUMN},
        "constraints": {"type": "object", "required": ["other"], "properties": {"other": _CONSTRAINT_TEXTS}},
    },
}
_FLAT: JsonValue = ["string", "number", "boolean", "null"]
_KEY_PARTS: Schema = {"type": "array", "items": _TEXT}

RAW_VALUES: dict[str, Schema] = {
    "text": _TEXT,
    "url": _TEXT,
    "path": _TEXT,
    "notebook": _TEXT,
    "json": {},
    "md": _TEXT,
    "float": {"anyOf": [{"type": ["number", "null"]}, _NAMED]},
    "int": {"type": ["integer", "boolean", "null"]},
    "bool": {"type": ["boolean", "null"]},
    "dagster_run": _TEXT,
    "asset": {**_KEY_PARTS, "minItems": 1, "description": "The parts of the asset's key."},
    "null": {"type": "null"},
    "table": {
        "type": "object",
        "required": ["records", "schema"],
        "properties": {
            "records": {
                "type": "array",
                "items": {"type": "object", "additionalProperties": {"type": _FLAT}},
            },
            "schema": _TABLE_SCHEMA,
        },
    },
    "table_schema": _TABLE_SCHEMA,
    "table_column_lineage": {
        "type": "object",
        "required": ["deps_by_column"],
        "properties": {
            "deps_by_column": {
                "type": "object",
                "additionalProperties": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["asset_key", "column_name"],
                        "properties": {"asset_key": _KEY_PARTS, "column_name": _TEXT},
                    },
                },
            }
        },
    },
    "timestamp": {
        "anyOf": [{"type": "number"}, _NAMED],
        "description": "Seconds since the epoch, UTC.",
    },
}
"""The shape of `raw_value` by type. A value of type `json` is any JSON."""


def metadata_schema() -> Schema:
    """One entry in normal form."""
    kinds: list[JsonValue] = [
        {"title": kind, "properties": {"type": {"const": kind}, "raw_value": raw}} for kind, raw in RAW_VALUES.items()
    ]
    return {
        "description": "What comes out of history. What may be sent is wider: docs/protocol.md lists the shapes.",
        "type": "object",
        "required": ["type", "raw_value"],
        "properties": {
            "type": {"enum": [*RAW_VALUES]},
            "problem": {"type": "string", "description": "Why the entry was kept as JSON and not as what it said."},
        },
        "oneOf": kinds,
    }

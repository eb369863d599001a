"""Metadata: the types of Dagster Pipes, and one normal form for the shapes in which they are written.

`normalise_metadata` never fails: an entry in a wrong shape becomes JSON with a problem, its siblings are untouched.
Accepted are Dagster's shapes and those of its documentation (`table_schema` as a bare list, `table_column_lineage`
with `column`, constraints `min` and `max`); the result is Dagster's real shape.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast

from standpipe_protocol.json_text import NON_FINITE, JsonValue, encode_json, json_kind
from standpipe_protocol.reports import parse_asset_key

MetadataType: TypeAlias = Literal[
    "__infer__",
    "text",
    "url",
    "path",
    "notebook",
    "json",
    "md",
    "float",
    "int",
    "bool",
    "dagster_run",
    "asset",
    "null",
    "table",
    "table_schema",
    "table_column_lineage",
    "timestamp",
]
METADATA_TYPES: frozenset[str] = frozenset(MetadataType.__args__)
INFER = "__infer__"


class _WrongShape(ValueError):
    """The raw value does not fit its type; the text says what was expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MetadataEntry:
    """One metadata entry in normal form. `raw_value` is JSON (a non-finite float is its name as a string)."""

    type: str
    raw_value: JsonValue
    problem: str | None = None
    """Why the entry is JSON instead of its own type."""

    def to_wire(self) -> dict[str, JsonValue]:
        wire: dict[str, JsonValue] = {"type": self.type, "raw_value": self.raw_value}
        if self.problem is not None:
            wire["problem"] = self.problem
        return wire


def normalise_metadata(metadata: Mapping[str, JsonValue] | None) -> dict[str, MetadataEntry]:
    """The normal form of a message's metadata, in its order."""
    return {name: normalise_entry(entry) for name, entry in (metadata or {}).items()}


def normal_form(metadata: JsonValue) -> dict[str, dict[str, JsonValue]]:
    """The same as JSON; what is no object has no entries."""
    entries = normalise_metadata(metadata if isinstance(metadata, dict) else None)
    return {name: entry.to_wire() for name, entry in entries.items()}


def normalise_entry(entry: JsonValue) -> MetadataEntry:
    """The normal form of one entry: `{"raw_value": ..., "type": ...}`, or a plain value with an inferred type."""
    if isinstance(entry, dict):
        if "type" not in entry or "raw_value" not in entry:
            problem = "expected an object with `type` and `raw_value`"
            return MetadataEntry(type="json", raw_value=entry, problem=problem)
        kind, raw = entry["type"], entry["raw_value"]
    else:
        kind, raw = INFER, entry
    if not isinstance(kind, str) or kind not in METADATA_TYPES:
        known = ", ".join(sorted(METADATA_TYPES))
        return MetadataEntry(type="json", raw_value=raw, problem=f"type is {json_kind(kind)}, not one of {known}")
    if kind == INFER:
        return _inferred(raw)
    try:
        return MetadataEntry(type=kind, raw_value=_NORMALISERS[kind](raw))
    except _WrongShape as error:
        return MetadataEntry(type="json", raw_value=raw, problem=f"not a `{kind}`: {error}")


def float_from_raw(raw_value: JsonValue) -> float:
    """Reads a float metadata value back, non-finite names included."""
    if isinstance(raw_value, str):
        return NON_FINITE[raw_value]
    return float(cast("float", raw_value))


def float_to_raw(value: float) -> JsonValue:
    """A float as JSON: one that is not finite by its name."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")


def _inferred(raw: JsonValue) -> MetadataEntry:
    match raw:
        case None:
            return MetadataEntry(type="null", raw_value=None)
        case bool():
            return MetadataEntry(type="bool", raw_value=raw)
        case int():
            return MetadataEntry(type="int", raw_value=raw)
        case float():
            return MetadataEntry(type="float", raw_value=_float(raw))
        case str():
            return MetadataEntry(type="text", raw_value=raw)
        case _:
            return MetadataEntry(type="json", raw_value=raw)


def _is(
    *types: type, expected: str, none: JsonValue | None = None, allow_none: bool = False
) -> Callable[[JsonValue], JsonValue]:
    def check(raw: JsonValue) -> JsonValue:
        if raw is None and allow_none:
            return none
        if not isinstance(raw, types):
            raise _WrongShape(f"expected {expected}")
        return raw

    return check


def _float(raw: JsonValue) -> JsonValue:
    if raw is None or (isinstance(raw, str) and raw in NON_FINITE):
        return raw
    # Dagster refuses a whole number here; JavaScript and curl cannot write 1.0 otherwise than 1.
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise _WrongShape("expected a number")
    try:
        value = float(raw)
    except OverflowError:
        raise _WrongShape("expected a number that fits a 64-bit float") from None
    return float_to_raw(value)


def _integer(raw: JsonValue) -> JsonValue:
    if raw is not None and not isinstance(raw, int):
        raise _WrongShape("expected an integer")
    return raw


def _timestamp(raw: JsonValue) -> JsonValue:
    if isinstance(raw, str) and raw in NON_FINITE:
        return raw
    if isinstance(raw, bool) or not isinstance(raw, (int, float)):
        raise _WrongShape("expected seconds since the epoch as a number")
    return _float(raw)


def _asset(raw: JsonValue) -> JsonValue:
    if isinstance(raw, list) and raw and all(isinstance(part, str) for part in raw):
        return raw
    if not isinstance(raw, str) or not raw:
        raise _WrongShape("expected an asset key")
    return cast("JsonValue", raw.split("/"))


def _text(value: JsonValue) -> str:
    """What a constraint or tag says, as text: a string as it is, anything else as JSON."""
    return value if isinstance(value, str) else encode_json(value).decode("ascii")


def _column(raw: JsonValue) -> JsonValue:
    if not isinstance(raw, dict) or not isinstance(raw.get("name"), str):
        raise _WrongShape('expected columns as objects with "name" and "type"')
    kind, tags = raw.get("type", "string"), raw.get("tags")
    if not isinstance(kind, str):
        raise _WrongShape(f'expected a string as "type" of column {raw["name"]!r}')
    description = raw.get("description")
    if description is not None and not isinstance(description, str):
        raise _WrongShape(f'expected a string as "description" of column {raw["name"]!r}')
    if tags is not None and not isinstance(tags, dict):
        raise _WrongShape(f'expected an object as "tags" of column {raw["name"]!r}')
    return {
        "name": raw["name"],
        "type": kind,
        "description": description,
        "tags": {key: _text(value) for key, value in (tags or {}).items()},
        "constraints": _constraints(raw.get("constraints"), column=str(raw["name"])),
    }


def _constraints(raw: JsonValue, *, column: str) -> JsonValue:
    """`nullable`, `unique` and `other`; a constraint with another name (`min`, `max`) becomes a text in `other`."""
    if raw is None:
        raw = {}
    if not isinstance(raw, dict):
        raise _WrongShape(f'expected an object as "constraints" of column {column!r}')
    nullable, unique, texts = raw.get("nullable", True), raw.get("unique", False), raw.get("other")
    if not isinstance(nullable, bool) or not isinstance(unique, bool):
        raise _WrongShape(f'expected true or false for "nullable" and "unique" of column {column!r}')
    if texts is not None and not isinstance(texts, list):
        raise _WrongShape(f'expected a list as "other" constraints of column {column!r}')
    other: list[JsonValue] = [_text(text) for text in texts or []]
    other += [f"{name}: {_text(value)}" for name, value in raw.items() if name not in ("nullable", "unique", "other")]
    return {"nullable": nullable, "unique": unique, "other": other}


def _schema(raw: JsonValue) -> JsonValue:
    columns = raw.get("columns") if isinstance(raw, dict) else raw
    if not isinstance(columns, list):
        raise _WrongShape('expected {"columns": [...]} or a list of columns')
    constraints = raw.get("constraints") if isinstance(raw, dict) else None
    texts = constraints.get("other") if isinstance(constraints, dict) else None
    other: JsonValue = [_text(text) for text in texts] if isinstance(texts, list) else []
    return {"columns": [_column(column) for column in columns], "constraints": {"other": other}}


def _table(raw: JsonValue) -> JsonValue:
    if not isinstance(raw, dict) or not isinstance(raw.get("records"), list):
        raise _WrongShape('expected {"records": [...], "schema": [...]}')
    if "schema" not in raw:
        raise _WrongShape('expected a "schema" beside "records"')
    records = cast("list[JsonValue]", raw["records"])
    for record in records:
        flat = isinstance(record, dict) and not any(isinstance(value, (dict, list)) for value in record.values())
        if not flat:
            raise _WrongShape("expected records as flat objects")
    return {"records": records, "schema": _schema(raw["schema"])}


def _lineage(raw: JsonValue) -> JsonValue:
    columns = raw.get("deps_by_column", raw.get("table_column_lineage")) if isinstance(raw, dict) else None
    if not isinstance(columns, dict):
        raise _WrongShape('expected {"deps_by_column": {column: [{"asset_key", "column_name"}]}}')
    deps_by_column: dict[str, JsonValue] = {}
    for column, deps in columns.items():
        if not isinstance(deps, list):
            raise _WrongShape(f"expected a list of upstream columns for column {column!r}")
        deps_by_column[column] = [_dependency(dep, column=column) for dep in deps]
    return {"deps_by_column": deps_by_column}


def _dependency(raw: JsonValue, *, column: str) -> JsonValue:
    if isinstance(raw, dict):
        key, name = raw.get("asset_key"), raw.get("column_name", raw.get("column"))
        if isinstance(key, str):
            key = cast("JsonValue", list(parse_asset_key(key)))
        if isinstance(name, str) and isinstance(key, list) and all(isinstance(part, str) for part in key):
            return {"asset_key": key, "column_name": name}
    raise _WrongShape(f'expected {{"asset_key", "column_name"}} as each upstream column of column {column!r}')


_NORMALISERS: Mapping[str, Callable[[JsonValue], JsonValue]] = {
    **dict.fromkeys(("text", "url", "path", "notebook", "md"), _is(str, expected="a string", none="", allow_none=True)),
    "json": _is(dict, list, str, expected="an object, an array or a string", allow_none=True),
    "float": _float,
    "int": _integer,
    "bool": _is(bool, expected="true or false", allow_none=True),
    "dagster_run": _is(str, expected="a string"),
    "asset": _asset,
    "null": lambda _: None,
    "table": _table,
    "table_schema": _schema,
    "table_column_lineage": _lineage,
    "timestamp": _timestamp,
}

"""JSON Schema (2020-12) of what clients send, for programs in other languages: derived from the dataclasses.

`schema_documents()` gives what `scripts/generate` writes to docs/reference/schema/. What a document accepts is what
`parse_message` and `ContextData.from_wire` accept; a test holds the two together.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from standpipe_protocol import messages
from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Expected
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.limits import Limits
from standpipe_protocol.process_end import ATTEMPT_NUMBERS, Cause

Schema: TypeAlias = "dict[str, JsonValue]"
DIALECT = "https://json-schema.org/draft/2020-12/schema"
ID = "urn:standpipe:schema:1:"

_ENVELOPE = {(messages.Log, "details")}
"""Fields of messages that ride beside `method` and `params`."""
_WITHOUT_PARAMS = {"opened", "closed"}
"""Methods whose `params` may be null or missing."""


def schema_documents() -> dict[str, Schema]:
    """Every published document by its name; the file is `<name>.schema.json`."""
    return {
        "message": _message_document(),
        "context": _document("context", "The context of an invocation", _object(ContextData, lenient=True)),
        "expected": _document("expected", "What must have been reported for `succeeded`", _object(Expected)),
        "limits": _document("limits", "The limits of a server", _object(Limits)),
    }


def _document(name: str, title: str, schema: Schema) -> Schema:
    definitions = _definitions_in(schema)
    document: Schema = {"$schema": DIALECT, "$id": ID + name, "title": title, **schema}
    if definitions:
        document["$defs"] = definitions
    return document


def _message_document() -> Schema:
    kinds: list[JsonValue] = [_message(kind) for kind in messages.MESSAGE_CLASSES]
    schema: Schema = {
        "description": "What a program reports. Members that are not named here are kept and mean nothing.",
        "type": "object",
        "required": ["method"],
        "oneOf": kinds,
    }
    return _document("message", "A message", schema)


def _message(kind: type[messages.Message]) -> Schema:
    inside: list[str] = []
    beside: list[str] = []
    for entry in fields(kind):
        (beside if (kind, entry.name) in _ENVELOPE else inside).append(entry.name)
    required: list[JsonValue] = ["method"]
    if kind.method not in _WITHOUT_PARAMS:
        required.append("params")
    properties: Schema = {
        "method": {"const": kind.method},
        "params": _params(kind, fields_inside=inside),
        "sent_at": {"type": "string", "format": "date-time", "description": "When it was sent, RFC 3339 in UTC."},
    }
    properties.update(cast("Schema", _object(kind, only=beside, lenient=True)["properties"]))
    return {
        "title": kind.method,
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "type": "object",
        "required": required,
        "properties": properties,
    }


def _params(kind: type[messages.Message], *, fields_inside: Sequence[str]) -> Schema:
    params = _object(kind, only=fields_inside, lenient=True)
    params.pop("description")
    if kind is messages.Closed:
        # Rust's SDK puts the exception's fields directly into params.
        bare: Schema = {"exception": {"type": "null"}, "message": {"type": "string"}}
        params["if"] = {"required": ["message"], "properties": bare}
        params["then"] = {"$ref": "#/$defs/PipesException"}
    if kind.method in _WITHOUT_PARAMS:
        return {"anyOf": [params, {"type": "null"}]}
    return params


_REFERENCED: Mapping[str, type] = {"PipesException": messages.PipesException, "Cause": Cause}


def _definitions_in(schema: JsonValue) -> Schema:
    """The definitions that are referred to, themselves included."""
    found: Schema = {}
    waiting = [schema]
    while waiting:
        match waiting.pop():
            case dict() as node:
                name = str(node.get("$ref", "")).removeprefix("#/$defs/")
                if name in _REFERENCED and name not in found:
                    found[name] = _object(_REFERENCED[name], lenient=True)
                    waiting.append(found[name])
                waiting += node.values()
            case list() as nodes:
                waiting += nodes
            case _:
                pass
    return dict(sorted(found.items()))


def _object(kind: type, *, only: Sequence[str] | None = None, lenient: bool = False) -> Schema:
    """The schema of a dataclass. With `lenient` a field that has a default may also be null."""
    hints = get_type_hints(kind)
    words = _field_words(kind)
    properties: Schema = {}
    required: list[JsonValue] = []
    for entry in fields(kind):
        if only is not None and entry.name not in only:
            continue
        optional = entry.default is not MISSING or entry.default_factory is not MISSING
        schema = _SPECIAL.get((kind.__name__, entry.name)) or _of(hints[entry.name])
        if lenient and optional and (kind.__name__, entry.name) not in _SPECIAL:
            schema = _nullable(schema)
        if entry.name in words:
            schema = {**schema, "description": words[entry.name]}
        properties[entry.name] = schema
        if not optional:
            required.append(entry.name)
    schema: Schema = {
        "description": inspect.cleandoc(kind.__doc__ or ""),
        "type": "object",
        "properties": properties,
    }
    if required:
        schema["required"] = required
    return schema


def _any_case(words: Sequence[str]) -> Schema:
    letters = ("".join(f"[{letter}{letter.lower()}]" for letter in word) for word in words)
    return {"type": "string", "pattern": f"^(?:{'|'.join(letters)})$", "examples": list[JsonValue](words)}


_NO_EXCEPTION: Schema = {
    "anyOf": [
        {"$ref": "#/$defs/PipesException"},
        {"type": "null"},
        {"type": "array", "maxItems": 0},
        {"type": "object", "maxProperties": 0},
    ]
}
_WHOLE: Schema = {"type": "integer", "minimum": 0}
# What a dataclass's annotation is too wide for, or reading too lenient.
_SPECIAL: Mapping[tuple[str, str], Schema] = {
    ("Log", "level"): {**_any_case(messages.LOG_LEVELS), "default": "INFO"},
    # What is no text is nothing here: programs of protocol 1.0 may have a member of their own of this name.
    ("Closed", "signal"): {"examples": ["SIGTERM"]},
    ("LogExternalStream", "stream"): {"enum": list(messages.STREAMS)},
    ("ReportAssetCheck", "severity"): {"enum": list(messages.SEVERITIES), "default": "ERROR"},
    ("Cause", "attempt"): {"anyOf": [_WHOLE, {"type": "array", "items": _WHOLE, "maxItems": ATTEMPT_NUMBERS}]},
    ("PipesException", "cause"): _NO_EXCEPTION,
    ("PipesException", "context"): _NO_EXCEPTION,
}
_PLAIN: Mapping[object, Schema] = {
    str: {"type": "string"},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    type(None): {"type": "null"},
}


def _of(hint: Any) -> Schema:
    """The schema of an annotation."""
    if hint in _PLAIN:
        return dict(_PLAIN[hint])
    if is_dataclass(hint):
        named = cast("type", hint)
        return {"$ref": f"#/$defs/{named.__name__}"} if named.__name__ in _REFERENCED else _object(named)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin in (tuple, list, Sequence):
        return {"type": "array", "items": _of(arguments[0])}
    if origin is Mapping or origin is dict:
        values = _of(arguments[1])
        return {"type": "object", "additionalProperties": values} if values else {"type": "object"}
    raise TypeError(f"There is no JSON Schema for the annotation {hint!r}.")


def _union(members: Sequence[Any]) -> Schema:
    if {bool, int, float, str} <= set(members):  # any JSON value; no other union here holds all four
        return {}
    schemas: list[JsonValue] = []
    for schema in map(_of, members):
        if schema not in schemas:
            schemas.append(schema)
    only_types = all(isinstance(schema, dict) and set(schema) == {"type"} for schema in schemas)
    if only_types:
        return {"type": [cast("Schema", schema)["type"] for schema in schemas]}
    return {"anyOf": schemas}


def _nullable(schema: Schema) -> Schema:
    match schema:
        case {"type": str() as kind}:
            return {**schema, "type": [kind, "null"]}
        case {"type": list() as kinds} if "null" in kinds:
            return schema
        case {"anyOf": list() as choices} if {"type": "null"} in choices:
            return schema
        case {}:
            return {"anyOf": [schema, {"type": "null"}]} if schema else schema
        case _:
            return {"anyOf": [schema, {"type": "null"}]}


def _field_words(kind: type) -> dict[str, str]:
    """The docstrings under a class's fields, by field."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    body = cast("ast.ClassDef", tree.body[0]).body
    words: dict[str, str] = {}
    for statement, following in itertools.pairwise(body):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str() as text)),
            ):
                words[name] = inspect.cleandoc(text)
            case _:
                pass
    return words

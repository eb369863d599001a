"""A message as its rules need it, decoded at a cost that is bounded by its length and not by what stands in it.

A message of megabytes may be millions of empty lists, each of them an object in Python. No rule looks into a large
value but at a few places, and those are read here; of the rest its kind is kept. Invariant: `parse_message` comes to
the same on the outline as on the message itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, cast

import msgspec
from msgspec import UNSET, Raw, UnsetType

from standpipe_protocol.json_scan import has_longer_integer
from standpipe_protocol.json_text import JsonValue, json_pointer
from standpipe_server.broker.values.long_integers import LongIntegers

DECODED_BYTES: Final = 64 * 1024
"""What is no longer than this is decoded as it is."""
_MOST_LINKS = 130
_SOME_DIGITS = 40
_Member = Raw | UnsetType


class _Message(msgspec.Struct):
    method: _Member = UNSET
    params: _Member = UNSET
    sent_at: _Member = UNSET
    details: _Member = UNSET
    ledger: _Member = UNSET


class _Exception(msgspec.Struct):
    message: _Member = UNSET
    name: _Member = UNSET
    stack: _Member = UNSET
    cause: _Member = UNSET
    context: _Member = UNSET


class _Params(_Exception):
    """All parameters that a method has, the fields of an exception among them."""

    exception: _Member = UNSET
    extras: _Member = UNSET
    signal: _Member = UNSET
    ledger: _Member = UNSET
    level: _Member = UNSET
    stream: _Member = UNSET
    text: _Member = UNSET
    asset_key: _Member = UNSET
    check_name: _Member = UNSET
    passed: _Member = UNSET
    severity: _Member = UNSET
    metadata: _Member = UNSET
    data_version: _Member = UNSET
    partition: _Member = UNSET
    tags: _Member = UNSET
    payload: _Member = UNSET
    outcome: _Member = UNSET
    exit_code: _Member = UNSET
    reason: _Member = UNSET


class _Process(msgspec.Struct):
    rank: _Member = UNSET
    world_size: _Member = UNSET
    host: _Member = UNSET
    pid: _Member = UNSET
    parent: _Member = UNSET
    attempt: _Member = UNSET
    rank_attempt: _Member = UNSET
    attempt_name: _Member = UNSET
    role: _Member = UNSET


class _Ledger(msgspec.Struct):
    messages: _Member = UNSET
    last_seq: _Member = UNSET
    dropped_logs: _Member = UNSET
    sha256: _Member = UNSET
    by_method: _Member = UNSET


class _Cause(msgspec.Struct):
    code: _Member = UNSET
    detail: _Member = UNSET
    signal: _Member = UNSET
    exit_code: _Member = UNSET
    peak_memory_bytes: _Member = UNSET
    node: _Member = UNSET
    attempt: _Member = UNSET


def outline(text: bytes) -> JsonValue:
    """The message, with stand-ins of the same kind for what is large and not looked into."""
    if len(text) <= DECODED_BYTES:
        return LongIntegers().decode(text)
    value = _brief(text)
    if not isinstance(value, dict):
        return value
    message = msgspec.json.decode(text, type=_Message)
    for name, raw in _members(message):
        value[name] = _ledger(raw) if name == "ledger" else _brief(raw)
    if isinstance(value.get("params"), dict):
        value["params"] = _params(cast("Raw", message.params), method=value.get("method"))
    return value


def place_of_long_integer(text: bytes, digits: int) -> str:
    """A JSON Pointer to the parameter, or member of the message, that holds an integer of more than so many digits."""
    if not text.startswith(b"{"):
        return ""
    message = msgspec.json.decode(text, type=_Message)
    params = message.params
    if params is not UNSET and bytes(memoryview(params)[:1]) == b"{":
        for name, raw in _members(msgspec.json.decode(params, type=_Params)):
            if has_longer_integer(bytes(raw), digits):
                return json_pointer("params", name)
    for name, raw in _members(message):
        if has_longer_integer(bytes(raw), digits):
            return json_pointer(name)
    return ""


def _params(raw: Raw, *, method: JsonValue) -> dict[str, JsonValue]:
    values: dict[str, JsonValue] = {}
    for name, member in _members(msgspec.json.decode(raw, type=_Params)):
        if name == "cause" and method == "report_process_end":
            values[name] = _within(member, _Cause)
        elif name in ("exception", "cause", "context"):
            values[name] = _exception(member, links=_MOST_LINKS)
        elif name == "stack":
            values[name] = _stack(member)
        elif name == "ledger":
            values[name] = _ledger(member)
        elif name == "extras":
            values[name] = _within(member, _Process)
        else:
            values[name] = _brief(member)
    return values


def _exception(raw: Raw, *, links: int) -> JsonValue:
    value = _brief(raw)
    if len(memoryview(raw)) <= DECODED_BYTES or not isinstance(value, dict) or not links:
        return value
    for name, member in _members(msgspec.json.decode(raw, type=_Exception)):
        if name in ("cause", "context"):
            value[name] = _exception(member, links=links - 1)
        else:
            value[name] = _stack(member) if name == "stack" else _brief(member)
    return value


def _stack(raw: Raw) -> JsonValue:
    try:
        return cast("JsonValue", msgspec.json.decode(raw, type=list[str]))
    except msgspec.ValidationError:
        return _brief(raw)


def _ledger(raw: Raw) -> JsonValue:
    value = _within(raw, _Ledger)
    if isinstance(value, dict) and value.get("by_method") == {}:
        # Counts of so many methods are not those of what is stored.
        value["by_method"] = {"": 1} if len(memoryview(raw)) > DECODED_BYTES else {}
    return value


def _within(raw: Raw, kind: type[msgspec.Struct]) -> JsonValue:
    """An object of which these members are looked at."""
    value = _brief(raw)
    if len(memoryview(raw)) > DECODED_BYTES and isinstance(value, dict):
        value |= {name: _brief(member) for name, member in _members(msgspec.json.decode(raw, type=kind))}
    return value


def _members(struct: msgspec.Struct) -> Iterator[tuple[str, Raw]]:
    for name in struct.__struct_fields__:
        raw = getattr(struct, name)
        if raw is not UNSET:
            yield name, raw


def _brief(raw: Raw | bytes) -> JsonValue:
    """The value itself where it is short or a string; else an empty one of its kind."""
    view = memoryview(raw)
    if len(view) <= DECODED_BYTES:
        return LongIntegers().decode(bytes(view))
    match bytes(view[:1]):
        case b"{":
            return {}
        case b"[":
            # Not the empty list, which means "none" in some places.
            return [None]
        case b'"':
            return msgspec.json.decode(raw, type=str)
        case _:
            # A number longer than any that is looked at.
            return 10**_SOME_DIGITS

"""Metadata in normal form beside an event that reports some. What was sent stays in the event as it came. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import MESSAGE_CLASSES
from standpipe_protocol.metadata import normal_form
from standpipe_server.broker.long_integers import LongIntegers
from standpipe_server.broker.masking import MASK, mask_values

_METHODS: Final = frozenset(
    kind.method for kind in MESSAGE_CLASSES if any(each.name == "metadata" for each in fields(kind))
)
# Names of columns and keys of assets are shown under any name, and a number is no credential.
_NOT_MASKED: Final = frozenset({"table_column_lineage", "asset", "int", "float", "bool", "timestamp"})


class _Reported(msgspec.Struct, gc=False):
    method: Any
    params: msgspec.Raw
    problem: Any = None


_decode = msgspec.json.Decoder(_Reported).decode


def with_metadata(event: bytes, *, mask: bool) -> bytes:
    """The event with `metadata`, if it is an accepted report; with `mask` what looks like a credential is masked."""
    reported = _decode(event)
    if reported.problem is not None or reported.method not in _METHODS:
        return event
    integers = LongIntegers()
    params = integers.decode(bytes(reported.params))
    metadata = normal_form(params.get("metadata") if isinstance(params, dict) else None)
    if mask:
        metadata = {label: _masked(label, entry) for label, entry in metadata.items()}
    return b"%b,%b" % (event[:-1], integers.encode({"metadata": metadata})[1:])


def with_all_metadata(events: list[bytes], *, mask: bool) -> list[bytes]:
    return [with_metadata(event, mask=mask) for event in events]


def _masked(label: str, entry: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if entry["type"] in _NOT_MASKED:
        return entry
    shown = mask_values({label: entry["raw_value"]})
    raw = shown[label] if isinstance(shown, dict) else MASK
    # A value that is masked as a whole is a text, whatever it was.
    return {**entry, "raw_value": raw} | ({"type": "text"} if raw == MASK else {})

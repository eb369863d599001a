"""What an event is shown with: its metadata in normal form, or how a process ended in words. What was sent stays in the
event as it came. Pure."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, Final

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import MESSAGE_CLASSES, ReportProcessEnd
from standpipe_protocol.metadata import normal_form
from standpipe_protocol.words import end_words
from standpipe_server.broker.values.long_integers import LongIntegers
from standpipe_server.broker.values.masking import MASK, mask_text, mask_values, names_secret

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
    """The event with `metadata`, if it is an accepted report that has some, or with `description`, if it is of an end.

    With `mask` what looks like a credential is masked.
    """
    reported = _decode(event)
    is_end = reported.method == ReportProcessEnd.method
    if reported.problem is not None or not (is_end or reported.method in _METHODS):
        return event
    integers = LongIntegers()
    params = integers.decode(bytes(reported.params))
    if is_end:
        return _with(event, {"description": end_words(params if isinstance(params, dict) else {})}, integers)
    sent = params.get("metadata") if isinstance(params, dict) else None
    if mask and isinstance(sent, dict):
        sent = {label: _with_masked_type(entry) for label, entry in sent.items()}
    metadata = normal_form(sent)
    if mask:
        metadata = {label: _masked(label, entry) for label, entry in metadata.items()}
    return _with(event, {"metadata": metadata}, integers)


def _with(event: bytes, members: dict[str, Any], integers: LongIntegers) -> bytes:
    return b"%b,%b" % (event[:-1], integers.encode(members)[1:])


def with_all_metadata(events: list[bytes], *, mask: bool) -> list[bytes]:
    return [with_metadata(event, mask=mask) for event in events]


def _masked(label: str, entry: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if entry["type"] in _NOT_MASKED:
        return entry
    given, problem = entry["raw_value"], entry.get("problem")
    # The label may be any name; only a value's own members have names with a meaning.
    secret = names_secret(label)
    raw = mask_values(given) if not secret or given is None else MASK
    # A value that is masked as a whole is a text, whatever it was.
    shown: dict[str, JsonValue] = {"type": "text" if raw == MASK else entry["type"], "raw_value": raw}
    # What is wrong with a value quotes from it.
    if isinstance(problem, str) and not secret and raw != MASK:
        shown["problem"] = mask_text(problem)
    return shown


def _with_masked_type(entry: JsonValue) -> JsonValue:
    """The entry with its type masked, of which a problem quotes the beginning only: a credential cut there is none."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    return {**entry, "type": mask_values(kind)} if isinstance(entry, dict) and isinstance(kind, str) else entry

"""What an event is shown with: its metadata in normal form, or how a process ended in words. What was sent stays in the
event as it came. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from itertools import islice
from typing import Any, Final

import msgspec

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.members import InvalidMember
from standpipe_protocol.messages import MESSAGE_CLASSES, ReportProcessEnd
from standpipe_protocol.metadata import normal_form
from standpipe_protocol.process_end import parse_process_end
from standpipe_protocol.words import end_words
from standpipe_server.broker.values.long_integers import LongIntegers
from standpipe_server.broker.values.masking import MASK, mask_text, mask_values, names_secret

_METHODS: Final = frozenset(
    kind.method for kind in MESSAGE_CLASSES if any(each.name == "metadata" for each in fields(kind))
)
# Names of columns and keys of assets are shown under any name, and a number is no credential.
_NOT_MASKED: Final = frozenset({"table_column_lineage", "asset", "int", "float", "bool", "timestamp"})


_ENTRIES_AT_A_TIME: Final = 500


class _Reported(msgspec.Struct, gc=False):
    method: Any
    params: msgspec.Raw
    problem: Any = None


class _Params(msgspec.Struct, gc=False):
    metadata: msgspec.Raw = msgspec.Raw(b"null")


_decode = msgspec.json.Decoder(_Reported).decode
_decode_params = msgspec.json.Decoder(_Params).decode


def with_metadata(event: bytes, *, mask: bool) -> bytes:
    """The event with `metadata`, if it is an accepted report that has some, or with `description`, if it is of an end,
    accepted or not, that can be read.

    With `mask` what looks like a credential is masked.
    """
    reported = _decode(event)
    integers, params = LongIntegers(), bytes(reported.params)
    if reported.method == ReportProcessEnd.method:
        # Of a rejected one as well: its parameters may still say how the process ended.
        words = _end_words(integers.decode(params))
        return event if words is None else b"%b,%b" % (event[:-1], integers.encode({"description": words})[1:])
    if reported.problem is not None or reported.method not in _METHODS:
        return event
    pieces = [integers.encode(_normal_form(some, mask=mask))[1:-1] for some in _in_parts(_entries(params, integers))]
    return b'%b,"metadata":{%b}}' % (event[:-1], b",".join(pieces))


def _end_words(params: JsonValue) -> str | None:
    """How a process ended; None where the parameters do not say it in the form that they must have."""
    try:
        return end_words(parse_process_end(params).to_wire()) if isinstance(params, dict) else None
    except InvalidMember:
        return None


def _entries(params: bytes, integers: LongIntegers) -> Iterable[tuple[str, JsonValue]]:
    """The metadata of a report as it was sent; none where it is no object."""
    try:
        text = bytes(_decode_params(params).metadata)
    except msgspec.DecodeError:
        # The parameters are no object, or one of their names holds half of a surrogate pair.
        decoded = integers.decode(params)
        sent = decoded.get("metadata") if isinstance(decoded, dict) else None
        return sent.items() if isinstance(sent, dict) else ()
    return integers.members(text) if text.startswith(b"{") else ()


def _in_parts(entries: Iterable[tuple[str, JsonValue]]) -> Iterator[dict[str, JsonValue]]:
    """Encoding a part is one step, in which no other thread runs. Of a name in two parts the last one counts."""
    iterator = iter(entries)
    while part := dict(islice(iterator, _ENTRIES_AT_A_TIME)):
        yield part


def _normal_form(sent: dict[str, JsonValue], *, mask: bool) -> dict[str, dict[str, JsonValue]]:
    if not mask:
        return normal_form(sent)
    metadata = normal_form({label: _with_masked_type(entry) for label, entry in sent.items()})
    return {label: _masked(label, entry) for label, entry in metadata.items()}


def with_all_metadata(events: list[bytes], *, mask: bool) -> list[bytes]:
    return [with_metadata(event, mask=mask) for event in events]


def _masked(label: str, entry: dict[str, JsonValue]) -> dict[str, JsonValue]:
    if entry["type"] in _NOT_MASKED:
        return entry
    raw_value, problem = entry["raw_value"], entry.get("problem")
    # The label may be any name; only a value's own members have names with a meaning.
    secret = names_secret(label)
    raw = mask_values(raw_value) if not secret or raw_value is None else MASK
    # A value that is masked as a whole becomes a text.
    shown: dict[str, JsonValue] = {"type": "text" if raw == MASK else entry["type"], "raw_value": raw}
    # What is wrong with a value quotes from it.
    if isinstance(problem, str) and not secret and raw != MASK:
        shown["problem"] = mask_text(problem)
    return shown


def _with_masked_type(entry: JsonValue) -> JsonValue:
    """The entry with its type masked, of which a problem quotes the beginning only: a credential cut there is none."""
    kind = entry.get("type") if isinstance(entry, dict) else None
    return {**entry, "type": mask_values(kind)} if isinstance(entry, dict) and isinstance(kind, str) else entry

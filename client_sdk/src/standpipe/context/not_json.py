"""Finds the value of a report that JSON cannot carry. Imported when there is one; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from standpipe_protocol.json_text import encode_json
from standpipe_protocol.messages import (
    LogExternalStream,
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportAssetObservation,
    ReportCustomMessage,
)

if TYPE_CHECKING:
    from standpipe_protocol.messages import Message


def with_place(error: TypeError | ValueError, message: Message) -> TypeError | ValueError:
    """The error with the place of the value in the report, as `metadata.sample[3].price`; unchanged without one."""
    for name, value in _values(message):
        try:
            encode_json(value)
        except (TypeError, ValueError):
            try:
                place = _place(value, name)
            except RecursionError:
                place = name  # it holds itself
            kind = ValueError if isinstance(error, ValueError) else TypeError
            return kind(f"{error}: `{place}` of `{message.method}`. Convert it to what JSON has before it is reported.")
    return error


def _values(message: Message) -> Iterator[tuple[str, object]]:
    match message:
        case ReportAssetMaterialization() | ReportAssetCheck() | ReportAssetObservation():
            for label, entry in (message.metadata or {}).items():
                yield f"metadata.{label}", entry["raw_value"] if isinstance(entry, dict) else entry
        case ReportCustomMessage():
            yield "payload", message.payload
        case LogExternalStream():
            yield "extras", message.extras
        case _:
            return


def _place(value: object, name: str) -> str:
    """The first part within that JSON cannot carry, or the value itself."""
    parts: Iterator[tuple[str, object]] = iter(())
    if isinstance(value, dict):
        members = cast("Mapping[object, object]", value)
        for key in members:
            if not (key is None or isinstance(key, (str, int, float))):
                return f"{name}, in it the key {str(key)[:100]!r}"
        parts = ((f"{name}.{key}", inner) for key, inner in members.items())
    elif isinstance(value, (list, tuple)):
        parts = ((f"{name}[{index}]", inner) for index, inner in enumerate(cast("Sequence[object]", value)))
    for inner_name, inner in parts:
        try:
            encode_json(inner)
        except (TypeError, ValueError):
            return _place(inner, inner_name)
    return name

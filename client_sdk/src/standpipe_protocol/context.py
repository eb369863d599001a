"""What the external process is told: the context, with upstream's ten fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from standpipe_protocol.json_text import JsonValue, json_kind, json_pointer


class InvalidContext(ValueError):
    """A context breaks its shape. `pointer` is a JSON Pointer into the context; `expected` a short phrase."""

    def __init__(self, *, pointer: str, expected: str, got: str) -> None:
        super().__init__(f"Expected {expected} at `{pointer or '/'}` of the context, got {got}.")
        self.pointer = pointer
        self.expected = expected


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRange:
    """First and last key of a partition range, both included."""

    start: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeWindow:
    """Start (included) and end (excluded) of a partition's time window, ISO 8601 with offset."""

    start: str
    end: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextData:
    """One invocation's context.

    `asset_keys` is None when the step targets no asset, and empty in a check-only step. Keys are escaped text.
    """

    asset_keys: tuple[str, ...] | None = None
    code_version_by_asset_key: Mapping[str, str | None] | None = None
    provenance_by_asset_key: Mapping[str, Mapping[str, JsonValue] | None] | None = None
    partition_key: str | None = None
    partition_key_range: KeyRange | None = None
    partition_time_window: TimeWindow | None = None
    run_id: str | None = None
    job_name: str | None = None
    retry_number: int = 0
    extras: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def to_wire(self) -> dict[str, JsonValue]:
        key_range, window = self.partition_key_range, self.partition_time_window
        provenance = self.provenance_by_asset_key
        return {
            "asset_keys": None if self.asset_keys is None else list(self.asset_keys),
            "code_version_by_asset_key": (
                None if self.code_version_by_asset_key is None else dict(self.code_version_by_asset_key)
            ),
            "provenance_by_asset_key": (
                None
                if provenance is None
                else {key: None if value is None else dict(value) for key, value in provenance.items()}
            ),
            "partition_key": self.partition_key,
            "partition_key_range": None if key_range is None else {"start": key_range.start, "end": key_range.end},
            "partition_time_window": None if window is None else {"start": window.start, "end": window.end},
            "run_id": self.run_id,
            "job_name": self.job_name,
            "retry_number": self.retry_number,
            "extras": dict(self.extras),
        }

    @classmethod
    def from_wire(cls, wire: JsonValue) -> ContextData:
        """Reads a context; missing fields are null, unknown ones are ignored.

        Raises:
            InvalidContext: a field has a wrong type.
        """
        if not isinstance(wire, dict):
            raise _wrong("", "an object", wire)
        keys = wire.get("asset_keys")
        if keys is not None and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
            raise _wrong("/asset_keys", "a list of strings or null", keys)
        retry_number = wire.get("retry_number")
        if retry_number is not None and (isinstance(retry_number, bool) or not isinstance(retry_number, int)):
            raise _wrong("/retry_number", "an integer", retry_number)
        code_versions = _object(wire, "code_version_by_asset_key")
        for key, version in (code_versions or {}).items():
            if version is not None and not isinstance(version, str):
                raise _wrong(json_pointer("code_version_by_asset_key", key), "a string or null", version)
        provenance = _object(wire, "provenance_by_asset_key")
        for key, value in (provenance or {}).items():
            if value is not None and not isinstance(value, dict):
                raise _wrong(json_pointer("provenance_by_asset_key", key), "an object or null", value)
        key_range, window = _pair(wire, "partition_key_range"), _pair(wire, "partition_time_window")
        return cls(
            asset_keys=None if keys is None else tuple(cast("list[str]", keys)),
            code_version_by_asset_key=cast("Mapping[str, str | None] | None", code_versions),
            provenance_by_asset_key=cast("Mapping[str, Mapping[str, JsonValue] | None] | None", provenance),
            partition_key=_string(wire, "partition_key"),
            partition_key_range=None if key_range is None else KeyRange(start=key_range[0], end=key_range[1]),
            partition_time_window=None if window is None else TimeWindow(start=window[0], end=window[1]),
            run_id=_string(wire, "run_id"),
            job_name=_string(wire, "job_name"),
            retry_number=retry_number or 0,
            extras=_object(wire, "extras") or {},
        )


def _string(wire: Mapping[str, JsonValue], name: str) -> str | None:
    value = wire.get(name)
    if value is not None and not isinstance(value, str):
        raise _wrong(f"/{name}", "a string or null", value)
    return value


def _object(wire: Mapping[str, JsonValue], name: str) -> dict[str, JsonValue] | None:
    value = wire.get(name)
    if value is not None and not isinstance(value, dict):
        raise _wrong(f"/{name}", "an object or null", value)
    return value


def _pair(wire: Mapping[str, JsonValue], name: str) -> tuple[str, str] | None:
    value = _object(wire, name)
    if value is None:
        return None
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        raise _wrong(f"/{name}", 'an object {"start": string, "end": string} or null', value)
    return start, end


def _wrong(pointer: str, expected: str, got: JsonValue) -> InvalidContext:
    return InvalidContext(pointer=pointer, expected=expected, got=json_kind(got))

"""The context of an invocation, with Dagster's ten fields."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from standpipe_protocol.json_text import JsonValue, json_kind, json_pointer
from standpipe_protocol.members import InvalidMember, Members


class InvalidContext(InvalidMember):
    """A context has a wrong shape; `pointer` is one into the context."""

    place = " of the context"


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
        """Reads a context; missing fields are null, unknown ones are ignored. Raises InvalidContext where one has a
        wrong type."""
        if not isinstance(wire, dict):
            raise InvalidContext("", "an object", json_kind(wire))
        members = Members(wire, error=InvalidContext)
        keys, retry_number = wire.get("asset_keys"), wire.get("retry_number")
        if keys is not None and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
            raise members.wrong("asset_keys", "a list of strings or null")
        if retry_number is not None and (isinstance(retry_number, bool) or not isinstance(retry_number, int)):
            raise members.wrong("retry_number", "an integer")
        code_versions = members.optional_object("code_version_by_asset_key")
        for key, version in (code_versions or {}).items():
            if version is not None and not isinstance(version, str):
                pointer = json_pointer("code_version_by_asset_key", key)
                raise InvalidContext(pointer, "a string or null", json_kind(version))
        provenance = members.optional_object("provenance_by_asset_key")
        for key, value in (provenance or {}).items():
            if value is not None and not isinstance(value, dict):
                pointer = json_pointer("provenance_by_asset_key", key)
                raise InvalidContext(pointer, "an object or null", json_kind(value))
        key_range, window = _pair(members, "partition_key_range"), _pair(members, "partition_time_window")
        return cls(
            asset_keys=None if keys is None else tuple(cast("list[str]", keys)),
            code_version_by_asset_key=cast("Mapping[str, str | None] | None", code_versions),
            provenance_by_asset_key=cast("Mapping[str, Mapping[str, JsonValue] | None] | None", provenance),
            partition_key=members.optional_string("partition_key"),
            partition_key_range=None if key_range is None else KeyRange(start=key_range[0], end=key_range[1]),
            partition_time_window=None if window is None else TimeWindow(start=window[0], end=window[1]),
            run_id=members.optional_string("run_id"),
            job_name=members.optional_string("job_name"),
            retry_number=retry_number or 0,
            extras=members.optional_object("extras") or {},
        )


def _pair(members: Members, name: str) -> tuple[str, str] | None:
    value = members.optional_object(name)
    if value is None:
        return None
    start, end = value.get("start"), value.get("end")
    if not isinstance(start, str) or not isinstance(end, str):
        raise members.wrong(name, 'an object {"start": string, "end": string} or null')
    return start, end

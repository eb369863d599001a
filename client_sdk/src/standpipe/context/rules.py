"""The checks of the context's calls, with Dagster's error sentences, and the messages they make. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence, Set

from standpipe.errors import DagsterPipesError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from standpipe_protocol.json_text import JsonValue
    from standpipe_protocol.messages import Message


def metadata_entries(metadata: Mapping[str, object], method: str) -> dict[str, JsonValue]:
    """Dagster's normal form: every entry as `{"raw_value": ..., "type": ...}`."""
    import standpipe_protocol.metadata as types

    check_type("metadata", method, metadata, dict)
    entries: dict[str, JsonValue] = {}
    for name, value in metadata.items():
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]  callers are not always typed
            raise DagsterPipesError(
                f"Invalid type for parameter `metadata` of `{method}`. Expected a dict with string keys, got a key"
                f" `{name}` of type `{type(name)}`."
            )
        entry: dict[str, JsonValue]
        if isinstance(value, dict):
            entry = value  # pyright: ignore[reportUnknownVariableType]  encoding checks that it is JSON
            if len(entry) != 2 or "type" not in entry or "raw_value" not in entry:
                raise DagsterPipesError(
                    f"Invalid type for parameter `metadata` of `{method}`. Expected a dict with string keys and values"
                    " that are either raw metadata values or dictionaries with schema `{raw_value: ..., type: ...}`."
                    f" Got a value `{value}`."
                )
            if entry["type"] not in types.METADATA_TYPES:
                wrong_value(f"metadata.{name}.type", method, types.METADATA_TYPES, entry["type"])
        else:
            entry = {"raw_value": value, "type": types.INFER}  # pyright: ignore[reportAssignmentType]  as above
        raw = entry["raw_value"]
        if isinstance(raw, float) and entry["type"] == types.INFER and not math.isfinite(raw):
            # It travels as a string, which would be inferred as text.
            entry = {"raw_value": raw, "type": "float"}
        entries[name] = entry
    return entries


def materialization(
    key: str, metadata: Mapping[str, object] | None, data_version: str | None, *, materialized: Set[str]
) -> Message:
    """The message of a materialization; `materialized` are the keys that have one already."""
    # Here and below: `from ... import` would cost a report three times as much.
    import standpipe_protocol.messages as protocol

    method = protocol.ReportAssetMaterialization.method
    if key in materialized:
        raise DagsterPipesError(
            f"Calling `{method}` with asset key `{key}` is undefined. Asset has already been materialized, so no"
            " additional data can be reported for it."
        )
    entries = metadata_entries(metadata, method) if metadata else None
    check_type("data_version", method, data_version, str, optional=True)
    return protocol.ReportAssetMaterialization(asset_key=key, data_version=data_version, metadata=entries)


def asset_check(
    key: str, check_name: str, passed: bool, severity: object, metadata: Mapping[str, object] | None
) -> Message:
    """The message of a check's outcome."""
    import standpipe_protocol.messages as protocol

    method = protocol.ReportAssetCheck.method
    check_type("check_name", method, check_name, str)
    check_type("passed", method, passed, bool)
    entries = metadata_entries(metadata, method) if metadata else None
    # Dagster's enum has strings as members. A wrong severity passes there, and its reader loses the message.
    name = str(getattr(severity, "value", severity))
    if name not in protocol.SEVERITIES:
        wrong_value("severity", method, protocol.SEVERITIES, severity)
    return protocol.ReportAssetCheck(
        asset_key=key, check_name=check_name, passed=passed, severity=name, metadata=entries
    )


def observation(
    key: str,
    metadata: Mapping[str, object] | None,
    data_version: str | None,
    *,
    partition: str | None,
    tags: Mapping[str, str] | None,
) -> Message:
    """The message of an observation."""
    import standpipe_protocol.messages as protocol

    method = protocol.ReportAssetObservation.method
    check_type("data_version", method, data_version, str, optional=True)
    check_type("partition", method, partition, str, optional=True)
    check_type("tags", method, tags, dict, optional=True)
    for name, value in (tags or {}).items():
        check_type("tags", method, name, str)
        check_type(f"tags.{name}", method, value, str)
    return protocol.ReportAssetObservation(
        asset_key=key,
        data_version=data_version,
        metadata=metadata_entries(metadata, method) if metadata else None,
        partition=partition,
        tags=tags,
    )


def external_stream(stream: str, text: str, extras: Mapping[str, object] | None) -> Message:
    """The message of a piece of captured output."""
    import standpipe_protocol.messages as protocol

    method = protocol.LogExternalStream.method
    if stream not in protocol.STREAMS:
        wrong_value("stream", method, protocol.STREAMS, stream)
    check_type("text", method, text, str)
    check_type("extras", method, extras, dict, optional=True)
    return protocol.LogExternalStream(stream=stream, text=text, extras=extras or {})  # pyright: ignore[reportArgumentType]  encoding checks it


def target_asset_key(asset_key: str | None, *, keys: Sequence[str] | None, method: str) -> str:
    """The asset that a report is about, by the keys in scope."""
    if keys:
        if asset_key and asset_key not in keys:
            raise DagsterPipesError(f"Invalid asset key. Expected one of `{list(keys)}`, got `{asset_key}`.")
        if not asset_key:
            if len(keys) != 1:
                raise DagsterPipesError(
                    f"Calling `{method}` without passing an asset key is undefined. Current step targets multiple"
                    " assets."
                )
            return keys[0]
    if not asset_key:
        raise DagsterPipesError(
            f"Calling `{method}` without passing an asset key is undefined. Current step does not target a specific"
            " asset."
        )
    return asset_key


def single_asset(name: str, keys: Sequence[str] | None) -> Sequence[str]:
    """The keys in scope, which must be one."""
    if keys is None:
        no_asset(name)
    if len(keys) != 1:
        raise DagsterPipesError(f"`{name}` is undefined. Current step targets multiple assets.")
    return keys


def no_asset(name: str) -> NoReturn:
    raise DagsterPipesError(f"Missing required property: `{name}` is undefined. Current step does not target an asset.")


def no_partition(name: str) -> NoReturn:
    raise DagsterPipesError(
        f"Missing required property: `{name}` is undefined. Current step does not target any partitions."
    )


def check_type(parameter: str, method: str, value: object, expected: type, *, optional: bool = False) -> None:
    if isinstance(value, expected) or (optional and value is None):
        return
    name = f"Optional[{expected}]" if optional else f"{expected}"
    raise DagsterPipesError(
        f"Invalid type for parameter `{parameter}` of `{method}`. Expected `{name}`, got `{type(value)}`."
    )


def wrong_value(parameter: str, method: str, expected: object, got: object) -> NoReturn:
    raise DagsterPipesError(
        f"Invalid value for parameter `{parameter}` of `{method}`. Expected one of `{expected}`, got `{got}`."
    )


def with_place(error: TypeError | ValueError, message: Message) -> TypeError | ValueError:
    """The error with the place of the value in the report, as `metadata.sample[3].price`; unchanged without one."""
    from standpipe_protocol.json_text import encode_json

    for name, value in _values(message):
        try:
            encode_json(value)
        except (TypeError, ValueError):
            try:
                place = _place(value, name, encode_json)
            except RecursionError:
                place = name  # it holds itself
            kind = ValueError if isinstance(error, ValueError) else TypeError
            return kind(f"{error}: `{place}` of `{message.method}`. Convert it to what JSON has before it is reported.")
    return error


def _values(message: Message) -> Iterator[tuple[str, object]]:
    from typing import cast

    metadata = cast("Mapping[str, JsonValue]", getattr(message, "metadata", None) or {})
    for label, entry in metadata.items():
        yield f"metadata.{label}", entry["raw_value"] if isinstance(entry, dict) else entry
    for name in ("payload", "extras"):
        if hasattr(message, name):
            yield name, getattr(message, name)


def _place(value: object, name: str, encode: Callable[[object], bytes]) -> str:
    """The first part within that JSON cannot carry, or the value itself."""
    from typing import cast

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
            encode(inner)
        except (TypeError, ValueError):
            return _place(inner, inner_name, encode)
    return name

"""What a call of the context must look like, with upstream's error sentences. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence, Set

from standpipe.errors import DagsterPipesError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from standpipe_protocol.json_text import JsonValue
    from standpipe_protocol.messages import Message


_COMMAND_LINES = frozenset({"click", "typer", "asyncclick"})


def metadata_entries(metadata: Mapping[str, object], method: str) -> dict[str, JsonValue]:
    """Upstream's normal form: every entry as `{"raw_value": ..., "type": ...}`."""
    import standpipe_protocol.metadata as words

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
            # Checked to be exactly these two below; an entry of the caller's is taken as it is.
            entry = value  # pyright: ignore[reportUnknownVariableType]  that it is JSON is checked by encoding it
            if len(entry) != 2 or "type" not in entry or "raw_value" not in entry:
                raise DagsterPipesError(
                    f"Invalid type for parameter `metadata` of `{method}`. Expected a dict with string keys and values"
                    " that are either raw metadata values or dictionaries with schema `{raw_value: ..., type: ...}`."
                    f" Got a value `{value}`."
                )
            if entry["type"] not in words.METADATA_TYPES:
                wrong_value(f"metadata.{name}.type", method, words.METADATA_TYPES, entry["type"])
        else:
            entry = {"raw_value": value, "type": words.INFER}  # pyright: ignore[reportAssignmentType]  as above
        raw = entry["raw_value"]
        if isinstance(raw, float) and entry["type"] == words.INFER and not math.isfinite(raw):
            # It travels as a string, from which nobody would infer a number.
            entry = {"raw_value": raw, "type": "float"}
        entries[name] = entry
    return entries


def materialization(
    key: str, metadata: Mapping[str, object] | None, data_version: str | None, *, materialized: Set[str]
) -> Message:
    """The message of a materialization; `materialized` are the keys that have one already."""
    # Here and below: `from ... import` would cost a report three times as much.
    import standpipe_protocol.messages as words

    method = words.ReportAssetMaterialization.method
    if key in materialized:
        raise DagsterPipesError(
            f"Calling `{method}` with asset key `{key}` is undefined. Asset has already been materialized, so no"
            " additional data can be reported for it."
        )
    entries = metadata_entries(metadata, method) if metadata else None
    check_type("data_version", method, data_version, str, optional=True)
    return words.ReportAssetMaterialization(asset_key=key, data_version=data_version, metadata=entries)


def asset_check(
    key: str, check_name: str, passed: bool, severity: object, metadata: Mapping[str, object] | None
) -> Message:
    """The message of a check's outcome."""
    import standpipe_protocol.messages as words

    method = words.ReportAssetCheck.method
    check_type("check_name", method, check_name, str)
    check_type("passed", method, passed, bool)
    entries = metadata_entries(metadata, method) if metadata else None
    # Upstream lets a wrong severity pass here and loses the message at the reader. Its enum's members are strings.
    known = str(getattr(severity, "value", severity))
    if known not in words.SEVERITIES:
        wrong_value("severity", method, words.SEVERITIES, severity)
    return words.ReportAssetCheck(asset_key=key, check_name=check_name, passed=passed, severity=known, metadata=entries)


def observation(
    key: str,
    metadata: Mapping[str, object] | None,
    data_version: str | None,
    *,
    partition: str | None,
    tags: Mapping[str, str] | None,
) -> Message:
    """The message of what was seen of an asset."""
    import standpipe_protocol.messages as words

    method = words.ReportAssetObservation.method
    check_type("data_version", method, data_version, str, optional=True)
    check_type("partition", method, partition, str, optional=True)
    check_type("tags", method, tags, dict, optional=True)
    for name, value in (tags or {}).items():
        check_type("tags", method, name, str)
        check_type(f"tags.{name}", method, value, str)
    return words.ReportAssetObservation(
        asset_key=key,
        data_version=data_version,
        metadata=metadata_entries(metadata, method) if metadata else None,
        partition=partition,
        tags=tags,
    )


def external_stream(stream: str, text: str, extras: Mapping[str, object] | None) -> Message:
    """The message of a piece of captured output."""
    import standpipe_protocol.messages as words

    method = words.LogExternalStream.method
    if stream not in words.STREAMS:
        wrong_value("stream", method, words.STREAMS, stream)
    check_type("text", method, text, str)
    check_type("extras", method, extras, dict, optional=True)
    return words.LogExternalStream(stream=stream, text=text, extras=extras or {})  # pyright: ignore[reportArgumentType]  encoding checks it


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
    wanted = f"Optional[{expected}]" if optional else f"{expected}"
    raise DagsterPipesError(
        f"Invalid type for parameter `{parameter}` of `{method}`. Expected `{wanted}`, got `{type(value)}`."
    )


def wrong_value(parameter: str, method: str, expected: object, got: object) -> NoReturn:
    raise DagsterPipesError(
        f"Invalid value for parameter `{parameter}` of `{method}`. Expected one of `{expected}`, got `{got}`."
    )


def naming_the_value(error: TypeError | ValueError, message: Message) -> TypeError | ValueError:
    """The error of a report that JSON cannot carry, with which of its values it was."""
    from standpipe.context.not_json import named

    return named(error, message)


def is_no_failure(exc: object) -> bool:
    """Whether `close` was handed nothing that the work failed with."""
    if isinstance(exc, BaseException):
        # `sys.exit()` and `sys.exit(0)` are how a program says that it is done.
        return is_clean_exit(exc)
    # Upstream takes an empty dictionary for no exception.
    return exc is None or (isinstance(exc, Mapping) and not exc)


def is_clean_exit(error: BaseException | None) -> bool:
    """Whether leaving with this is leaving well: with nothing, or by an exit that ends the process with status 0."""
    match error:
        case None:
            return True
        case SystemExit():
            return _is_status_zero(error.code)
        case _:
            return _is_exit_of_a_command_line(type(error)) and _is_status_zero(getattr(error, "exit_code", 1))


def _is_exit_of_a_command_line(kind: type[BaseException]) -> bool:
    """Whether it is the exception by which click and typer leave a command; known by its name, since neither is
    imported here. `Abort` and usage errors are others."""
    return any(base.__name__ == "Exit" and base.__module__.partition(".")[0] in _COMMAND_LINES for base in kind.__mro__)


def _is_status_zero(code: object) -> bool:
    # 0.0 and numpy's 0 equal 0, and the interpreter prints them and ends with status 1.
    return code is None or (isinstance(code, int) and code == 0)

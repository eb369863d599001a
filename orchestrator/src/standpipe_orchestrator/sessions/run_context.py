"""What launching code may pass as `context`, and the context data that the external process gets from it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Protocol, TypeAlias, cast, runtime_checkable

from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey
from standpipe_protocol.context import ContextData, KeyRange, TimeWindow
from standpipe_protocol.json_text import JsonValue, encode_json

EPHEMERAL_RUN_ID = "EPHEMERAL"
"""Dagster's run id where there is no run."""


@runtime_checkable
class ProvidesContextData(Protocol):
    """A context that makes the context data itself; the contexts of definitions do."""

    def to_context_data(self, extras: Mapping[str, object] | None = None) -> ContextData: ...


class PipesRunContext(Protocol):
    """A context of another library, with Dagster's attributes. Only `run_id` must be there.

    Read where they exist: `job_name`, `retry_number`, `asset_keys` (the selected keys; None in a step without assets),
    `partition_key` (with `has_partition_key`), `partition_key_range`, `partition_time_window`,
    `code_version_by_asset_key`, `provenance_by_asset_key`, and `log`, a logger for what the external process logs.
    """

    @property
    def run_id(self) -> str: ...


_EXPECTED = (
    "Expected the context of a step of this orchestrator, a ContextData, None, or an object with the attributes of a "
    "PipesRunContext."
)
_NAMES_OF_ASSETS = ("selected_asset_keys", "asset_key", "assets_def", "asset_check_spec")
"""Attributes in which Dagster's contexts, and those like them, have their assets."""

RunContext: TypeAlias = "ProvidesContextData | PipesRunContext | ContextData | None"
"""None is for ad-hoc work that belongs to no run."""


def context_data_for(context: RunContext, extras: Mapping[str, object] | None) -> ContextData:
    """The context data of the external process.

    Raises:
        TypeError: the extras hold something that JSON cannot carry, or the context is none.
    """
    require_context(context)
    _require_json(extras)
    json_extras = cast("Mapping[str, JsonValue]", dict(extras or {}))
    match context:
        case None:
            return ContextData(run_id=EPHEMERAL_RUN_ID, extras=json_extras)
        case ContextData():
            return replace(context, extras={**context.extras, **json_extras})
        case ProvidesContextData():
            data = context.to_context_data(extras)
            if not isinstance(data, ContextData):  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
                kind = type(context).__name__
                raise TypeError(f"`to_context_data` of the context given ({kind}) gave {data!r}. {_EXPECTED}")
            return data
        case _:
            return _from_attributes(context, json_extras)


def require_context(context: RunContext) -> None:
    """Raises:
    TypeError: it is no context that this orchestrator can serve; the sentence says which are.
    """
    kind = type(context)
    if any(base.__module__.partition(".")[0] == "dagster" for base in kind.__mro__):
        raise TypeError(
            f"The context given is Dagster's {kind.__name__}, and Dagster would not know the results of this launch as "
            "its own: it would pickle them as values, and record nothing. Within Dagster launch with Dagster's own "
            "Pipes clients; here a step of `standpipe materialize`, a ContextData or None is expected."
        )
    if context is None or isinstance(context, ContextData | ProvidesContextData):
        return
    if not isinstance(getattr(context, "run_id", None), str):
        raise TypeError(f"The context given ({kind.__name__}) has no `run_id`. {_EXPECTED}")
    unread = [name for name in _NAMES_OF_ASSETS if _has(context, name)]
    if unread and not _has(context, "asset_keys"):
        raise TypeError(
            f"The context given ({kind.__name__}) has `{unread[0]}` and no `asset_keys`, so its assets would be left "
            f"out: give it `asset_keys`, the selected keys. {_EXPECTED}"
        )


def _has(context: object, name: str) -> bool:
    try:
        getattr(context, name)
    except AttributeError:
        return False
    except Exception:
        return True  # it exists, and is undefined in this step
    return True


def logger_of(context: RunContext) -> logging.Logger:
    """Where the external process's log records go."""
    log = getattr(context, "log", None)
    # Dagster's context.log is a logging.Logger too.
    return log if isinstance(log, logging.Logger) else logging.getLogger("standpipe_orchestrator.pipes")


def _require_json(extras: Mapping[str, object] | None) -> None:
    for name, value in (extras or {}).items():
        try:
            encode_json({name: value})
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"Invalid type for extra {name!r}. Expected a JSON-serializable value, "
                f"got {type(value).__name__}: {error}."
            ) from None


def _from_attributes(context: PipesRunContext, extras: Mapping[str, JsonValue]) -> ContextData:
    def read(name: str) -> object:
        return getattr(context, name, None)

    keys = cast("list[CoercibleToAssetKey] | None", read("asset_keys"))
    # Dagster's property raises outside a partitioned run, so it is not touched there.
    partitioned = read("has_partition_key") is not False
    partition_key = cast("str | None", read("partition_key")) if partitioned else None
    key_range = read("partition_key_range") if partitioned else None
    if key_range is None and partition_key is not None:
        key_range = KeyRange(start=partition_key, end=partition_key)
    window = read("partition_time_window") if partitioned else None
    retry_number = read("retry_number")
    return ContextData(
        asset_keys=None if keys is None else tuple(sorted(_text_of(key) for key in keys)),
        code_version_by_asset_key=cast("Mapping[str, str | None] | None", _by_key(read("code_version_by_asset_key"))),
        provenance_by_asset_key=cast(
            "Mapping[str, Mapping[str, JsonValue] | None] | None", _by_key(read("provenance_by_asset_key"))
        ),
        partition_key=partition_key,
        partition_key_range=None if key_range is None else KeyRange(**_ends(key_range)),
        partition_time_window=None if window is None else TimeWindow(**_ends(window)),
        run_id=context.run_id,
        job_name=cast("str | None", read("job_name")),
        retry_number=retry_number if isinstance(retry_number, int) else 0,
        extras=extras,
    )


def _text_of(key: CoercibleToAssetKey) -> str:
    # A string in a context is a key's text already.
    return key if isinstance(key, str) else AssetKey.from_coercible(key).to_escaped_user_string()


def _by_key(values: object) -> dict[str, object] | None:
    if not isinstance(values, Mapping):
        return None
    by_key = cast("Mapping[CoercibleToAssetKey, object]", values)
    return {_text_of(key): value for key, value in by_key.items()}


def _ends(interval: object) -> dict[str, str]:
    if isinstance(interval, Mapping):
        ends = cast("Mapping[str, object]", interval)
        start, end = ends["start"], ends["end"]
    else:
        start, end = getattr(interval, "start", None), getattr(interval, "end", None)
    return {name: _iso(value) for name, value in (("start", start), ("end", end))}


def _iso(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)

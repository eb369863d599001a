"""Dagster's names for the shapes on its wire, so that programs which annotate with them or build them run unchanged.

Nothing here is needed to report; what the SDK itself uses is in `standpipe_protocol`.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Literal, TypeAlias, TypedDict, cast

from standpipe.errors import DagsterPipesError
from standpipe_protocol.bootstrap import DAGSTER_CONTEXT_VARIABLE
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.metadata import MetadataType

PIPES_PROTOCOL_VERSION = "0.1"
DAGSTER_PIPES_CONTEXT_ENV_VAR = DAGSTER_CONTEXT_VARIABLE
DAGSTER_PIPES_MESSAGES_ENV_VAR = "DAGSTER_PIPES_MESSAGES"

PipesParams: TypeAlias = "Mapping[str, JsonValue]"
PipesExtras: TypeAlias = "Mapping[str, JsonValue]"
PipesAssetCheckSeverity: TypeAlias = Literal["WARN", "ERROR"]
PipesMetadataType: TypeAlias = MetadataType
PipesMetadataRawValue: TypeAlias = "int | float | str | Mapping[str, object] | Sequence[object] | bool | None"

PipesMessage = TypedDict(
    "PipesMessage", {"__dagster_pipes_version": str, "method": str, "params": "Mapping[str, JsonValue] | None"}
)


class PipesMetadataValue(TypedDict):
    """A metadata value with its type."""

    type: PipesMetadataType
    raw_value: PipesMetadataRawValue


class PipesOpenedData(TypedDict):
    """What a message writer says with `opened`."""

    extras: PipesExtras


class PipesPartitionKeyRange(TypedDict):
    """First and last key of the partitions, both included."""

    start: str
    end: str


class PipesTimeWindow(TypedDict):
    """Start and end of a partition's time in ISO 8601; the end is excluded."""

    start: str
    end: str


class PipesDataProvenance(TypedDict):
    """Of what the last materialization was made."""

    code_version: str
    input_data_versions: Mapping[str, str]
    is_user_provided: bool


class PipesContextData(TypedDict):
    """What a context loader brings."""

    asset_keys: Sequence[str] | None
    code_version_by_asset_key: Mapping[str, str | None] | None
    provenance_by_asset_key: Mapping[str, PipesDataProvenance | None] | None
    partition_key: str | None
    partition_key_range: PipesPartitionKeyRange | None
    partition_time_window: PipesTimeWindow | None
    run_id: str
    job_name: str | None
    retry_number: int
    extras: Mapping[str, JsonValue]


def encode_param(value: object) -> str:
    """A value as text for a variable or an argument: JSON, compressed, in base64.

    Raises:
        DagsterPipesError: JSON cannot carry it.
    """
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        raise DagsterPipesError(
            "Invalid type for parameter `value` of `encode_param`. Expected a JSON-serializable type, got"
            f" `{type(value)}`."
        ) from None
    return base64.b64encode(zlib.compress(text.encode("utf-8"))).decode("ascii")


def decode_param(value: str) -> JsonValue:
    """The value that `encode_param` made a text of."""
    return cast("JsonValue", json.loads(zlib.decompress(base64.b64decode(value)).decode("utf-8")))


encode_env_var = encode_param
decode_env_var = decode_param

"""What one stored message is to orchestration code: a result, an observation, a payload. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.metadata_conversion import metadata_from_wire
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_orchestrator.values.results import (
    NO_VALUE,
    AssetCheckResult,
    AssetCheckSeverity,
    AssetObservation,
    DataVersion,
    MaterializeResult,
    PipesResult,
)
from standpipe_protocol import messages
from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.members import InvalidMessage

ReportKey: TypeAlias = tuple[AssetKey | None, str | None]
"""An asset, and the name of a check or None for the materialization."""

RESULTS = ("report_asset_materialization", "report_asset_check")
CUSTOM_MESSAGES = ("report_custom_message",)
OBSERVATIONS = ("report_asset_observation",)


def result_of(message: messages.ReportAssetMaterialization | messages.ReportAssetCheck) -> PipesResult:
    """The result that a report makes. Its metadata is normalised here, and nowhere after."""
    key, metadata = AssetKey.from_escaped_user_string(message.asset_key), metadata_from_wire(message.metadata)
    match message:
        case messages.ReportAssetMaterialization():
            return MaterializeResult.of_normal(
                asset_key=key,
                metadata=metadata,
                check_results=[],
                data_version=None if message.data_version is None else DataVersion(message.data_version),
                tags=None,
                value=NO_VALUE,
                implicit=False,
                replaces=False,
            )
        case messages.ReportAssetCheck():
            return AssetCheckResult.of_normal(
                passed=message.passed,
                asset_key=key,
                check_name=message.check_name,
                metadata=metadata,
                severity=AssetCheckSeverity(message.severity),
                description=None,
                replaces=False,
            )


def observation_of(message: messages.ReportAssetObservation) -> AssetObservation:
    """The observation that a report makes."""
    return AssetObservation.of_normal(
        asset_key=AssetKey.from_escaped_user_string(message.asset_key),
        metadata=metadata_from_wire(message.metadata),
        data_version=None if message.data_version is None else DataVersion(message.data_version),
        partition=message.partition,
        tags={name: text for name, text in (message.tags or {}).items() if isinstance(text, str)},
    )


def value_of(message: messages.Message) -> PipesResult | AssetObservation | JsonValue:
    """The value that a report makes: a result, an observation, or the payload of a custom message."""
    match message:
        case messages.ReportAssetMaterialization() | messages.ReportAssetCheck():
            return result_of(message)
        case messages.ReportAssetObservation():
            return observation_of(message)
        case messages.ReportCustomMessage():
            return message.payload
        case _:
            raise InvalidMessage(pointer="/method", expected="a report", got=message.method)


def message_of(event: Event) -> messages.Message:
    """Raises:
    InvalidMessage: this version cannot read it.
    """
    return messages.parse_message({"method": event.method, "params": event.params, "details": event.details})  # pyright: ignore[reportArgumentType]  a mapping is a JSON object


def report_key(result: PipesResult) -> ReportKey:
    return result.asset_key, result.check_name if isinstance(result, AssetCheckResult) else None


def with_metadata(results: Iterable[PipesResult], metadata: Mapping[str, MetadataValue]) -> Iterator[PipesResult]:
    """The results with metadata of the whole invocation merged in; the invocation's values win, as in Dagster."""
    for result in results:
        yield result.replace_normal(metadata={**result.metadata, **metadata}) if metadata else result


def is_superseded(event: Event) -> bool:
    """Whether an older attempt sent it after a newer one had begun."""
    return any(note.get("code") == "superseded" for note in event.notes)


def replaced_position(event: Event) -> int | None:
    """The position of an older attempt's report that this one replaces."""
    for note in event.notes:
        position = note.get("position")
        if note.get("code") == "replaces" and isinstance(position, int):
            return position
    return None

"""What one stored message is to orchestration code: a result, an observation, a payload. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.metadata_conversion import metadata_from_wire
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_orchestrator.values.results import (
    AssetCheckResult,
    AssetCheckSeverity,
    AssetObservation,
    MaterializeResult,
    PipesResult,
)
from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import (
    InvalidMessage,
    Message,
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportAssetObservation,
    ReportCustomMessage,
    parse_message,
)

ReportKey: TypeAlias = tuple[AssetKey | None, str | None]
"""An asset, and the name of a check or None for the materialization."""

RESULTS = ("report_asset_materialization", "report_asset_check")
CUSTOM_MESSAGES = ("report_custom_message",)
OBSERVATIONS = ("report_asset_observation",)


def result_of(message: ReportAssetMaterialization | ReportAssetCheck) -> PipesResult:
    """The result that a report makes."""
    match message:
        case ReportAssetMaterialization():
            return MaterializeResult(
                asset_key=AssetKey.from_escaped_user_string(message.asset_key),
                metadata=metadata_from_wire(message.metadata),
                data_version=message.data_version,
            )
        case ReportAssetCheck():
            return AssetCheckResult(
                passed=message.passed,
                asset_key=AssetKey.from_escaped_user_string(message.asset_key),
                check_name=message.check_name,
                metadata=metadata_from_wire(message.metadata),
                severity=AssetCheckSeverity(message.severity),
            )


def observation_of(message: ReportAssetObservation) -> AssetObservation:
    """What was observed."""
    return AssetObservation(
        AssetKey.from_escaped_user_string(message.asset_key),
        metadata=metadata_from_wire(message.metadata),
        data_version=message.data_version,
        partition=message.partition,
        tags={name: text for name, text in (message.tags or {}).items() if isinstance(text, str)},
    )


def message_of(event: Event) -> Message:
    """Raises:
    InvalidMessage: this version cannot read it.
    """
    return parse_message({"method": event.method, "params": event.params, "details": event.details})  # pyright: ignore[reportArgumentType]  a mapping is a JSON object


def report_key(result: PipesResult) -> ReportKey:
    return result.asset_key, result.check_name if isinstance(result, AssetCheckResult) else None


def with_metadata(results: Iterable[PipesResult], metadata: Mapping[str, MetadataValue]) -> Iterator[PipesResult]:
    """The results with metadata of the whole invocation merged in; the invocation's values win, as upstream has it."""
    for result in results:
        yield result.replace(metadata={**result.metadata, **metadata}) if metadata else result


def result_of_event(event: Event) -> PipesResult:
    message = message_of(event)
    if not isinstance(message, ReportAssetMaterialization | ReportAssetCheck):
        raise InvalidMessage(pointer="/method", expected=" or ".join(RESULTS), got=str(event.method))
    return result_of(message)


def streamed_result_of(event: Event) -> PipesResult:
    result = result_of_event(event)
    return result if replaced_position(event) is None else result.replace(replaces=True)


def payload_of(event: Event) -> JsonValue:
    message = message_of(event)
    if not isinstance(message, ReportCustomMessage):
        raise InvalidMessage(pointer="/method", expected=CUSTOM_MESSAGES[0], got=str(event.method))
    return message.payload


def observation_of_event(event: Event) -> AssetObservation:
    message = message_of(event)
    if not isinstance(message, ReportAssetObservation):
        raise InvalidMessage(pointer="/method", expected=OBSERVATIONS[0], got=str(event.method))
    return observation_of(message)


def is_superseded(event: Event) -> bool:
    """Whether it is a word of an older attempt, which came after a newer one had begun."""
    return any(note.get("code") == "superseded" for note in event.notes)


def replaced_position(event: Event) -> int | None:
    """The position of an older attempt's report whose place it takes."""
    for note in event.notes:
        position = note.get("position")
        if note.get("code") == "replaces" and isinstance(position, int):
            return position
    return None

"""What a step's function gets of its run, and where its launchers report what happens while it runs.

`PipesSubprocessClient.run(context=...)` and `open_pipes_session(context=...)` take one of these. They ask it for
`to_context_data(extras)`, write the external process's log records to `log`, and pass on what is reported.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, cast

from standpipe_orchestrator.definitions.naming import keys_named
from standpipe_orchestrator.definitions.partitions import PartitionTimeWindow
from standpipe_orchestrator.definitions.running.run_events import InvocationRegistered, Reported, StepEvent
from standpipe_orchestrator.errors import InvalidContextUse
from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey
from standpipe_orchestrator.values.metadata_conversion import RawMetadataValue, normalise_values
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult
from standpipe_protocol.context import ContextData, KeyRange, TimeWindow
from standpipe_protocol.json_text import JsonValue

if TYPE_CHECKING:
    from standpipe_orchestrator.definitions.running.plan import PlannedStep

RUN_LOGGER = "standpipe_orchestrator.run"
"""The logger above every step's own; configure this one to see or to silence what steps log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """A run, as steps see it."""

    run_id: str
    job_name: str


class StepExecutionContext:
    """One step of one run."""

    def __init__(
        self,
        *,
        step: PlannedStep,
        run_id: str,
        job_name: str,
        notify: Callable[[StepEvent], None],
    ) -> None:
        self._step = step
        self._notify = notify
        self.run_id = run_id
        self.job_name = job_name
        self.retry_number = 0
        self.log = _step_logger(step.name)
        self.required_results: str | None = None
        """Set when results are read for this step: the error text for a function that then returns nothing."""
        self._added: dict[AssetKey, dict[str, MetadataValue]] = {}
        self._recorded: set[AssetKey] = set()

    @property
    def run(self) -> StepRun:
        """The run that this step belongs to."""
        return StepRun(run_id=self.run_id, job_name=self.job_name)

    @property
    def deps_by_asset_key(self) -> Mapping[str, Sequence[str]]:
        """The upstream assets of each asset of this step, as escaped keys."""
        return {
            spec.key.to_escaped_user_string(): [dep.to_escaped_user_string() for dep in spec.deps]
            for spec in self._step.specs
        }

    @property
    def op_execution_context(self) -> Self:
        """This context; in Dagster's check context launchers find what they need one level down."""
        return self

    @property
    def has_partition_key(self) -> bool:
        return self._step.partition_key is not None

    @property
    def partition_key(self) -> str:
        """Raises:
        InvalidContextUse: the step is not partitioned.
        """
        if self._step.partition_key is None:
            raise InvalidContextUse(
                f"`context.partition_key` is undefined: the step `{self._step.name}` is not partitioned."
            )
        return self._step.partition_key

    @property
    def partition_key_range(self) -> KeyRange:
        """The partition as a range of one, with `start` and `end`.

        Raises:
            InvalidContextUse: the step is not partitioned.
        """
        return KeyRange(start=self.partition_key, end=self.partition_key)

    @property
    def partition_time_window(self) -> PartitionTimeWindow:
        """Raises:
        InvalidContextUse: the step is not partitioned by time.
        """
        window = self._step.time_window
        if window is None:
            raise InvalidContextUse(
                f"`context.partition_time_window` is undefined: the step `{self._step.name}` has no time partition."
            )
        return window

    def metadata_added_to(self, key: AssetKey) -> Mapping[str, MetadataValue]:
        """What was added to the asset's metadata; from now on nothing more may be, since it is recorded."""
        self._recorded.add(key)
        return self._added.get(key, {})

    def set_requires_typed_event_stream(self, *, error_message: str | None = None) -> None:
        """From here on the function must return or yield its results: without any, the step fails."""
        self.required_results = error_message or ""

    def invocation_registered(self, invocation_id: str) -> None:
        """A launcher has registered an invocation for this step."""
        self._notify(InvocationRegistered(step=self._step.name, invocation_id=invocation_id))

    def result_reported(self, result: MaterializeResult | AssetCheckResult) -> None:
        """The external process has reported this; it counts for the run once the function returns it."""
        self._notify(Reported(step=self._step.name, result=result))

    def to_context_data(self, extras: Mapping[str, object] | None = None) -> ContextData:
        """The context data of an external process of this step."""
        versions = {spec.key.to_escaped_user_string(): spec.code_version for spec in self._step.specs}
        key, window = self._step.partition_key, self._step.time_window
        return ContextData(
            asset_keys=tuple(sorted(versions)),
            code_version_by_asset_key=versions,
            provenance_by_asset_key=dict.fromkeys(versions),
            partition_key=key,
            partition_key_range=None if key is None else KeyRange(start=key, end=key),
            partition_time_window=(
                None if window is None else TimeWindow(start=window.start.isoformat(), end=window.end.isoformat())
            ),
            run_id=self.run_id,
            job_name=self.job_name,
            retry_number=self.retry_number,
            extras=cast("Mapping[str, JsonValue]", dict(extras or {})),
        )


class AssetExecutionContext(StepExecutionContext):
    """The context of a step that makes assets."""

    @property
    def asset_key(self) -> AssetKey:
        """The key of the only asset.

        Raises:
            InvalidContextUse: the step makes several.
        """
        specs = self._step.specs
        if len(specs) != 1:
            keys = [spec.key.to_escaped_user_string() for spec in specs]
            raise InvalidContextUse(f"`context.asset_key` is undefined: the step `{self._step.name}` makes {keys}.")
        return specs[0].key

    @property
    def selected_asset_keys(self) -> frozenset[AssetKey]:
        """The assets to make in this run."""
        return frozenset(spec.key for spec in self._step.specs)

    def add_output_metadata(
        self, metadata: Mapping[str, RawMetadataValue], output_name: str | None = None, mapping_key: str | None = None
    ) -> None:
        """Adds to the metadata of an asset that the function is about to return; what was added before stays.

        Args:
            output_name: which asset, where the step makes several: the name of its output.
            mapping_key: None: outputs of steps here are single.

        Raises:
            InvalidContextUse: the step makes no such asset, or several and none is named, or it was yielded already.
            InvalidMetadata: a value has no obvious metadata type.
        """
        if mapping_key is not None:
            raise InvalidContextUse(
                f"`context.add_output_metadata` was given the mapping_key {mapping_key!r}; no output of the step "
                f"`{self._step.name}` is mapped: leave it out."
            )
        keys = [spec.key for spec in self._step.specs]
        fitting = keys if output_name is None else keys_named(output_name, keys)
        self._add_metadata(metadata, list(fitting), method="add_output_metadata", argument="output_name")

    def add_asset_metadata(
        self, metadata: Mapping[str, RawMetadataValue], asset_key: CoercibleToAssetKey | None = None
    ) -> None:
        """The same by the asset's key.

        Raises:
            InvalidContextUse, InvalidMetadata: as `add_output_metadata`.
        """
        keys = [spec.key for spec in self._step.specs]
        fitting = keys if asset_key is None else [key for key in keys if key == AssetKey.from_coercible(asset_key)]
        self._add_metadata(metadata, fitting, method="add_asset_metadata", argument="asset_key")

    def _add_metadata(
        self, metadata: Mapping[str, RawMetadataValue], fitting: Sequence[AssetKey], *, method: str, argument: str
    ) -> None:
        values = normalise_values(metadata)
        if len(fitting) != 1:
            makes = [spec.key.to_escaped_user_string() for spec in self._step.specs]
            raise InvalidContextUse(
                f"`context.{method}` does not say which asset is meant: the step `{self._step.name}` makes {makes}. "
                f"Give it the `{argument}` of one of them."
            )
        if fitting[0] in self._recorded:
            raise InvalidContextUse(
                f"`context.{method}` was called for {fitting[0].to_escaped_user_string()!r} after the step "
                f"`{self._step.name}` had yielded it: add metadata before."
            )
        self._added.setdefault(fitting[0], {}).update(values)


class AssetCheckExecutionContext(StepExecutionContext):
    """The context of a step that evaluates a check. Its external process gets no asset keys."""


def _step_logger(step_name: str) -> logging.Logger:
    # A child that the registry does not keep: a long-lived process runs any number of steps.
    logger = logging.Logger(step_name)
    logger.parent = logging.getLogger(RUN_LOGGER)
    return logger

"""What `run()` answers: the results of a finished invocation, with upstream's getters, rules and error sentences.

All getters are repeatable; nothing is consumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Protocol

from standpipe_orchestrator.errors import PipesError
from standpipe_orchestrator.values.metadata_conversion import RawMetadataValue, normalise_values
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_orchestrator.values.results import AssetCheckResult, AssetObservation, MaterializeResult, PipesResult
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonValue


class ResultSource(Protocol):
    """What results are taken from: a `PipesSession`."""

    @property
    def invocation(self) -> Invocation: ...

    def get_results(
        self, *, implicit_materializations: bool = True, metadata: Mapping[str, MetadataValue] | None = None
    ) -> tuple[PipesResult, ...]: ...

    def get_custom_messages(self) -> tuple[JsonValue, ...]: ...

    def iterate_results(
        self, *, implicit_materializations: bool = True, metadata: Mapping[str, MetadataValue] | None = None
    ) -> Iterator[PipesResult]: ...

    def iterate_custom_messages(self) -> Iterator[JsonValue]: ...

    def get_observations(self) -> tuple[AssetObservation, ...]: ...

    def iterate_observations(self) -> Iterator[AssetObservation]: ...


class PipesClientCompletedInvocation:
    """A finished invocation.

    Args:
        session: where the results come from.
        metadata: of the whole invocation; merged into every result, and wins over what was reported.
    """

    def __init__(self, session: ResultSource, *, metadata: Mapping[str, RawMetadataValue] | None = None) -> None:
        self._session = session
        self._metadata = normalise_values(metadata)

    @property
    def metadata(self) -> Mapping[str, MetadataValue]:
        return self._metadata

    @property
    def invocation(self) -> Invocation:
        """The broker's record: id, verdict, reasons, times."""
        return self._session.invocation

    def get_results(self, *, implicit_materializations: bool = True) -> tuple[PipesResult, ...]:
        """Everything reported, in reported order; then an implicit result for each target without a report.

        Implicit results come only from an invocation that succeeded, and are marked (`result.implicit`).
        """
        return self._session.get_results(
            implicit_materializations=implicit_materializations, metadata=self._metadata or None
        )

    def iterate_results(self, *, implicit_materializations: bool = True) -> Iterator[PipesResult]:
        """What `get_results` gives, one by one: for results by the million, which are then never all in memory."""
        return self._session.iterate_results(
            implicit_materializations=implicit_materializations, metadata=self._metadata or None
        )

    @property
    def partial_results(self) -> tuple[PipesResult, ...]:
        """What was reported, as far as it was, and nothing implicit: also of work that failed, was lost, or whose
        events are not all here. It may be less than the work did; the verdict says whether it is all.
        """
        return self.get_results(implicit_materializations=False)

    def get_materialize_result(self, *, implicit_materialization: bool = True) -> MaterializeResult:
        """The only materialization, with the reported checks of its asset.

        Raises:
            PipesError: there was none, or several, or a check of another asset.
        """
        results = self.get_results(implicit_materializations=implicit_materialization)
        materializations = [result for result in results if isinstance(result, MaterializeResult)]
        checks = [result for result in results if isinstance(result, AssetCheckResult)]
        if not materializations:
            raise PipesError("No materialization results received from external process.")
        if len(materializations) > 1:
            keys = [result.asset_key.to_user_string() for result in materializations if result.asset_key is not None]
            raise PipesError(
                f"Multiple materialize results returned with asset keys {sorted(keys)}. If you are materializing "
                "multiple assets in a pipes invocation, use get_results() instead."
            )
        (materialization,) = materializations
        if any(check.asset_key not in (None, materialization.asset_key) for check in checks):
            raise PipesError(
                "Check result specified an asset key that is not part of the returned materialization. "
                "If this was deliberate, use get_results() instead."
            )
        if not checks:
            return materialization
        return materialization.replace(check_results=[*materialization.check_results, *checks])

    def get_asset_check_result(self) -> AssetCheckResult:
        """The only result, which is a check.

        Raises:
            PipesError: there was none, or several, or a materialization (an implicit one counts).
        """
        results = self.get_results()
        materializations = [result for result in results if isinstance(result, MaterializeResult)]
        checks = [result for result in results if isinstance(result, AssetCheckResult)]
        if materializations or len(checks) != 1:
            raise PipesError(
                f"Did not find singular AssetCheckResult, got {len(materializations)} MaterializeResults and "
                f"{len(checks)} AssetCheckResults. Correct the reported results or use get_results() instead."
            )
        return checks[0]

    def get_custom_messages(self) -> tuple[JsonValue, ...]:
        """The payloads of all custom messages, in order, nulls included."""
        return self._session.get_custom_messages()

    def iterate_custom_messages(self) -> Iterator[JsonValue]:
        """The same, one by one: for messages by the million, which are then never all in memory."""
        return self._session.iterate_custom_messages()

    def get_observations(self) -> tuple[AssetObservation, ...]:
        """What was observed of assets, in order. None of it is a result, or counts as a materialization."""
        return self._session.get_observations()

    def iterate_observations(self) -> Iterator[AssetObservation]:
        """The same, one by one: for observations by the million, which are then never all in memory."""
        return self._session.iterate_observations()

    def __repr__(self) -> str:
        invocation = self.invocation
        return f"PipesClientCompletedInvocation({invocation.id}, verdict={invocation.verdict!r})"

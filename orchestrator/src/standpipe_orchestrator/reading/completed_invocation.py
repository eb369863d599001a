"""What `run()` returns: the results of a finished invocation, with Dagster's getters, rules and error sentences.

All getters are repeatable; nothing is consumed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from standpipe_orchestrator.errors import PipesError
from standpipe_orchestrator.reading.result_collection import ResultCollection
from standpipe_orchestrator.reading.result_getters import ResultGetters
from standpipe_orchestrator.values.metadata_conversion import RawMetadataValue, normalise_values
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult, PipesResult
from standpipe_protocol.invocation import Invocation


class ResultSource(Protocol):
    """Where the results come from: a session, or a replay."""

    collected: ResultCollection

    @property
    def invocation(self) -> Invocation: ...


class PipesClientCompletedInvocation(ResultGetters):
    """A finished invocation.

    Args:
        session: where the results come from.
        metadata: of the whole invocation; merged into every result, and wins over what was reported.
    """

    def __init__(self, session: ResultSource, *, metadata: Mapping[str, RawMetadataValue] | None = None) -> None:
        self.metadata: Mapping[str, MetadataValue] = normalise_values(metadata)
        super().__init__(session.collected, metadata=self.metadata)
        self._session = session

    @property
    def invocation(self) -> Invocation:
        """The broker's record: id, verdict, reasons, times."""
        return self._session.invocation

    @property
    def partial_results(self) -> tuple[PipesResult, ...]:
        """What was reported, and nothing implicit: also of work that failed or was lost, or with events that are not
        all here. It may be less than the work did; the verdict says whether it is all.
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

    def __repr__(self) -> str:
        invocation = self.invocation
        return f"PipesClientCompletedInvocation({invocation.id}, verdict={invocation.verdict!r})"

"""The getters of everything that has results: a session, a finished invocation, a replay of stored events.

Every call returns everything until now; nothing is consumed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from standpipe_orchestrator.reading.result_collection import ResultCollection
from standpipe_orchestrator.values.from_events import with_metadata
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_orchestrator.values.results import AssetObservation, PipesResult
from standpipe_protocol.json_text import JsonValue


class ResultGetters:
    """Results, custom messages and observations, as tuples or one by one."""

    def __init__(self, collected: ResultCollection, *, metadata: Mapping[str, MetadataValue] | None = None) -> None:
        self.collected = collected
        self._metadata = dict(metadata or {})

    def get_results(
        self, *, implicit_materializations: bool = True, metadata: Mapping[str, MetadataValue] | None = None
    ) -> tuple[PipesResult, ...]:
        """Everything reported until now, in order; every call answers with everything.

        Once the invocation has ended `succeeded`, each target for which nothing was reported has an implicit result,
        marked as such. Of what several attempts of the work reported on one asset or check, the newest one's stands. To
        yield results while the work runs use `stream_results`, which gives each once.
        """
        return tuple(self.iterate_results(implicit_materializations=implicit_materializations, metadata=metadata))

    def iterate_results(
        self, *, implicit_materializations: bool = True, metadata: Mapping[str, MetadataValue] | None = None
    ) -> Iterator[PipesResult]:
        """What `get_results` gives, one by one. Beyond the first thousands they are read from the history and not kept,
        so that a million of them takes no memory.

        Raises:
            BrokerError: they cannot be read any more.
        """
        merged = {**self._metadata, **(metadata or {})}
        yield from with_metadata(self.collected.iterate_reported(), merged)
        if implicit_materializations:
            yield from with_metadata(self.collected.implicit(), merged)

    def get_custom_messages(self) -> tuple[JsonValue, ...]:
        """The payloads of all custom messages until now, in order; after the end without those of older attempts."""
        return self.collected.custom_messages()

    def iterate_custom_messages(self) -> Iterator[JsonValue]:
        """What `get_custom_messages` gives, one by one, read as `iterate_results` reads.

        Raises:
            BrokerError: they cannot be read any more.
        """
        yield from self.collected.iterate_custom_messages()

    def get_observations(self) -> tuple[AssetObservation, ...]:
        """The observations until now, in order; after the end without those of older attempts. None is a result."""
        return tuple(self.iterate_observations())

    def iterate_observations(self) -> Iterator[AssetObservation]:
        """What `get_observations` gives, one by one, read as `iterate_results` reads.

        Raises:
            BrokerError: they cannot be read any more.
        """
        yield from self.collected.iterate_observations()

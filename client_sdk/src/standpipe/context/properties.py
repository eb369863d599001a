"""The properties of a context: assets, partition, run and extras. Undefined ones raise Dagster's errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from standpipe.context import rules
from standpipe.errors import DagsterPipesError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from standpipe_protocol.context import ContextData
    from standpipe_protocol.json_text import JsonValue


class ContextProperties:
    """The step as the orchestrator describes it. The data is loaded by the first property that is read."""

    @property
    def _data(self) -> ContextData:
        raise NotImplementedError

    @property
    def is_asset_step(self) -> bool:
        """Whether the step targets assets (also true in a check-only step, which has an empty list of them)."""
        return self._data.asset_keys is not None

    @property
    def asset_key(self) -> str:
        """The key of the one asset in scope."""
        return rules.single_asset("asset_key", self._data.asset_keys)[0]

    @property
    def asset_keys(self) -> Sequence[str]:
        """The keys of the assets in scope, as escaped text."""
        keys = self._data.asset_keys
        return list(rules.no_asset("asset_keys") if keys is None else keys)

    @property
    def provenance(self) -> Mapping[str, JsonValue] | None:
        """The provenance of the one asset in scope."""
        if self._data.provenance_by_asset_key is None:
            rules.no_asset("provenance")
        rules.single_asset("provenance", self._data.asset_keys)
        return next(iter(self._data.provenance_by_asset_key.values()), None)

    @property
    def provenance_by_asset_key(self) -> Mapping[str, Mapping[str, JsonValue] | None]:
        """Provenance by asset key."""
        provenance = self._data.provenance_by_asset_key
        return rules.no_asset("provenance_by_asset_key") if provenance is None else provenance

    @property
    def code_version(self) -> str | None:
        """The code version of the one asset in scope."""
        if self._data.code_version_by_asset_key is None:
            rules.no_asset("code_version")
        rules.single_asset("code_version", self._data.asset_keys)
        return next(iter(self._data.code_version_by_asset_key.values()), None)

    @property
    def code_version_by_asset_key(self) -> Mapping[str, str | None]:
        """Code versions by asset key."""
        versions = self._data.code_version_by_asset_key
        return rules.no_asset("code_version_by_asset_key") if versions is None else versions

    @property
    def is_partition_step(self) -> bool:
        """Whether the step has one or more partitions."""
        return self._data.partition_key_range is not None

    @property
    def partition_key(self) -> str:
        """The partition's key."""
        key = self._data.partition_key
        return rules.no_partition("partition_key") if key is None else key

    @property
    def partition_key_range(self) -> Mapping[str, str]:
        """First and last key of the partitions, as `{"start": ..., "end": ...}`."""
        keys = self._data.partition_key_range
        return rules.no_partition("partition_key_range") if keys is None else {"start": keys.start, "end": keys.end}

    @property
    def partition_time_window(self) -> Mapping[str, str] | None:
        """Start and end of the partition's time, as `{"start": ..., "end": ...}`; None when it is not one of time."""
        if self._data.partition_key_range is None:
            rules.no_partition("partition_time_window")
        window = self._data.partition_time_window
        return None if window is None else {"start": window.start, "end": window.end}

    @property
    def run_id(self) -> str | None:
        """The orchestrator's id of the run."""
        return self._data.run_id

    @property
    def job_name(self) -> str | None:
        """The job's name, where the run is one of a job."""
        return self._data.job_name

    @property
    def retry_number(self) -> int:
        """How many times this was tried before."""
        return self._data.retry_number

    @property
    def extras(self) -> Mapping[str, JsonValue]:
        """The extras that the orchestration code passed."""
        return self._data.extras

    def get_extra(self, key: str) -> JsonValue:
        """One of the extras.

        Raises:
            DagsterPipesError: there is no such extra.
        """
        extras = self._data.extras
        if key not in extras:
            raise DagsterPipesError(f"Extra `{key}` is undefined. Extras must be provided by user.")
        return extras[key]

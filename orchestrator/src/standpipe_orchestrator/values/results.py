"""What an asset function returns and an external process reports: materializations, check results, observations.

Frozen values, keyword-compatible with Dagster's. Metadata is normalised when they are made.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Final, Self, TypeAlias, final

from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey
from standpipe_orchestrator.values.metadata_conversion import RawMetadataValue, normalise_values
from standpipe_orchestrator.values.metadata_values import MetadataValue


@final
class NoValue(Enum):
    """The type of `NO_VALUE`: a materialization that hands no value on (None would be one)."""

    NO_VALUE = "NO_VALUE"

    def __repr__(self) -> str:
        return "NO_VALUE"


NO_VALUE: Final = NoValue.NO_VALUE


class AssetCheckSeverity(Enum):
    """How bad a failed check is: `ERROR` fails the run, `WARN` is shown."""

    WARN = "WARN"
    ERROR = "ERROR"


class DataVersion(str):
    """A data version; equal to its text."""

    __slots__ = ()

    @property
    def value(self) -> str:
        return str(self)


_NOT_SHOWN: Mapping[str, object] = {"value": NO_VALUE, "implicit": False, "replaces": False}
"""Fields that a text leaves out, and the values with which it does."""


class _Frozen:
    """Equality and text over the slots; assignment is refused."""

    __slots__ = ()

    def _fields(self) -> dict[str, object]:
        return {name: getattr(self, name) for name in type(self).__slots__}

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, _Frozen) and type(other) is type(self) else False

    def __hash__(self) -> int:
        return hash((type(self).__name__, repr(self._fields())))

    def __repr__(self) -> str:
        fields = ((name, getattr(self, name)) for name in type(self).__annotations__)
        shown = [f"{name}={value!r}" for name, value in fields if _NOT_SHOWN.get(name, self) is not value]
        return f"{type(self).__name__}({', '.join(shown)})"

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; make a new one instead of setting `{name}`.")

    def __getstate__(self) -> dict[str, object]:
        return self._fields()

    def __setstate__(self, state: Mapping[str, object]) -> None:
        # Older versions did not have all fields.
        fields = type(self).__annotations__
        missing = {name: value for name, value in _NOT_SHOWN.items() if name in fields}
        self._set(**{**missing, **state})

    def replace(self, **changes: object) -> Self:
        """A copy with other values for the named fields."""
        return type(self)(**{**self._fields(), **changes})

    @classmethod
    def of_normal(cls, **fields: object) -> Self:
        """A value of all its fields, which are in their normal form already: nothing is converted or checked."""
        made = object.__new__(cls)
        made._set(**fields)
        return made

    def replace_normal(self, **changes: object) -> Self:
        """As `replace`, with values that are in their normal form already."""
        return self.of_normal(**{**self._fields(), **changes})

    def _set(self, **values: object) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)


@final
class AssetCheckResult(_Frozen):
    """The outcome of an asset check.

    `asset_key` and `check_name` may be left out where the check's definition says them. `replaces` marks, while results
    stream, one that takes the place of an earlier one which an older attempt of the work had reported.
    """

    __slots__ = ("asset_key", "check_name", "description", "metadata", "passed", "replaces", "severity")

    passed: bool
    asset_key: AssetKey | None
    check_name: str | None
    metadata: Mapping[str, MetadataValue]
    severity: AssetCheckSeverity
    description: str | None
    replaces: bool

    def __init__(
        self,
        *,
        passed: bool,
        asset_key: CoercibleToAssetKey | None = None,
        check_name: str | None = None,
        metadata: Mapping[str, RawMetadataValue] | None = None,
        severity: AssetCheckSeverity = AssetCheckSeverity.ERROR,
        description: str | None = None,
        replaces: bool = False,
    ) -> None:
        if not isinstance(passed, bool):  # pyright: ignore[reportUnnecessaryIsInstance]  a numpy bool is a common mistake
            raise TypeError(f"AssetCheckResult was given passed={passed!r} ({type(passed).__name__}); expected a bool.")
        self._set(
            passed=passed,
            asset_key=None if asset_key is None else AssetKey.from_coercible(asset_key),
            check_name=check_name,
            metadata=normalise_values(metadata),
            severity=AssetCheckSeverity(severity),
            description=description,
            replaces=replaces,
        )


@final
class MaterializeResult(_Frozen):
    """An asset was materialized.

    `implicit` marks a result without a report: the invocation succeeded, and Dagster's rule says that the
    selected asset therefore was materialized. `replaces` marks, while results stream, one that takes the place of an
    earlier one which an older attempt of the work had reported.
    """

    __slots__ = ("asset_key", "check_results", "data_version", "implicit", "metadata", "replaces", "tags", "value")

    asset_key: AssetKey | None
    metadata: Mapping[str, MetadataValue]
    check_results: Sequence[AssetCheckResult]
    data_version: DataVersion | None
    tags: Mapping[str, str] | None
    value: object
    implicit: bool
    replaces: bool

    def __init__(  # noqa: PLR0917  Dagster's order
        self,
        asset_key: CoercibleToAssetKey | None = None,
        metadata: Mapping[str, RawMetadataValue] | None = None,
        check_results: Sequence[AssetCheckResult] | None = None,
        data_version: str | None = None,
        tags: Mapping[str, str] | None = None,
        value: object = NO_VALUE,
        *,
        implicit: bool = False,
        replaces: bool = False,
    ) -> None:
        self._set(
            asset_key=None if asset_key is None else AssetKey.from_coercible(asset_key),
            metadata=normalise_values(metadata),
            check_results=list(check_results or ()),
            data_version=None if data_version is None else DataVersion(data_version),
            tags=None if tags is None else dict(tags),
            value=value,
            implicit=implicit,
            replaces=replaces,
        )


@final
class AssetObservation(_Frozen):
    """Something was seen of an asset. It is no materialization, and there may be any number of them.

    `partition` is None where the work said none: then it is that of the work, if it has one.
    """

    __slots__ = ("asset_key", "data_version", "metadata", "partition", "tags")

    asset_key: AssetKey
    metadata: Mapping[str, MetadataValue]
    data_version: DataVersion | None
    partition: str | None
    tags: Mapping[str, str]

    def __init__(
        self,
        asset_key: CoercibleToAssetKey,
        *,
        metadata: Mapping[str, RawMetadataValue] | None = None,
        data_version: str | None = None,
        partition: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._set(
            asset_key=AssetKey.from_coercible(asset_key),
            metadata=normalise_values(metadata),
            data_version=None if data_version is None else DataVersion(data_version),
            partition=partition,
            tags=dict(tags or {}),
        )


PipesResult: TypeAlias = MaterializeResult | AssetCheckResult


def is_red(check: AssetCheckResult) -> bool:
    """The check failed and its severity says that this matters."""
    return not check.passed and check.severity is not AssetCheckSeverity.WARN

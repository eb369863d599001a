"""A value handed to downstream assets, with what is said about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from standpipe_orchestrator.values.metadata_conversion import normalise_values
from standpipe_orchestrator.values.metadata_values import MetadataValue

T = TypeVar("T")


@dataclass(frozen=True, slots=True, init=False, eq=False)
class Output(Generic[T]):
    """An asset's value. The I/O manager stores it, and downstream assets take it by the asset's name.

    Args:
        value: anything the I/O manager can store.
        output_name: which asset of a multi-asset this is (the key's parts joined by `__`). Where that fits two keys,
            return a MaterializeResult with `asset_key` and `value`.
        metadata: plain values or MetadataValues, recorded with the materialization.
        data_version: recorded with the materialization.
    """

    value: T
    output_name: str | None
    metadata: Mapping[str, MetadataValue]
    data_version: str | None

    def __init__(
        self,
        value: T,
        output_name: str | None = None,
        metadata: Mapping[str, object] | None = None,
        *,
        data_version: str | None = None,
    ) -> None:
        object.__setattr__(self, "value", value)
        object.__setattr__(self, "output_name", None if output_name == "result" else output_name)
        object.__setattr__(self, "metadata", normalise_values(metadata))
        object.__setattr__(self, "data_version", data_version)

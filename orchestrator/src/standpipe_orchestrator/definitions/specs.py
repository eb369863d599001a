"""What a step declares: assets and checks, by key, with what is known about them before anything runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import cast

from standpipe_orchestrator.definitions.partitions import PartitionsDefinition
from standpipe_orchestrator.errors import InvalidDefinition
from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey


def to_asset_key(value: object) -> AssetKey:
    """A key from a key, a part, a sequence of parts, a spec, or a definition of one asset.

    Raises:
        InvalidDefinition: it is none of these.
    """
    key = value if isinstance(value, AssetKey) else getattr(value, "key", None)
    parts = cast("Sequence[object]", value) if isinstance(value, Sequence) else ()
    if not isinstance(key, AssetKey):
        if isinstance(value, str) and value:
            key = AssetKey([value])
        elif parts and all(isinstance(part, str) for part in parts):
            key = AssetKey(cast("Sequence[str]", parts))
        else:
            raise InvalidDefinition(
                "Expected an asset key (an AssetKey, a string, or a list of strings), an AssetSpec or an asset, "
                f"got {value!r}."
            )
    if not key.parts or not key.parts[-1]:
        # On the wire an empty last part is dropped, so that two keys would be one.
        raise InvalidDefinition(f"The asset key {key.path!r} ends in an empty part; expected a name there.")
    return key


def keys_of(deps: Iterable[object] | None) -> tuple[AssetKey, ...]:
    """The keys of dependencies, each once; a multi-asset stands for all of its assets."""
    keys: dict[AssetKey, None] = {}
    for dep in deps or ():
        # What @asset and @multi_asset make; they are built on this module.
        specs = cast("Sequence[AssetSpec] | None", getattr(dep, "specs", None))
        if specs is not None:
            keys.update(dict.fromkeys(spec.key for spec in specs))
        else:
            keys[to_asset_key(dep)] = None
    return tuple(keys)


@dataclass(frozen=True, slots=True, init=False)
class AssetSpec:
    """One asset: its key, what it depends on, and what is said about it.

    In `Definitions(assets=...)` on its own it stands for an asset that something else makes.
    """

    key: AssetKey
    deps: tuple[AssetKey, ...]
    description: str | None
    metadata: Mapping[str, object]
    skippable: bool
    """The step may end without a result for it; what depends on it is then skipped, and the run stays green."""
    group_name: str | None
    code_version: str | None
    partitions_def: PartitionsDefinition | None
    tags: Mapping[str, str]
    owners: tuple[str, ...]
    kinds: frozenset[str]

    def __init__(
        self,
        key: CoercibleToAssetKey,
        *,
        deps: Iterable[object] | None = None,
        description: str | None = None,
        metadata: Mapping[str, object] | None = None,
        skippable: bool = False,
        group_name: str | None = None,
        code_version: str | None = None,
        partitions_def: PartitionsDefinition | None = None,
        tags: Mapping[str, str] | None = None,
        owners: Iterable[str] | None = None,
        kinds: Iterable[str] | None = None,
    ) -> None:
        values: dict[str, object] = {
            "key": to_asset_key(key),
            "deps": keys_of(deps),
            "description": description,
            "metadata": dict(metadata or {}),
            "skippable": skippable,
            "group_name": group_name,
            "code_version": code_version,
            "partitions_def": partitions_def,
            "tags": dict(tags or {}),
            "owners": tuple(owners or ()),
            "kinds": frozenset(kinds or ()),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def with_defaults(self, *, group_name: str | None, partitions_def: PartitionsDefinition | None) -> AssetSpec:
        """The same, with these where the spec has none of its own."""
        partitions_def = self.partitions_def or partitions_def
        return replace(self, group_name=self.group_name or group_name, partitions_def=partitions_def)


@dataclass(frozen=True, slots=True)
class AssetCheckKey:
    """Which check of which asset."""

    asset_key: AssetKey
    name: str

    def __str__(self) -> str:
        return f"{self.name} on {self.asset_key.to_escaped_user_string()}"


@dataclass(frozen=True, slots=True, init=False)
class AssetCheckSpec:
    """One check of one asset. While a blocking one is not green, nothing downstream of its asset runs."""

    name: str
    asset_key: AssetKey
    description: str | None
    blocking: bool
    metadata: Mapping[str, object]

    def __init__(
        self,
        name: str,
        *,
        asset: object,
        description: str | None = None,
        blocking: bool = False,
        metadata: Mapping[str, object] | None = None,
    ) -> None:
        if not name:
            raise InvalidDefinition(f"An asset check needs a name; the one of asset {asset!r} has none.")
        values: dict[str, object] = {
            "name": name,
            "asset_key": to_asset_key(asset),
            "description": description,
            "blocking": blocking,
            "metadata": dict(metadata or {}),
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)

    @property
    def key(self) -> AssetCheckKey:
        return AssetCheckKey(self.asset_key, self.name)


@dataclass(frozen=True, slots=True, init=False)
class AssetIn:
    """Which asset's value a parameter takes, where the parameter's name does not say it."""

    key: AssetKey | None
    key_prefix: tuple[str, ...] = field(default=())

    def __init__(
        self, key: CoercibleToAssetKey | None = None, *, key_prefix: str | Sequence[str] | None = None
    ) -> None:
        object.__setattr__(self, "key", None if key is None else to_asset_key(key))
        object.__setattr__(self, "key_prefix", key_parts(key_prefix))

    def resolve(self, parameter: str) -> AssetKey:
        return self.key if self.key is not None else AssetKey([*self.key_prefix, parameter])


def key_parts(prefix: str | Sequence[str] | None) -> tuple[str, ...]:
    return () if prefix is None else (prefix,) if isinstance(prefix, str) else tuple(prefix)

"""Steps: a decorated function with what it declares. A step runs once and makes assets, evaluates checks, or both."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import overload

from standpipe_orchestrator.definitions.partitions import PartitionsDefinition
from standpipe_orchestrator.definitions.specs import (
    AssetCheckSpec,
    AssetIn,
    AssetSpec,
    key_parts,
    keys_of,
    to_asset_key,
)
from standpipe_orchestrator.errors import InvalidDefinition
from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey

CONTEXT_PARAMETERS = frozenset({"context", "_context", "_", "__"})
"""A function that takes the context takes it first, under one of these names."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter beside the context: a resource, or an asset's value."""

    name: str
    has_default: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class StepDefinition:
    """One function to run, and everything it declares. Calling it calls the function."""

    name: str
    function: Callable[..., object]
    specs: tuple[AssetSpec, ...] = ()
    check_specs: tuple[AssetCheckSpec, ...] = ()
    deps: tuple[AssetKey, ...] = ()
    """Assets that a check needs beside its own."""
    ins: Mapping[str, AssetIn]
    context_parameter: str | None
    parameters: tuple[Parameter, ...]
    can_subset: bool = False
    named_after_key: bool = False
    """Whether `name` was made of the key, and may be made otherwise where another step has it too."""

    def __call__(self, *args: object, **kwargs: object) -> object:
        return self.function(*args, **kwargs)

    @property
    def keys(self) -> frozenset[AssetKey]:
        """The assets this step makes."""
        return frozenset(spec.key for spec in self.specs)

    @property
    def partitions_def(self) -> PartitionsDefinition | None:
        return self.specs[0].partitions_def if self.specs else None


class AssetsDefinition(StepDefinition):
    """A step that makes one asset or several."""

    __slots__ = ()

    @property
    def key(self) -> AssetKey:
        """The key of the only asset.

        Raises:
            InvalidDefinition: the step makes several.
        """
        if len(self.specs) != 1:
            keys = ", ".join(repr(spec.key.to_escaped_user_string()) for spec in self.specs)
            raise InvalidDefinition(f"`{self.name}` makes several assets ({keys}); name the one that is meant.")
        return self.specs[0].key


class AssetChecksDefinition(StepDefinition):
    """A step that only evaluates a check."""

    __slots__ = ()


@overload
def asset(compute_fn: Callable[..., object]) -> AssetsDefinition: ...


@overload
def asset(
    *,
    name: str | None = None,
    key_prefix: str | Sequence[str] | None = None,
    key: CoercibleToAssetKey | None = None,
    ins: Mapping[str, AssetIn | CoercibleToAssetKey] | None = None,
    deps: Iterable[object] | None = None,
    metadata: Mapping[str, object] | None = None,
    description: str | None = None,
    group_name: str | None = None,
    code_version: str | None = None,
    partitions_def: PartitionsDefinition | None = None,
    check_specs: Sequence[AssetCheckSpec] | None = None,
    tags: Mapping[str, str] | None = None,
    owners: Iterable[str] | None = None,
    kinds: Iterable[str] | None = None,
    compute_kind: str | None = None,
    output_required: bool = True,
) -> Callable[[Callable[..., object]], AssetsDefinition]: ...


def asset(
    compute_fn: Callable[..., object] | None = None,
    *,
    name: str | None = None,
    key_prefix: str | Sequence[str] | None = None,
    key: CoercibleToAssetKey | None = None,
    ins: Mapping[str, AssetIn | CoercibleToAssetKey] | None = None,
    deps: Iterable[object] | None = None,
    metadata: Mapping[str, object] | None = None,
    description: str | None = None,
    group_name: str | None = None,
    code_version: str | None = None,
    partitions_def: PartitionsDefinition | None = None,
    check_specs: Sequence[AssetCheckSpec] | None = None,
    tags: Mapping[str, str] | None = None,
    owners: Iterable[str] | None = None,
    kinds: Iterable[str] | None = None,
    compute_kind: str | None = None,
    output_required: bool = True,
) -> AssetsDefinition | Callable[[Callable[..., object]], AssetsDefinition]:
    """Makes a function the step of one asset, named after the function unless `name` or `key` says otherwise.

    The function takes the context first (if it is called `context`), resources by their names, and upstream assets'
    values by theirs (or as `ins` says). It returns a MaterializeResult, an Output, a plain value or nothing, or yields
    results while it runs. With `output_required=False` it may also end without making its asset, by yielding nothing.
    """

    def decorate(function: Callable[..., object]) -> AssetsDefinition:
        if key is not None and (name is not None or key_prefix is not None):
            raise InvalidDefinition(
                f"The asset of `{function.__name__}` is given `key` and also `name` or `key_prefix`."
            )
        own = to_asset_key(key) if key is not None else AssetKey([*key_parts(key_prefix), name or function.__name__])
        spec = AssetSpec(
            own,
            deps=deps,
            description=description or inspect.getdoc(function),
            metadata=metadata,
            group_name=group_name,
            code_version=code_version,
            partitions_def=partitions_def,
            tags=tags,
            owners=owners,
            kinds=[*(kinds or ()), *([compute_kind] if compute_kind else ())],
            skippable=not output_required,
        )
        definition = _assets(function, own.to_python_identifier(), (spec,), check_specs, ins, can_subset=False)
        return replace(definition, named_after_key=True)

    return decorate(compute_fn) if compute_fn is not None else decorate


def multi_asset(
    *,
    specs: Sequence[AssetSpec],
    name: str | None = None,
    ins: Mapping[str, AssetIn | CoercibleToAssetKey] | None = None,
    check_specs: Sequence[AssetCheckSpec] | None = None,
    can_subset: bool = False,
    partitions_def: PartitionsDefinition | None = None,
    group_name: str | None = None,
) -> Callable[[Callable[..., object]], AssetsDefinition]:
    """Makes a function the step of several assets. It returns or yields a result for each of them.

    With `can_subset` it may run for some of them only (`context.selected_asset_keys`).
    """

    def decorate(function: Callable[..., object]) -> AssetsDefinition:
        step_name = name or function.__name__
        if not specs:
            raise InvalidDefinition(f"The multi-asset `{step_name}` declares no assets; give it `specs`.")
        declared = tuple(spec.with_defaults(group_name=group_name, partitions_def=partitions_def) for spec in specs)
        if any(spec.partitions_def != declared[0].partitions_def for spec in declared):
            raise InvalidDefinition(f"The assets of `{step_name}` have different partitions; one step has one slice.")
        return _assets(function, step_name, declared, check_specs, ins, can_subset=can_subset)

    return decorate


def asset_check(
    *,
    asset: object,
    name: str | None = None,
    description: str | None = None,
    blocking: bool = False,
    additional_deps: Iterable[object] | None = None,
    additional_ins: Mapping[str, AssetIn | CoercibleToAssetKey] | None = None,
    metadata: Mapping[str, object] | None = None,
) -> Callable[[Callable[..., object]], AssetChecksDefinition]:
    """Makes a function the check of an asset. It returns an AssetCheckResult.

    While a `blocking` check of severity ERROR has not passed, nothing downstream of the asset runs.
    """

    def decorate(function: Callable[..., object]) -> AssetChecksDefinition:
        spec = AssetCheckSpec(
            name or function.__name__,
            asset=asset,
            description=description or inspect.getdoc(function),
            blocking=blocking,
            metadata=metadata,
        )
        context_parameter, parameters = _parameters_of(function)
        return AssetChecksDefinition(
            name=spec.asset_key.to_python_identifier(spec.name),
            named_after_key=True,
            function=function,
            check_specs=(spec,),
            deps=keys_of(additional_deps),
            ins=_ins(additional_ins, parameters, function),
            context_parameter=context_parameter,
            parameters=parameters,
        )

    return decorate


def _assets(
    function: Callable[..., object],
    name: str,
    specs: tuple[AssetSpec, ...],
    check_specs: Sequence[AssetCheckSpec] | None,
    ins: Mapping[str, AssetIn | CoercibleToAssetKey] | None,
    *,
    can_subset: bool,
) -> AssetsDefinition:
    context_parameter, parameters = _parameters_of(function)
    keys = [spec.key for spec in specs]
    checks = tuple(check_specs or ())
    for check in checks:
        if check.asset_key not in keys:
            raise InvalidDefinition(
                f"`{name}` declares the check `{check.name}` on {check.asset_key.to_escaped_user_string()!r}, "
                f"which it does not make: it makes {', '.join(repr(key.to_escaped_user_string()) for key in keys)}."
            )
    return AssetsDefinition(
        name=name,
        function=function,
        specs=specs,
        check_specs=checks,
        ins=_ins(ins, parameters, function),
        context_parameter=context_parameter,
        parameters=parameters,
        can_subset=can_subset,
    )


def _parameters_of(function: Callable[..., object]) -> tuple[str | None, tuple[Parameter, ...]]:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise InvalidDefinition(
            f"`{function.__name__}` is an async function; steps are plain functions: call asyncio.run in it."
        )
    context_parameter, parameters = None, list[Parameter]()
    for position, parameter in enumerate(inspect.signature(function).parameters.values()):
        if position == 0 and parameter.name in CONTEXT_PARAMETERS:
            context_parameter = parameter.name
            continue
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise InvalidDefinition(
                f"`{function.__name__}` takes `{parameter}`; resources and upstream values are passed by name, "
                "so give each of them a parameter of its own."
            )
        parameters.append(Parameter(parameter.name, parameter.default is not parameter.empty))
    return context_parameter, tuple(parameters)


def _ins(
    ins: Mapping[str, AssetIn | CoercibleToAssetKey] | None,
    parameters: tuple[Parameter, ...],
    function: Callable[..., object],
) -> dict[str, AssetIn]:
    resolved = {name: value if isinstance(value, AssetIn) else AssetIn(value) for name, value in (ins or {}).items()}
    if unknown := resolved.keys() - {parameter.name for parameter in parameters}:
        raise InvalidDefinition(
            f"`ins` of `{function.__name__}` names {sorted(unknown)}, which it has no parameter for."
        )
    return resolved

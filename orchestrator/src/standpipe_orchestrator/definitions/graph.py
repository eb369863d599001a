"""The asset graph: who makes what, what each step's parameters mean, and whether it all fits together.

Everything that can be wrong with a set of definitions is said here, before anything runs.
"""

from __future__ import annotations

import difflib
import graphlib
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass

from standpipe_orchestrator.definitions.naming import with_distinct_names
from standpipe_orchestrator.definitions.partitions import PartitionsDefinition
from standpipe_orchestrator.definitions.specs import AssetCheckKey, AssetSpec
from standpipe_orchestrator.definitions.steps import AssetChecksDefinition, StepDefinition
from standpipe_orchestrator.errors import InvalidDefinition
from standpipe_orchestrator.values.asset_key import AssetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step in the graph, its parameters resolved."""

    definition: StepDefinition
    inputs: Mapping[str, AssetKey]
    """Parameters that take an asset's value."""
    resources: tuple[str, ...]
    """Parameters that take the resource of their name."""
    needs: frozenset[AssetKey]
    """Assets of other steps that must be there first."""

    @property
    def name(self) -> str:
        return self.definition.name

    @property
    def is_check(self) -> bool:
        return isinstance(self.definition, AssetChecksDefinition)


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetGraph:
    """All steps, in the order they were given, and all assets by key."""

    nodes: Mapping[str, Node]
    specs: Mapping[AssetKey, AssetSpec]
    """Every asset that is declared, those included that something else makes."""
    maker: Mapping[AssetKey, str]
    """Which step makes an asset."""
    blocking: Mapping[AssetKey, tuple[str, ...]]
    """Check steps that stand between an asset and what is downstream of it."""

    @classmethod
    def build(
        cls, steps: Sequence[StepDefinition], *, external: Sequence[AssetSpec] = (), resources: Iterable[str] = ()
    ) -> AssetGraph:
        """Resolves every parameter and checks that keys are made once, partitions fit and nothing waits for itself.

        Raises:
            InvalidDefinition: something does not fit.
        """
        steps = with_distinct_names(steps)
        specs, maker = _declared(steps, external)
        _refuse_repeated_checks(steps)
        known = frozenset(resources)
        nodes: dict[str, Node] = {}
        for step in steps:
            if step.name in nodes:
                raise InvalidDefinition(f"Two steps are called `{step.name}`; give one of them another `name`.")
            nodes[step.name] = _node(step, specs, known)
        graph = cls(nodes=nodes, specs=specs, maker=maker, blocking=_blocking(steps))
        for node in nodes.values():
            graph._refuse_unlike_partitions(node)
        try:
            tuple(graphlib.TopologicalSorter({name: graph.upstream(name) for name in nodes}).static_order())
        except graphlib.CycleError as error:
            raise InvalidDefinition(f"These steps wait for each other: {' <- '.join(error.args[1])}.") from None
        return graph

    def upstream(self, name: str) -> tuple[str, ...]:
        """The steps that run before this one: makers of what it needs, and checks that block what it needs."""
        node = self.nodes[name]
        before: dict[str, None] = {}
        for key in sorted(node.needs):
            if key in self.maker:
                before[self.maker[key]] = None
            if not node.is_check:
                before.update(dict.fromkeys(self.blocking.get(key, ())))
        return tuple(before)

    def upstream_keys(self, key: AssetKey) -> frozenset[AssetKey]:
        """The assets that an asset depends on."""
        if key not in self.maker:
            return frozenset(self.specs[key].deps)
        node = self.nodes[self.maker[key]]
        return frozenset(self.specs[key].deps) | frozenset(node.inputs.values())

    def _refuse_unlike_partitions(self, node: Node) -> None:
        for parameter, key in node.inputs.items():
            upstream = self.specs[key].partitions_def if key in self.specs else None
            own = self.partitions_of(node)
            if upstream is not None and own is not None and upstream != own:
                raise InvalidDefinition(
                    f"The step `{node.name}` takes the value of {key.to_escaped_user_string()!r} as `{parameter}`, but "
                    "the two have different partitions, so which slice is meant is open: use `deps` and read it "
                    "yourself."
                )

    def partitions_of(self, node: Node) -> PartitionsDefinition | None:
        """A step's partitions; a check has those of its asset."""
        if node.is_check:
            spec = self.specs.get(node.definition.check_specs[0].asset_key)
            return spec.partitions_def if spec is not None else None
        return node.definition.partitions_def


def _declared(
    steps: Sequence[StepDefinition], external: Sequence[AssetSpec]
) -> tuple[dict[AssetKey, AssetSpec], dict[AssetKey, str]]:
    specs: dict[AssetKey, AssetSpec] = {}
    maker: dict[AssetKey, str] = {}
    for step in steps:
        for spec in step.specs:
            if spec.key in specs:
                raise InvalidDefinition(
                    f"The asset {spec.key.to_escaped_user_string()!r} is made twice: "
                    f"by `{maker[spec.key]}` and by `{step.name}`."
                )
            specs[spec.key], maker[spec.key] = spec, step.name
    for spec in external:
        if spec.key in specs:
            raise InvalidDefinition(f"The asset {spec.key.to_escaped_user_string()!r} is declared twice.")
        specs[spec.key] = spec
    return specs, maker


def _refuse_repeated_checks(steps: Sequence[StepDefinition]) -> None:
    seen: dict[AssetCheckKey, str] = {}
    for step in steps:
        for check in step.check_specs:
            if check.key in seen:
                raise InvalidDefinition(
                    f"The check {check.key} is declared twice: by `{seen[check.key]}` and by `{step.name}`."
                )
            seen[check.key] = step.name


def _blocking(steps: Sequence[StepDefinition]) -> dict[AssetKey, tuple[str, ...]]:
    blocking: dict[AssetKey, tuple[str, ...]] = {}
    for step in steps:
        if isinstance(step, AssetChecksDefinition):
            for check in step.check_specs:
                if check.blocking:
                    blocking[check.asset_key] = (*blocking.get(check.asset_key, ()), step.name)
    return blocking


def _node(step: StepDefinition, specs: Mapping[AssetKey, AssetSpec], resources: Set[str]) -> Node:
    inputs: dict[str, AssetKey] = {}
    resource_names: list[str] = []
    open_parameters: list[str] = []
    for parameter in step.parameters:
        name, own_name = parameter.name, AssetKey([parameter.name])
        if name in step.ins:
            inputs[name] = step.ins[name].resolve(name)
            if inputs[name] not in specs:
                raise InvalidDefinition(_unknown_asset(step, name, inputs[name], specs))
        elif name in resources and own_name in specs:
            raise InvalidDefinition(
                f"The parameter `{name}` of `{step.name}` names a resource and an asset; "
                "rename one of them, or say which asset is meant with `ins`."
            )
        elif name in resources:
            resource_names.append(name)
        elif own_name in specs:
            inputs[name] = own_name
        elif not parameter.has_default:
            open_parameters.append(name)
    if isinstance(step, AssetChecksDefinition) and len(open_parameters) == 1:
        # A check may call the value of the asset it is about what it likes.
        target = step.check_specs[0].asset_key
        if target in specs and target not in inputs.values():
            inputs[open_parameters.pop()] = target
    if open_parameters:
        raise InvalidDefinition(_unknown_parameter(step, open_parameters[0], specs, resources))
    needs = {key for spec in step.specs for key in spec.deps if key not in step.keys}
    needs |= {*inputs.values(), *step.deps}
    if isinstance(step, AssetChecksDefinition):
        needs |= {check.asset_key for check in step.check_specs}
    if own := step.keys & set(inputs.values()):
        raise InvalidDefinition(
            f"The step `{step.name}` takes the value of {min(own).to_escaped_user_string()!r}, which it makes."
        )
    return Node(definition=step, inputs=inputs, resources=tuple(resource_names), needs=frozenset(needs))


def _unknown_asset(step: StepDefinition, name: str, key: AssetKey, specs: Mapping[AssetKey, AssetSpec]) -> str:
    close = difflib.get_close_matches(
        key.to_escaped_user_string(), [known.to_escaped_user_string() for known in specs], n=1
    )
    return (
        f"The parameter `{name}` of `{step.name}` takes the value of the asset {key.to_escaped_user_string()!r}, "
        f"which is not among the definitions{f'; did you mean {close[0]!r}?' if close else '.'}"
    )


def _unknown_parameter(
    step: StepDefinition, name: str, specs: Mapping[AssetKey, AssetSpec], resources: Set[str]
) -> str:
    close = difflib.get_close_matches(name, [*resources, *(key.to_escaped_user_string() for key in specs)], n=1)
    resource_names = ", ".join(f"`{resource}`" for resource in sorted(resources)) or "none"
    return (
        f"The parameter `{name}` of `{step.name}` is neither a resource (there are: {resource_names}) nor an asset"
        f"{f'; did you mean `{close[0]}`?' if close else '.'}"
        " Pass the resource to Definitions or materialize, or add the asset; `ins` maps a parameter to another key."
    )

"""The plan of one run: the selected steps in the order they run, each with its slice. Pure: nothing runs here."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime

from standpipe_orchestrator.definitions.graph import AssetGraph, Node
from standpipe_orchestrator.definitions.partitions import PartitionTimeWindow
from standpipe_orchestrator.definitions.running.selection import select_keys
from standpipe_orchestrator.definitions.specs import AssetCheckSpec, AssetSpec
from standpipe_orchestrator.errors import InvalidPartition, InvalidSelection
from standpipe_orchestrator.values.asset_key import AssetKey


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStep:
    """One step of one run: what of it is selected, and for which slice."""

    node: Node
    specs: tuple[AssetSpec, ...]
    check_specs: tuple[AssetCheckSpec, ...]
    partition_key: str | None
    time_window: PartitionTimeWindow | None

    @property
    def name(self) -> str:
        return self.node.name

    @property
    def keys(self) -> tuple[AssetKey, ...]:
        return tuple(spec.key for spec in self.specs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The steps of one run, in order."""

    graph: AssetGraph
    steps: tuple[PlannedStep, ...]
    partition_key: str | None


def plan_run(
    graph: AssetGraph, *, selection: object = None, partition_key: str | None = None, now: datetime | None = None
) -> Plan:
    """Decides what runs, in which order, and for which slice.

    A step's checks run with its assets; without a selection, checks of assets that no step makes run too.

    Raises:
        InvalidSelection: the selection names what is not there, or a part of a step that only runs whole.
        InvalidPartition: a partition key is missing, unknown, or given where nothing is partitioned.
    """
    keys = select_keys(graph, selection)
    chosen: dict[str, PlannedStep] = {}
    for name, node in graph.nodes.items():
        step = _planned(graph, node, keys, everything=selection is None, partition_key=partition_key, now=now)
        if step is not None:
            chosen[name] = step
    if not chosen:
        raise InvalidSelection("There is nothing to run: the definitions hold no step.")
    if partition_key is not None and all(step.partition_key is None for step in chosen.values()):
        raise InvalidPartition(
            f"The partition {partition_key!r} is given, but none of the selected assets is partitioned: leave it out."
        )
    steps = tuple(chosen[name] for name in _in_order(graph) if name in chosen)
    return Plan(graph=graph, steps=steps, partition_key=partition_key)


def _planned(
    graph: AssetGraph,
    node: Node,
    keys: Set[AssetKey],
    *,
    everything: bool,
    partition_key: str | None,
    now: datetime | None,
) -> PlannedStep | None:
    definition = node.definition
    specs = tuple(spec for spec in definition.specs if spec.key in keys)
    checks = tuple(check for check in definition.check_specs if check.asset_key in keys)
    if node.is_check:
        checks = definition.check_specs if everything else checks
        if not checks:
            return None
    elif not specs:
        return None
    elif len(specs) < len(definition.specs) and not definition.can_subset:
        missing = ", ".join(spec.key.to_escaped_user_string() for spec in definition.specs if spec.key not in keys)
        raise InvalidSelection(
            f"The step `{node.name}` makes all of its assets or none (it has no `can_subset`), and these are not "
            f"selected: {missing}. Select them too."
        )
    partitions = graph.partitions_of(node)
    if partitions is None:
        return PlannedStep(node=node, specs=specs, check_specs=checks, partition_key=None, time_window=None)
    if partition_key is None:
        example = (partitions.get_partition_keys(now) or ["…"])[0]
        raise InvalidPartition(
            f"The step `{node.name}` is partitioned: say which partition is to run (for instance {example!r})."
        )
    partitions.require(partition_key, current_time=now)
    return PlannedStep(
        node=node,
        specs=specs,
        check_specs=checks,
        partition_key=partition_key,
        time_window=partitions.time_window(partition_key),
    )


def _in_order(graph: AssetGraph) -> list[str]:
    """After everything upstream; a check as soon as it can be, otherwise as they were given.

    Of all steps, so that two selected ones keep their order when what lies between them is not selected.
    """
    waiting = {name: set(graph.upstream(name)) for name in graph.nodes}
    ordered: list[str] = []
    while waiting:
        ready = [name for name, before in waiting.items() if not before]
        name = next((name for name in ready if graph.nodes[name].is_check), ready[0])
        ordered.append(name)
        del waiting[name]
        for before in waiting.values():
            before.discard(name)
    return ordered

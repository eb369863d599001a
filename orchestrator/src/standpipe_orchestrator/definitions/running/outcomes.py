"""How a run and its steps ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from standpipe_orchestrator.definitions.naming import keys_named, output_names
from standpipe_orchestrator.definitions.specs import to_asset_key
from standpipe_orchestrator.values.asset_key import AssetKey, CoercibleToAssetKey
from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult, is_red

StepStatus: TypeAlias = Literal["succeeded", "failed", "skipped"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutcome:
    """How one step ended, and what it recorded until then."""

    name: str
    status: StepStatus
    seconds: float = 0.0
    results: tuple[MaterializeResult | AssetCheckResult, ...] = ()
    invocations: tuple[str, ...] = ()
    """Ids of the invocations it launched, in order."""
    error: BaseException | None = None
    reason: str | None = None
    """Why it was skipped, or failed, as a sentence."""
    excused: bool = False
    """Whether it was skipped only because a skippable asset was not made, which makes no run red."""

    @property
    def green(self) -> bool:
        """The step succeeded, or did not have to run."""
        return self.status == "succeeded" or self.excused

    @property
    def materializations(self) -> tuple[MaterializeResult, ...]:
        return tuple(result for result in self.results if isinstance(result, MaterializeResult))

    @property
    def checks(self) -> tuple[AssetCheckResult, ...]:
        return tuple(result for result in self.results if isinstance(result, AssetCheckResult))


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecuteResult:
    """How a run ended, step by step in the order they ran."""

    run_id: str
    steps: tuple[StepOutcome, ...]
    load_value: Callable[[AssetKey], object] = field(repr=False)
    nodes: dict[str, tuple[AssetKey, ...]] = field(repr=False)
    """The keys each step was to make."""

    @property
    def success(self) -> bool:
        """Every step succeeded, and no check of severity ERROR failed. A failed WARN check leaves it true, and so does
        a step that was skipped because a skippable asset was not made."""
        return all(step.green for step in self.steps) and not self.failed_checks

    @property
    def failed_checks(self) -> tuple[AssetCheckResult, ...]:
        """The checks of severity ERROR that did not pass."""
        return tuple(check for check in self.checks if is_red(check))

    @property
    def materializations(self) -> tuple[MaterializeResult, ...]:
        return tuple(result for step in self.steps for result in step.materializations)

    @property
    def checks(self) -> tuple[AssetCheckResult, ...]:
        return tuple(result for step in self.steps for result in step.checks)

    def outcome_for(self, name: str) -> StepOutcome:
        """How the step of this name ended.

        Raises:
            KeyError: the run had no such step.
        """
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(f"The run had no step `{name}`; it had {', '.join(step.name for step in self.steps)}.")

    def asset_value(self, asset_key: CoercibleToAssetKey) -> object:
        """The value the run stored for an asset, read back.

        Raises:
            KeyError: the run recorded no such asset.
            ValueNotStored: it was recorded without a value.
        """
        key = to_asset_key(asset_key)
        if all(result.asset_key != key for result in self.materializations):
            raise KeyError(f"The run recorded no materialization of the asset {key.to_escaped_user_string()!r}.")
        return self.load_value(key)

    def output_for_node(self, node_name: str, output_name: str = "result") -> object:
        """The value of the only asset of a step; of a multi-asset's, `output_name` says which.

        Raises:
            KeyError: the run had no such step or output, or the name fits several assets.
        """
        self.outcome_for(node_name)
        keys = self.nodes[node_name]
        named = keys_named(output_name, keys)
        if not named and len(keys) == 1 and output_name == "result":
            named = keys
        if len(named) > 1:
            fitting = " and ".join(repr(key.to_escaped_user_string()) for key in named)
            raise KeyError(
                f"The output {output_name!r} of the step `{node_name}` may be {fitting}; "
                "`asset_value(asset_key=…)` takes the key that is meant."
            )
        if not named:
            names = ", ".join(output_names(keys).values())
            raise KeyError(f"The step `{node_name}` has no output {output_name!r}; it has {names}.")
        return self.asset_value(named[0])

    def asset_materializations_for_node(self, node_name: str) -> tuple[MaterializeResult, ...]:
        return self.outcome_for(node_name).materializations

    def get_asset_check_evaluations(self) -> tuple[AssetCheckResult, ...]:
        return self.checks

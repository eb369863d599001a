"""Running a plan: one step after the other, each with its context, resources and upstream values.

A step that fails never stops what does not depend on it; what does is skipped, and says why.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from standpipe_orchestrator.definitions.definitions import Definitions
from standpipe_orchestrator.definitions.io_managers import FilesystemIOManager, InputContext, IOManager, OutputContext
from standpipe_orchestrator.definitions.running import run_events
from standpipe_orchestrator.definitions.running.outcomes import ExecuteResult, StepOutcome
from standpipe_orchestrator.definitions.running.plan import Plan, PlannedStep, plan_run
from standpipe_orchestrator.definitions.running.step_context import (
    AssetCheckExecutionContext,
    AssetExecutionContext,
    StepExecutionContext,
)
from standpipe_orchestrator.definitions.running.step_results import ResultCollector
from standpipe_orchestrator.definitions.specs import AssetSpec
from standpipe_orchestrator.definitions.steps import StepDefinition
from standpipe_orchestrator.errors import InvalidDefinition, InvalidResult
from standpipe_orchestrator.sessions.exit_status import child_statuses
from standpipe_orchestrator.values.asset_key import AssetKey
from standpipe_orchestrator.values.from_events import report_key
from standpipe_orchestrator.values.metadata_conversion import normalise_values
from standpipe_orchestrator.values.metadata_values import MetadataValue
from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult, is_red

IO_MANAGER = "io_manager"


def materialize(
    assets: Definitions | Iterable[StepDefinition | AssetSpec],
    *,
    selection: object = None,
    partition_key: str | None = None,
    resources: Mapping[str, object] | None = None,
    raise_on_error: bool = True,
    run_id: str | None = None,
    job_name: str = "materialize",
    on_event: Callable[[run_events.RunEvent], None] | None = None,
) -> ExecuteResult:
    """Runs assets and their checks in dependency order.

    Args:
        assets: definitions, or what makes them up (checks included).
        selection: keys, assets or selection texts (`orders`, `+orders`, `orders*`, `group:raw`); None for all.
        partition_key: which slice partitioned assets make.
        resources: added to the definitions' own, by name.
        raise_on_error: raise what a step raised, at once. Otherwise everything that does not depend on it still runs,
            and the result says what failed. A failed check never raises.
        run_id: the run's id, by default a new UUID.
        job_name: the `job_name` of external processes.
        on_event: called with what happens, as it happens, partly from other threads.

    Raises:
        DefinitionError: the definitions, the selection or the partition do not fit; nothing has run.
    """
    if isinstance(assets, Definitions):
        definitions = assets.with_resources(resources) if resources else assets
    else:
        definitions = Definitions(assets=assets, resources=resources)
    plan = plan_run(definitions.graph, selection=selection, partition_key=partition_key)
    run = _Run(
        plan=plan,
        resources=definitions.resources,
        io_manager=_io_manager(definitions.resources),
        run_id=run_id or str(uuid.uuid4()),
        job_name=job_name,
        notify=on_event or (lambda _: None),
    )
    # What steps start as children of their own must not seem to end with 0 when they failed.
    with child_statuses:
        return run.execute(raise_on_error=raise_on_error)


@dataclass(frozen=True, slots=True)
class _Absence:
    """Why an asset is not there, and whether that is as it may be: it is skippable, or what it needs is."""

    reason: str
    excused: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class _Run:
    plan: Plan
    resources: Mapping[str, object]
    io_manager: IOManager
    run_id: str
    job_name: str
    notify: Callable[[run_events.RunEvent], None]
    missing: dict[AssetKey, _Absence] = field(default_factory=dict[AssetKey, "_Absence"])
    """Assets of this run that are not there, and why."""
    stored: set[AssetKey] = field(default_factory=set[AssetKey])
    """Assets of which this run has stored a value."""
    blocked: dict[AssetKey, str] = field(default_factory=dict[AssetKey, str])
    """Assets that are there but must not be used: a blocking check has not passed."""

    def execute(self, *, raise_on_error: bool) -> ExecuteResult:
        self.notify(run_events.RunStarted(run_id=self.run_id, plan=self.plan))
        outcomes: list[StepOutcome] = []
        for step in self.plan.steps:
            outcome = self._skipped(step) or self._run_step(step)
            self._note_consequences(step, outcome)
            outcomes.append(outcome)
            self.notify(run_events.StepEnded(outcome))
            if raise_on_error and outcome.error is not None:
                raise outcome.error
        result = ExecuteResult(
            run_id=self.run_id,
            steps=tuple(outcomes),
            load_value=self._load,
            nodes={step.name: step.keys for step in self.plan.steps},
        )
        self.notify(run_events.RunEnded(result))
        return result

    def _skipped(self, step: PlannedStep) -> StepOutcome | None:
        needed = sorted(step.node.needs)
        absences = [self.missing[key] for key in needed if key in self.missing]
        if not step.node.is_check:
            absences += [_Absence(self.blocked[key]) for key in needed if key in self.blocked]
        if not absences:
            return None
        # What is a fault is said before what is none.
        worst = min(absences, key=lambda absence: absence.excused)
        return StepOutcome(name=step.name, status="skipped", reason=worst.reason, excused=worst.excused)

    def _run_step(self, step: PlannedStep) -> StepOutcome:
        results: list[MaterializeResult | AssetCheckResult] = []
        invocations: list[str] = []

        def notify_step(event: run_events.StepEvent) -> None:
            if isinstance(event, run_events.InvocationRegistered):
                invocations.append(event.invocation_id)
            self.notify(event)

        def record(result: MaterializeResult | AssetCheckResult) -> None:
            if result.replaces:
                # The platform started the work again, and what it reports now stands.
                results[:] = [one for one in results if report_key(one) != report_key(result)]
            results.append(result)
            self.notify(run_events.Recorded(step=step.name, result=result))

        kind = AssetCheckExecutionContext if step.node.is_check else AssetExecutionContext
        context = kind(step=step, run_id=self.run_id, job_name=self.job_name, notify=notify_step)
        collector = ResultCollector(
            step,
            store_value=lambda key, value: self._store(step, key, value),
            record=record,
            added_metadata=context.metadata_added_to,
        )
        self.notify(run_events.StepStarted(step.name))
        began = time.monotonic()
        error: Exception | None = None
        try:
            collector.take_returned(self._call(step, context), required=lambda: context.required_results)
            self._forget_old_values(step, results)
        except SystemExit as raised:
            # Let through, it would end the whole run, and `sys.exit(0)` would end it green.
            error = InvalidResult(f"The step `{step.name}` called sys.exit({raised.code!r}); let it return or raise.")
            error.__cause__ = raised
        except Exception as raised:  # what user code raises is this step's outcome
            error = raised
        return StepOutcome(
            name=step.name,
            status="succeeded" if error is None else "failed",
            seconds=time.monotonic() - began,
            results=tuple(results),
            invocations=tuple(invocations),
            error=error,
            reason=None if error is None else str(error) or type(error).__name__,
        )

    def _call(self, step: PlannedStep, context: StepExecutionContext) -> object:
        arguments = {name: self.resources[name] for name in step.node.resources}
        arguments |= {name: self._load_for(step, key) for name, key in step.node.inputs.items()}
        function = step.node.definition.function
        return function(context, **arguments) if step.node.definition.context_parameter else function(**arguments)

    def _note_consequences(self, step: PlannedStep, outcome: StepOutcome) -> None:
        """What the steps after this one cannot count on."""
        made = {result.asset_key for result in outcome.materializations}
        for key in step.keys:
            if outcome.status == "failed":
                self.missing[key] = _Absence(f"`{step.name}` failed")
            elif outcome.status == "skipped":
                self.missing[key] = _Absence(f"`{step.name}` was skipped", excused=outcome.excused)
            elif key not in made:
                name = key.to_escaped_user_string()
                self.missing[key] = _Absence(f"`{step.name}` did not make {name!r} this time", excused=True)
        evaluated = {(check.asset_key, check.check_name): check for check in outcome.checks}
        for spec in step.check_specs:
            if spec.asset_key in self.missing:
                continue  # nothing that could be used
            check = evaluated.get((spec.asset_key, spec.name))
            if spec.blocking and (check is None or is_red(check)):
                self.blocked[spec.asset_key] = f"the blocking check {spec.key} did not pass"

    def _store(self, step: PlannedStep, key: AssetKey, value: object) -> Mapping[str, MetadataValue]:
        context = OutputContext(asset_key=key, partition_key=step.partition_key, run_id=self.run_id)
        self.io_manager.handle_output(context, value)
        self.stored.add(key)
        return normalise_values(context.metadata)

    def _forget_old_values(self, step: PlannedStep, results: Sequence[MaterializeResult | AssetCheckResult]) -> None:
        """An asset made anew without a value has none: downstream must not be given that of an earlier run."""
        for result in results:
            key = result.asset_key
            if isinstance(result, MaterializeResult) and key is not None and key not in self.stored:
                self.io_manager.forget(InputContext(asset_key=key, partition_key=step.partition_key))

    def _load_for(self, step: PlannedStep, key: AssetKey) -> object:
        spec = self.plan.graph.specs[key]
        if spec.partitions_def is not None and step.partition_key is None:
            # An unpartitioned step takes every slice that is there.
            return {
                partition: self.io_manager.load_input(InputContext(asset_key=key, partition_key=partition))
                for partition in self.io_manager.stored_partitions(key)
            }
        partition_key = step.partition_key if spec.partitions_def is not None else None
        return self.io_manager.load_input(InputContext(asset_key=key, partition_key=partition_key))

    def _load(self, key: AssetKey) -> object:
        partition_key = self.plan.partition_key if self.plan.graph.specs[key].partitions_def is not None else None
        return self.io_manager.load_input(InputContext(asset_key=key, partition_key=partition_key))


def _io_manager(resources: Mapping[str, object]) -> IOManager:
    io_manager = resources.get(IO_MANAGER)
    if io_manager is None:
        return FilesystemIOManager()
    if not isinstance(io_manager, IOManager):
        raise InvalidDefinition(f"The resource `{IO_MANAGER}` is {io_manager!r}; expected an IOManager.")
    return io_manager

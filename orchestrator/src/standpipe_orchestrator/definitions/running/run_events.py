"""What happens in a run, as events for a callback. They are in order within a step, and may come from any thread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult

if TYPE_CHECKING:
    from standpipe_orchestrator.definitions.running.outcomes import ExecuteResult, StepOutcome
    from standpipe_orchestrator.definitions.running.plan import Plan


@dataclass(frozen=True, slots=True)
class RunStarted:
    run_id: str
    plan: Plan


@dataclass(frozen=True, slots=True)
class StepStarted:
    step: str


@dataclass(frozen=True, slots=True)
class InvocationRegistered:
    """A step launches external work; this is the invocation to look it up by."""

    step: str
    invocation_id: str


@dataclass(frozen=True, slots=True)
class Reported:
    """An external process reported a result. It is on the server; for the run it counts once it is recorded."""

    step: str
    result: MaterializeResult | AssetCheckResult


@dataclass(frozen=True, slots=True)
class Recorded:
    """The step's function returned or yielded a result that it was to give."""

    step: str
    result: MaterializeResult | AssetCheckResult


@dataclass(frozen=True, slots=True)
class StepEnded:
    """The step succeeded, failed, or was skipped."""

    outcome: StepOutcome


@dataclass(frozen=True, slots=True)
class RunEnded:
    result: ExecuteResult


StepEvent: TypeAlias = InvocationRegistered | Reported | Recorded
RunEvent: TypeAlias = RunStarted | StepStarted | InvocationRegistered | Reported | Recorded | StepEnded | RunEnded

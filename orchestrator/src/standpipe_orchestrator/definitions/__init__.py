"""What is to be made, in which order, and how a run of it ends: assets, checks, partitions, selection, `materialize`.

This room knows no server. External work is launched by what steps are given (a `PipesSubprocessClient`, a session);
steps hand its results back. The one invariant: a run is green only if every step ended with all it declared, or did not
have to run because a skippable asset was not made.
"""

from standpipe_orchestrator.definitions.definitions import Definitions
from standpipe_orchestrator.definitions.files import file_relative_path
from standpipe_orchestrator.definitions.output import Output
from standpipe_orchestrator.definitions.partitions import (
    DailyPartitionsDefinition,
    MonthlyPartitionsDefinition,
    PartitionTimeWindow,
    StaticPartitionsDefinition,
)
from standpipe_orchestrator.definitions.running.outcomes import ExecuteResult, StepOutcome
from standpipe_orchestrator.definitions.running.run import materialize
from standpipe_orchestrator.definitions.running.run_events import (
    InvocationRegistered,
    Recorded,
    Reported,
    RunEnded,
    RunEvent,
    RunStarted,
    StepEnded,
    StepStarted,
)
from standpipe_orchestrator.definitions.running.step_context import (
    RUN_LOGGER,
    AssetCheckExecutionContext,
    AssetExecutionContext,
    StepExecutionContext,
)
from standpipe_orchestrator.definitions.specs import AssetCheckKey, AssetCheckSpec, AssetIn, AssetSpec
from standpipe_orchestrator.definitions.steps import (
    AssetChecksDefinition,
    AssetsDefinition,
    asset,
    asset_check,
    multi_asset,
)

__all__ = [
    "RUN_LOGGER",
    "AssetCheckExecutionContext",
    "AssetCheckKey",
    "AssetCheckSpec",
    "AssetChecksDefinition",
    "AssetExecutionContext",
    "AssetIn",
    "AssetSpec",
    "AssetsDefinition",
    "DailyPartitionsDefinition",
    "Definitions",
    "ExecuteResult",
    "InvocationRegistered",
    "MonthlyPartitionsDefinition",
    "Output",
    "PartitionTimeWindow",
    "Recorded",
    "Reported",
    "RunEnded",
    "RunEvent",
    "RunStarted",
    "StaticPartitionsDefinition",
    "StepEnded",
    "StepExecutionContext",
    "StepOutcome",
    "StepStarted",
    "asset",
    "asset_check",
    "file_relative_path",
    "materialize",
    "multi_asset",
]

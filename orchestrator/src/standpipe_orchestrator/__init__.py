"""Launch external code through a Standpipe broker, read its events as they come and build results.

This room composes calls to the broker and never imports the server; `transport` is its one module that imports an HTTP
client. Names are loaded when they are first used, so that importing this package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from standpipe_orchestrator.archives.replay import Replay as Replay
    from standpipe_orchestrator.archives.replay import replay as replay
    from standpipe_orchestrator.client.broker_client import BrokerClient as BrokerClient
    from standpipe_orchestrator.client.discovery import close_default_client as close_default_client
    from standpipe_orchestrator.client.discovery import default_client as default_client
    from standpipe_orchestrator.client.event_tail import EventPage as EventPage
    from standpipe_orchestrator.client.invocation_operations import RegisteredInvocation as RegisteredInvocation
    from standpipe_orchestrator.client.pages import Page as Page
    from standpipe_orchestrator.definitions import AssetCheckExecutionContext as AssetCheckExecutionContext
    from standpipe_orchestrator.definitions import AssetCheckKey as AssetCheckKey
    from standpipe_orchestrator.definitions import AssetChecksDefinition as AssetChecksDefinition
    from standpipe_orchestrator.definitions import AssetCheckSpec as AssetCheckSpec
    from standpipe_orchestrator.definitions import AssetExecutionContext as AssetExecutionContext
    from standpipe_orchestrator.definitions import AssetIn as AssetIn
    from standpipe_orchestrator.definitions import AssetsDefinition as AssetsDefinition
    from standpipe_orchestrator.definitions import AssetSpec as AssetSpec
    from standpipe_orchestrator.definitions import DailyPartitionsDefinition as DailyPartitionsDefinition
    from standpipe_orchestrator.definitions import Definitions as Definitions
    from standpipe_orchestrator.definitions import ExecuteResult as ExecuteResult
    from standpipe_orchestrator.definitions import MonthlyPartitionsDefinition as MonthlyPartitionsDefinition
    from standpipe_orchestrator.definitions import Output as Output
    from standpipe_orchestrator.definitions import PartitionTimeWindow as PartitionTimeWindow
    from standpipe_orchestrator.definitions import StaticPartitionsDefinition as StaticPartitionsDefinition
    from standpipe_orchestrator.definitions import StepExecutionContext as StepExecutionContext
    from standpipe_orchestrator.definitions import StepOutcome as StepOutcome
    from standpipe_orchestrator.definitions import asset as asset
    from standpipe_orchestrator.definitions import asset_check as asset_check
    from standpipe_orchestrator.definitions import file_relative_path as file_relative_path
    from standpipe_orchestrator.definitions import materialize as materialize
    from standpipe_orchestrator.definitions import multi_asset as multi_asset
    from standpipe_orchestrator.definitions.io_managers import FilesystemIOManager as FilesystemIOManager
    from standpipe_orchestrator.definitions.io_managers import InputContext as InputContext
    from standpipe_orchestrator.definitions.io_managers import IOManager as IOManager
    from standpipe_orchestrator.definitions.io_managers import OutputContext as OutputContext
    from standpipe_orchestrator.errors import BrokerError as BrokerError
    from standpipe_orchestrator.errors import BrokerNotFound as BrokerNotFound
    from standpipe_orchestrator.errors import BrokerUnreachable as BrokerUnreachable
    from standpipe_orchestrator.errors import DagsterPipesError as DagsterPipesError
    from standpipe_orchestrator.errors import DefinitionError as DefinitionError
    from standpipe_orchestrator.errors import InvalidArchive as InvalidArchive
    from standpipe_orchestrator.errors import InvalidDefinition as InvalidDefinition
    from standpipe_orchestrator.errors import InvocationNotFound as InvocationNotFound
    from standpipe_orchestrator.errors import NotFound as NotFound
    from standpipe_orchestrator.errors import PipesError as PipesError
    from standpipe_orchestrator.errors import ProblemError as ProblemError
    from standpipe_orchestrator.errors import ServerTooOld as ServerTooOld
    from standpipe_orchestrator.errors import StandpipeError as StandpipeError
    from standpipe_orchestrator.errors import UnexpectedAnswer as UnexpectedAnswer
    from standpipe_orchestrator.launchers.subprocess import PipesSubprocessClient as PipesSubprocessClient
    from standpipe_orchestrator.reading.completed_invocation import (
        PipesClientCompletedInvocation as PipesClientCompletedInvocation,
    )
    from standpipe_orchestrator.reading.execution_errors import DagsterPipesExecutionError as DagsterPipesExecutionError
    from standpipe_orchestrator.reading.execution_errors import PipesExecutionError as PipesExecutionError
    from standpipe_orchestrator.reading.execution_errors import PipesLaunchError as PipesLaunchError
    from standpipe_orchestrator.reading.execution_errors import PipesResultsIncomplete as PipesResultsIncomplete
    from standpipe_orchestrator.reading.forwarded_output import forwarding_to as forwarding_to
    from standpipe_orchestrator.sessions.opening import attach as attach
    from standpipe_orchestrator.sessions.opening import open_pipes_session as open_pipes_session
    from standpipe_orchestrator.sessions.pipes_session import PipesSession as PipesSession
    from standpipe_orchestrator.sessions.run_context import PipesRunContext as PipesRunContext
    from standpipe_orchestrator.values.asset_key import AssetKey as AssetKey
    from standpipe_orchestrator.values.metadata_values import BoolMetadataValue as BoolMetadataValue
    from standpipe_orchestrator.values.metadata_values import DagsterAssetMetadataValue as DagsterAssetMetadataValue
    from standpipe_orchestrator.values.metadata_values import DagsterRunMetadataValue as DagsterRunMetadataValue
    from standpipe_orchestrator.values.metadata_values import FloatMetadataValue as FloatMetadataValue
    from standpipe_orchestrator.values.metadata_values import IntMetadataValue as IntMetadataValue
    from standpipe_orchestrator.values.metadata_values import JsonMetadataValue as JsonMetadataValue
    from standpipe_orchestrator.values.metadata_values import MarkdownMetadataValue as MarkdownMetadataValue
    from standpipe_orchestrator.values.metadata_values import MetadataValue as MetadataValue
    from standpipe_orchestrator.values.metadata_values import NotebookMetadataValue as NotebookMetadataValue
    from standpipe_orchestrator.values.metadata_values import NullMetadataValue as NullMetadataValue
    from standpipe_orchestrator.values.metadata_values import PathMetadataValue as PathMetadataValue
    from standpipe_orchestrator.values.metadata_values import (
        TableColumnLineageMetadataValue as TableColumnLineageMetadataValue,
    )
    from standpipe_orchestrator.values.metadata_values import TableMetadataValue as TableMetadataValue
    from standpipe_orchestrator.values.metadata_values import TableSchemaMetadataValue as TableSchemaMetadataValue
    from standpipe_orchestrator.values.metadata_values import TextMetadataValue as TextMetadataValue
    from standpipe_orchestrator.values.metadata_values import TimestampMetadataValue as TimestampMetadataValue
    from standpipe_orchestrator.values.metadata_values import UrlMetadataValue as UrlMetadataValue
    from standpipe_orchestrator.values.results import AssetCheckResult as AssetCheckResult
    from standpipe_orchestrator.values.results import AssetCheckSeverity as AssetCheckSeverity
    from standpipe_orchestrator.values.results import AssetObservation as AssetObservation
    from standpipe_orchestrator.values.results import DataVersion as DataVersion
    from standpipe_orchestrator.values.results import MaterializeResult as MaterializeResult
    from standpipe_orchestrator.values.tables import TableColumn as TableColumn
    from standpipe_orchestrator.values.tables import TableColumnConstraints as TableColumnConstraints
    from standpipe_orchestrator.values.tables import TableColumnDep as TableColumnDep
    from standpipe_orchestrator.values.tables import TableColumnLineage as TableColumnLineage
    from standpipe_orchestrator.values.tables import TableConstraints as TableConstraints
    from standpipe_orchestrator.values.tables import TableRecord as TableRecord
    from standpipe_orchestrator.values.tables import TableSchema as TableSchema
    from standpipe_protocol.context import ContextData as ContextData
    from standpipe_protocol.invocation import Event as Event
    from standpipe_protocol.invocation import Expected as Expected
    from standpipe_protocol.invocation import ExpectedCheck as ExpectedCheck
    from standpipe_protocol.invocation import Invocation as Invocation
    from standpipe_protocol.process_end import Cause as Cause

_MODULES = {
    "standpipe_orchestrator.client.pages": ("Page",),
    "standpipe_orchestrator.values.asset_key": ("AssetKey",),
    "standpipe_orchestrator.client.broker_client": ("BrokerClient",),
    "standpipe_orchestrator.reading.completed_invocation": ("PipesClientCompletedInvocation",),
    "standpipe_orchestrator.definitions": (
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
        "MonthlyPartitionsDefinition",
        "Output",
        "PartitionTimeWindow",
        "StaticPartitionsDefinition",
        "StepExecutionContext",
        "StepOutcome",
        "asset",
        "asset_check",
        "file_relative_path",
        "materialize",
        "multi_asset",
    ),
    "standpipe_orchestrator.client.discovery": (
        "close_default_client",
        "default_client",
    ),
    "standpipe_orchestrator.client.event_tail": ("EventPage",),
    "standpipe_orchestrator.reading.execution_errors": (
        "DagsterPipesExecutionError",
        "PipesExecutionError",
        "PipesLaunchError",
        "PipesResultsIncomplete",
    ),
    "standpipe_orchestrator.errors": (
        "BrokerError",
        "BrokerNotFound",
        "BrokerUnreachable",
        "DagsterPipesError",
        "DefinitionError",
        "InvalidArchive",
        "InvalidDefinition",
        "InvocationNotFound",
        "NotFound",
        "PipesError",
        "ProblemError",
        "ServerTooOld",
        "StandpipeError",
        "UnexpectedAnswer",
    ),
    "standpipe_orchestrator.client.invocation_operations": ("RegisteredInvocation",),
    "standpipe_orchestrator.definitions.io_managers": (
        "FilesystemIOManager",
        "IOManager",
        "InputContext",
        "OutputContext",
    ),
    "standpipe_orchestrator.launchers.subprocess": ("PipesSubprocessClient",),
    "standpipe_orchestrator.values.metadata_values": (
        "BoolMetadataValue",
        "DagsterAssetMetadataValue",
        "DagsterRunMetadataValue",
        "FloatMetadataValue",
        "IntMetadataValue",
        "JsonMetadataValue",
        "MarkdownMetadataValue",
        "MetadataValue",
        "NotebookMetadataValue",
        "NullMetadataValue",
        "PathMetadataValue",
        "TableColumnLineageMetadataValue",
        "TableMetadataValue",
        "TableSchemaMetadataValue",
        "TextMetadataValue",
        "TimestampMetadataValue",
        "UrlMetadataValue",
    ),
    "standpipe_orchestrator.sessions.opening": (
        "attach",
        "open_pipes_session",
    ),
    "standpipe_orchestrator.archives.replay": (
        "Replay",
        "replay",
    ),
    "standpipe_orchestrator.values.results": (
        "AssetCheckResult",
        "AssetCheckSeverity",
        "AssetObservation",
        "DataVersion",
        "MaterializeResult",
    ),
    "standpipe_orchestrator.sessions.run_context": ("PipesRunContext",),
    "standpipe_orchestrator.sessions.pipes_session": ("PipesSession",),
    "standpipe_orchestrator.reading.forwarded_output": ("forwarding_to",),
    "standpipe_orchestrator.values.tables": (
        "TableColumn",
        "TableColumnConstraints",
        "TableColumnDep",
        "TableColumnLineage",
        "TableConstraints",
        "TableRecord",
        "TableSchema",
    ),
    "standpipe_protocol.context": ("ContextData",),
    "standpipe_protocol.invocation": (
        "Event",
        "Expected",
        "ExpectedCheck",
        "Invocation",
    ),
    "standpipe_protocol.process_end": ("Cause",),
}
_WHERE = {name: module for module, names in _MODULES.items() for name in names}

if not TYPE_CHECKING:
    # Type checkers take the public names from the imports above, where each is written `X as X`.
    __all__ = [*sorted(_WHERE)]  # noqa: PLE0604  they are strings


def __getattr__(name: str) -> object:
    module = _WHERE.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_WHERE})

"""The client of Standpipe: external code reads its context and reports to a broker over HTTP.

```python
from standpipe import open_pipes

with open_pipes() as context:
    context.log.info("counting orders")
    context.report_asset_materialization(metadata={"orders": 3})
```

This module imports nothing until a name is used, so that `import standpipe` costs next to nothing.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from standpipe.context.cancellation import PipesCancelled
    from standpipe.context.log_handler import StandpipeHandler
    from standpipe.context.pipes_context import PipesContext
    from standpipe.delivery_report import DeliveryReport, Rejection
    from standpipe.errors import (
        DagsterPipesError,
        DagsterPipesWarning,
        PipesConfigurationError,
        PipesError,
        PipesInvocationEnded,
        PipesMessageTooLarge,
        PipesNotDelivered,
        PipesNotFound,
        PipesProblem,
        PipesServerError,
        PipesServerUnreachable,
        PipesUnauthorized,
        StandpipeError,
    )
    from standpipe.lifecycle.termination import take_sigterm
    from standpipe.plugins.blob_stores import (
        PipesAzureBlobStorageContextLoader,
        PipesAzureBlobStorageMessageWriter,
        PipesAzureBlobStorageMessageWriterChannel,
        PipesBlobStoreMessageWriter,
        PipesBlobStoreMessageWriterChannel,
        PipesBufferedFilesystemMessageWriterChannel,
        PipesDbfsContextLoader,
        PipesDbfsMessageWriter,
        PipesGCSContextLoader,
        PipesGCSMessageWriter,
        PipesGCSMessageWriterChannel,
        PipesS3ContextLoader,
        PipesS3MessageWriter,
        PipesS3MessageWriterChannel,
        PipesUnityCatalogVolumesContextLoader,
        PipesUnityCatalogVolumesMessageWriter,
    )
    from standpipe.plugins.dagster_plugins import (
        PipesBufferedStreamMessageWriterChannel,
        PipesCliArgsParamsLoader,
        PipesDatabricksNotebookWidgetsParamsLoader,
        PipesDefaultContextLoader,
        PipesDefaultMessageWriter,
        PipesFileMessageWriterChannel,
        PipesPrefectLogsMessageWriter,
        PipesPrefectLogsMessageWriterChannel,
        PipesStreamMessageWriterChannel,
    )
    from standpipe.plugins.dagster_types import (
        DAGSTER_PIPES_CONTEXT_ENV_VAR,
        DAGSTER_PIPES_MESSAGES_ENV_VAR,
        PIPES_PROTOCOL_VERSION,
        PipesAssetCheckSeverity,
        PipesContextData,
        PipesDataProvenance,
        PipesExtras,
        PipesMessage,
        PipesMetadataRawValue,
        PipesMetadataType,
        PipesMetadataValue,
        PipesOpenedData,
        PipesParams,
        PipesPartitionKeyRange,
        PipesTimeWindow,
        decode_env_var,
        decode_param,
        encode_env_var,
        encode_param,
    )
    from standpipe.plugins.interfaces import (
        PipesContextLoader,
        PipesEnvVarParamsLoader,
        PipesMappingParamsLoader,
        PipesMessageWriter,
        PipesMessageWriterChannel,
        PipesParamsLoader,
    )
    from standpipe.session import open_dagster_pipes, open_pipes
    from standpipe_protocol.members import PipesException

_MODULES = (
    "errors",
    "context.pipes_context",
    "session",
    "lifecycle.termination",
    "delivery_report",
    "context.log_handler",
    "plugins.dagster_types",
    "exceptions",
    "plugins.interfaces",
    "plugins.dagster_plugins",
    "plugins.blob_stores",
)
"""Where the names are, in the order in which they are searched: what every program needs comes first."""

__all__ = [
    "DAGSTER_PIPES_CONTEXT_ENV_VAR",
    "DAGSTER_PIPES_MESSAGES_ENV_VAR",
    "PIPES_PROTOCOL_VERSION",
    "DagsterPipesError",
    "DagsterPipesWarning",
    "DeliveryReport",
    "PipesAssetCheckSeverity",
    "PipesAzureBlobStorageContextLoader",
    "PipesAzureBlobStorageMessageWriter",
    "PipesAzureBlobStorageMessageWriterChannel",
    "PipesBlobStoreMessageWriter",
    "PipesBlobStoreMessageWriterChannel",
    "PipesBufferedFilesystemMessageWriterChannel",
    "PipesBufferedStreamMessageWriterChannel",
    "PipesCancelled",
    "PipesCliArgsParamsLoader",
    "PipesConfigurationError",
    "PipesContext",
    "PipesContextData",
    "PipesContextLoader",
    "PipesDataProvenance",
    "PipesDatabricksNotebookWidgetsParamsLoader",
    "PipesDbfsContextLoader",
    "PipesDbfsMessageWriter",
    "PipesDefaultContextLoader",
    "PipesDefaultMessageWriter",
    "PipesEnvVarParamsLoader",
    "PipesError",
    "PipesException",
    "PipesExtras",
    "PipesFileMessageWriterChannel",
    "PipesGCSContextLoader",
    "PipesGCSMessageWriter",
    "PipesGCSMessageWriterChannel",
    "PipesInvocationEnded",
    "PipesMappingParamsLoader",
    "PipesMessage",
    "PipesMessageTooLarge",
    "PipesMessageWriter",
    "PipesMessageWriterChannel",
    "PipesMetadataRawValue",
    "PipesMetadataType",
    "PipesMetadataValue",
    "PipesNotDelivered",
    "PipesNotFound",
    "PipesOpenedData",
    "PipesParams",
    "PipesParamsLoader",
    "PipesPartitionKeyRange",
    "PipesPrefectLogsMessageWriter",
    "PipesPrefectLogsMessageWriterChannel",
    "PipesProblem",
    "PipesS3ContextLoader",
    "PipesS3MessageWriter",
    "PipesS3MessageWriterChannel",
    "PipesServerError",
    "PipesServerUnreachable",
    "PipesStreamMessageWriterChannel",
    "PipesTimeWindow",
    "PipesUnauthorized",
    "PipesUnityCatalogVolumesContextLoader",
    "PipesUnityCatalogVolumesMessageWriter",
    "Rejection",
    "StandpipeError",
    "StandpipeHandler",
    "decode_env_var",
    "decode_param",
    "encode_env_var",
    "encode_param",
    "open_dagster_pipes",
    "open_pipes",
    "take_sigterm",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    for path in _MODULES:
        module = importlib.import_module(f"{__name__}.{path}")
        if hasattr(module, name):
            globals()[name] = getattr(module, name)
            break
    return globals()[name]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

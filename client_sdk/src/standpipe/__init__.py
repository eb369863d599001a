"""The client of Standpipe: external code reads its context and reports to a broker over HTTP.

```python
from standpipe import open_pipes

with open_pipes() as context:
    context.log.info("counting orders")
    context.report_asset_materialization(metadata={"orders": 3})
```

This module imports nothing until a name is used, so that `import standpipe` costs nothing to speak of.
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
    from standpipe_protocol.messages import PipesException

_HOMES = {
    "plugins.blob_stores": (
        "PipesAzureBlobStorageContextLoader",
        "PipesAzureBlobStorageMessageWriter",
        "PipesAzureBlobStorageMessageWriterChannel",
        "PipesBlobStoreMessageWriter",
        "PipesBlobStoreMessageWriterChannel",
        "PipesBufferedFilesystemMessageWriterChannel",
        "PipesDbfsContextLoader",
        "PipesDbfsMessageWriter",
        "PipesGCSContextLoader",
        "PipesGCSMessageWriter",
        "PipesGCSMessageWriterChannel",
        "PipesS3ContextLoader",
        "PipesS3MessageWriter",
        "PipesS3MessageWriterChannel",
        "PipesUnityCatalogVolumesContextLoader",
        "PipesUnityCatalogVolumesMessageWriter",
    ),
    "context.cancellation": ("PipesCancelled",),
    "context.pipes_context": ("PipesContext",),
    "delivery_report": ("DeliveryReport", "Rejection"),
    "exceptions": ("PipesException",),
    "errors": (
        "DagsterPipesError",
        "DagsterPipesWarning",
        "PipesConfigurationError",
        "PipesError",
        "PipesInvocationEnded",
        "PipesMessageTooLarge",
        "PipesNotDelivered",
        "PipesNotFound",
        "PipesProblem",
        "PipesServerError",
        "PipesServerUnreachable",
        "PipesUnauthorized",
        "StandpipeError",
    ),
    "context.log_handler": ("StandpipeHandler",),
    "plugins.interfaces": (
        "PipesContextLoader",
        "PipesEnvVarParamsLoader",
        "PipesMappingParamsLoader",
        "PipesMessageWriter",
        "PipesMessageWriterChannel",
        "PipesParamsLoader",
    ),
    "plugins.dagster_plugins": (
        "PipesBufferedStreamMessageWriterChannel",
        "PipesCliArgsParamsLoader",
        "PipesDatabricksNotebookWidgetsParamsLoader",
        "PipesDefaultContextLoader",
        "PipesDefaultMessageWriter",
        "PipesFileMessageWriterChannel",
        "PipesPrefectLogsMessageWriter",
        "PipesPrefectLogsMessageWriterChannel",
        "PipesStreamMessageWriterChannel",
    ),
    "session": ("open_dagster_pipes", "open_pipes"),
    "lifecycle.termination": ("take_sigterm",),
    "plugins.dagster_types": (
        "DAGSTER_PIPES_CONTEXT_ENV_VAR",
        "DAGSTER_PIPES_MESSAGES_ENV_VAR",
        "PIPES_PROTOCOL_VERSION",
        "PipesAssetCheckSeverity",
        "PipesContextData",
        "PipesDataProvenance",
        "PipesExtras",
        "PipesMessage",
        "PipesMetadataRawValue",
        "PipesMetadataType",
        "PipesMetadataValue",
        "PipesOpenedData",
        "PipesParams",
        "PipesPartitionKeyRange",
        "PipesTimeWindow",
        "decode_env_var",
        "decode_param",
        "encode_env_var",
        "encode_param",
    ),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

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
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib

    value: object = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

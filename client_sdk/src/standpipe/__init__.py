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
    from standpipe.cancel import PipesCancelled
    from standpipe.context import PipesContext
    from standpipe.delivery import DeliveryReport, Rejection
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
    from standpipe.log_handler import StandpipeHandler
    from standpipe.plugs import (
        PipesContextLoader,
        PipesEnvVarParamsLoader,
        PipesMappingParamsLoader,
        PipesMessageWriter,
        PipesMessageWriterChannel,
        PipesParamsLoader,
    )
    from standpipe.session import open_dagster_pipes, open_pipes
    from standpipe.signals import take_sigterm

_HOMES = {
    "cancel": ("PipesCancelled",),
    "context": ("PipesContext",),
    "delivery": ("DeliveryReport", "Rejection"),
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
    "log_handler": ("StandpipeHandler",),
    "plugs": (
        "PipesContextLoader",
        "PipesEnvVarParamsLoader",
        "PipesMappingParamsLoader",
        "PipesMessageWriter",
        "PipesMessageWriterChannel",
        "PipesParamsLoader",
    ),
    "session": ("open_dagster_pipes", "open_pipes"),
    "signals": ("take_sigterm",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DagsterPipesError",
    "DagsterPipesWarning",
    "DeliveryReport",
    "PipesCancelled",
    "PipesConfigurationError",
    "PipesContext",
    "PipesContextLoader",
    "PipesEnvVarParamsLoader",
    "PipesError",
    "PipesInvocationEnded",
    "PipesMappingParamsLoader",
    "PipesMessageTooLarge",
    "PipesMessageWriter",
    "PipesMessageWriterChannel",
    "PipesNotDelivered",
    "PipesNotFound",
    "PipesParamsLoader",
    "PipesProblem",
    "PipesServerError",
    "PipesServerUnreachable",
    "PipesUnauthorized",
    "Rejection",
    "StandpipeError",
    "StandpipeHandler",
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

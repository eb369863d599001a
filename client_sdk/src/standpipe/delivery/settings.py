"""Durability and time-outs of a process, from its environment. Imports next to nothing: every process reads it."""

from __future__ import annotations

from standpipe.errors import PipesConfigurationError
from standpipe.runtime.clock import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SPOOL_VARIABLE = "STANDPIPE_SPOOL"
CLOSE_TIMEOUT_VARIABLE = "STANDPIPE_CLOSE_TIMEOUT"
OPEN_TIMEOUT_VARIABLE = "STANDPIPE_OPEN_TIMEOUT"
DEFAULT_CLOSE_SECONDS = 30.0
DEFAULT_OPEN_SECONDS = 60.0


def spools_first(environment: Mapping[str, str]) -> bool:
    """Whether every message is on disk before the report returns; raises PipesConfigurationError for an unknown
    value."""
    value = environment.get(SPOOL_VARIABLE) or "later"
    if value not in ("first", "later"):
        raise PipesConfigurationError(
            f"{SPOOL_VARIABLE} is {value!r}. Expected 'first' (every report is on disk before it returns) or 'later' "
            "(on disk when memory is full or the server is away)."
        )
    return value == "first"


def close_seconds(environment: Mapping[str, str]) -> float:
    """How long closing waits for the server."""
    return _seconds(environment, CLOSE_TIMEOUT_VARIABLE, DEFAULT_CLOSE_SECONDS)


def open_seconds(environment: Mapping[str, str]) -> float:
    """How long the first use of the context waits for it."""
    return _seconds(environment, OPEN_TIMEOUT_VARIABLE, DEFAULT_OPEN_SECONDS)


def _seconds(environment: Mapping[str, str], variable: str, default: float) -> float:
    try:
        seconds = float(environment[variable])
    except (KeyError, ValueError):
        return default
    return default if seconds != seconds else bounded(seconds)  # noqa: PLR0124  NaN

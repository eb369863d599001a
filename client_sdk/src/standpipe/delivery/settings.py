"""How sure a process wants to be, and how long it waits for that, from its environment. Imports next to nothing, since
every process asks."""

from __future__ import annotations

from standpipe.errors import PipesConfigurationError
from standpipe.runtime.clock import bounded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SPOOL_VARIABLE = "STANDPIPE_SPOOL"
SPOOL_FIRST = "first"
SPOOL_LATER = "later"
CLOSE_TIMEOUT_VARIABLE = "STANDPIPE_CLOSE_TIMEOUT"
OPEN_TIMEOUT_VARIABLE = "STANDPIPE_OPEN_TIMEOUT"
DEFAULT_CLOSE_SECONDS = 30.0
DEFAULT_OPEN_SECONDS = 60.0


def spool_first(environment: Mapping[str, str]) -> bool:
    """Whether every message is to be on disk before the report returns.

    Raises:
        PipesConfigurationError: the variable says something else than `first` or `later`.
    """
    given = environment.get(SPOOL_VARIABLE) or SPOOL_LATER
    if given not in (SPOOL_FIRST, SPOOL_LATER):
        raise PipesConfigurationError(
            f"{SPOOL_VARIABLE} is {given!r}. Expected {SPOOL_FIRST!r} (every report is on disk before it returns) or "
            f"{SPOOL_LATER!r} (on disk when memory is full or the server is away)."
        )
    return given == SPOOL_FIRST


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

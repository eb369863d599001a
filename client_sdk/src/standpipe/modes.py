"""How much a process wants to be sure of, from its environment. Imports nothing, since every process asks."""

from __future__ import annotations

from standpipe.errors import PipesConfigurationError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

SPOOL_VARIABLE = "STANDPIPE_SPOOL"
SPOOL_FIRST = "first"
SPOOL_LATER = "later"


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

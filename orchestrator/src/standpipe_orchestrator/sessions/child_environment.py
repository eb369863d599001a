"""What a launched command finds in its environment: this process's, without what opens more than its own invocation.

The invariant: neither the operator key nor a way to the database or to the operator's data folder is handed on, unless
the caller says so by name. What the command shares with its launcher is the spool, from which a launcher delivers.
"""

from __future__ import annotations

from collections.abc import Mapping

from standpipe.orchestration import spool_path
from standpipe_protocol.bootstrap import (
    API_KEY_FILE_VARIABLE,
    API_KEY_VARIABLE,
    DATABASE_VARIABLE,
    HOME_VARIABLE,
    SPOOL_FOLDER_VARIABLE,
    TOKEN_FILE_VARIABLE,
)

WITHHELD = (
    API_KEY_VARIABLE,
    API_KEY_FILE_VARIABLE,
    DATABASE_VARIABLE,
    HOME_VARIABLE,
    # Of the invocation that this process may belong to itself.
    TOKEN_FILE_VARIABLE,
    # How libpq gets at the operator's database where the URL names no password.
    "PGPASSWORD",
    "PGPASSFILE",
    "PGSERVICEFILE",
    "PGSSLKEY",
)
"""What is handed on only when it is asked for by name."""


def child_environment(environment: Mapping[str, str], env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a command.

    Args:
        environment: this process's.
        env: further variables; they win, and what they name is handed on.
    """
    inherited = {
        name: value
        for name, value in environment.items()
        # `STANDPIPE_DATABASE_URL` and similar names.
        if name not in WITHHELD and not name.startswith((API_KEY_VARIABLE, DATABASE_VARIABLE))
    }
    handed_on = {**inherited, **env}
    if not env.get(SPOOL_FOLDER_VARIABLE):
        # Also for a command with a home of its own: the launcher delivers from no other folder than this one.
        try:
            handed_on[SPOOL_FOLDER_VARIABLE] = spool_path(environment)
        except OSError:
            # There is no data folder here; the command looks for one by itself.
            handed_on.pop(SPOOL_FOLDER_VARIABLE, None)
    return handed_on

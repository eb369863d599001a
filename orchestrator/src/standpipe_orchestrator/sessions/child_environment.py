"""What a launched command finds in its environment: this process's, without what opens more than its own invocation.

The invariant: neither the operator key nor a way to the database or to the operator's data folder is handed on, unless
the caller says so by name. What the command shares with its launcher is the spool, from which a launcher delivers.
"""

from __future__ import annotations

from collections.abc import Mapping

from standpipe.orchestration import spool_path
from standpipe_protocol import bootstrap

WITHHELD = (
    bootstrap.API_KEY_VARIABLE,
    bootstrap.API_KEY_FILE_VARIABLE,
    bootstrap.DATABASE_VARIABLE,
    bootstrap.HOME_VARIABLE,
    # Of the invocation that this process may belong to itself.
    bootstrap.TOKEN_FILE_VARIABLE,
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
        if name not in WITHHELD and not name.startswith((bootstrap.API_KEY_VARIABLE, bootstrap.DATABASE_VARIABLE))
    }
    handed_on = {**inherited, **env}
    if not env.get(bootstrap.SPOOL_FOLDER_VARIABLE):
        # Also for a command with a home of its own: the launcher delivers from no other folder than this one.
        try:
            handed_on[bootstrap.SPOOL_FOLDER_VARIABLE] = spool_path(environment)
        except OSError:
            # There is no data folder here; the command looks for one by itself.
            handed_on.pop(bootstrap.SPOOL_FOLDER_VARIABLE, None)
    return handed_on

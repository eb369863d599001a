"""In which spool folders a launched process may have left what it could not deliver.

The invariant: a process with any version of the client, in the environment that this distribution gives to commands,
leaves its messages in one of them.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence

from standpipe.orchestration import spool_path
from standpipe_protocol.bootstrap import HOME_VARIABLE, SPOOL_FOLDER_VARIABLE


def spool_environments(environment: Mapping[str, str]) -> Sequence[Mapping[str, str]]:
    """This process's environment and, where that has another spool folder, the one in which old clients look for it.

    Clients before `STANDPIPE_SPOOL_FOLDER` know `STANDPIPE_HOME` only, which commands do not inherit: their spool is in
    the user's own data folder.
    """
    plain = {name: value for name, value in environment.items() if name not in (HOME_VARIABLE, SPOOL_FOLDER_VARIABLE)}
    # Where a folder cannot be found out, nothing can have been left in it.
    with contextlib.suppress(OSError):
        if spool_path(plain) != spool_path(environment):
            return (environment, plain)
    return (environment,)

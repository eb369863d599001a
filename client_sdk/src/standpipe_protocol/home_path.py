"""Where the data folder is, as text: for what every process does when it opens, and pathlib would double its time."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from standpipe_protocol.bootstrap import HOME_VARIABLE


def home_path(environment: Mapping[str, str], *, platform: str = sys.platform) -> str:
    """The data folder: `STANDPIPE_HOME`, or the platform's user data folder. It need not exist.

    Raises:
        RuntimeError: it is below the user's home directory, and which that is cannot be found out.
    """
    if given := environment.get(HOME_VARIABLE):
        return _expanded(given)
    if platform == "win32":
        return os.path.join(environment.get("LOCALAPPDATA") or _expanded("~/AppData/Local"), "standpipe")  # noqa: PTH118  without pathlib
    if platform == "darwin":
        return _expanded("~/Library/Application Support/standpipe")
    return os.path.join(environment.get("XDG_DATA_HOME") or _expanded("~/.local/share"), "standpipe")  # noqa: PTH118


def _expanded(path: str) -> str:
    expanded = os.path.expanduser(path)  # noqa: PTH111
    if expanded.startswith("~"):
        raise RuntimeError(f"The home directory in {path!r} could not be determined; set {HOME_VARIABLE} to a folder.")
    return expanded

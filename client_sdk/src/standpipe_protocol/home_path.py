"""Where the data folder is, as text: for what every process does when it opens, and pathlib would double its time."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from standpipe_protocol.bootstrap import HOME_VARIABLE, SPOOL_FOLDER_VARIABLE


def home_path(environment: Mapping[str, str], *, platform: str = sys.platform) -> str:
    """The data folder: `STANDPIPE_HOME`, or the platform's user data folder. It need not exist.

    A relative one lies below the folder in which this process first asked, also after it has gone to another.

    Raises:
        RuntimeError: it is below the user's home directory, and which that is cannot be found out.
    """
    if given := environment.get(HOME_VARIABLE):
        return _absolute(_expanded(given))
    if platform == "win32":
        return _absolute(os.path.join(environment.get("LOCALAPPDATA") or _expanded("~/AppData/Local"), "standpipe"))  # noqa: PTH118  without pathlib
    if platform == "darwin":
        return _absolute(_expanded("~/Library/Application Support/standpipe"))
    return _absolute(os.path.join(environment.get("XDG_DATA_HOME") or _expanded("~/.local/share"), "standpipe"))  # noqa: PTH118


def spool_folder_path(environment: Mapping[str, str]) -> str:
    """Where a process leaves what it could not deliver: `STANDPIPE_SPOOL_FOLDER`, or `spool` in the data folder.

    A launcher names its own spool so, to a process that is to know nothing else of the launcher's data folder.

    Raises:
        RuntimeError: which that is cannot be found out.
    """
    if given := environment.get(SPOOL_FOLDER_VARIABLE):
        return _absolute(_expanded(given)).rstrip("/") or "/"
    return os.path.join(home_path(environment), "spool")  # noqa: PTH118


_placed: dict[str, str] = {}
"""Relative folders, as this process first found them: a program that changes its folder has one home all the same."""


def _absolute(path: str) -> str:
    if os.path.isabs(path):  # noqa: PTH117
        return path
    if path not in _placed:
        try:
            _placed[path] = os.path.abspath(path)  # noqa: PTH100
        except OSError:
            raise RuntimeError(f"The folder {path!r} is below the current one, which is there no more.") from None
    return _placed[path]


def _expanded(path: str) -> str:
    expanded = os.path.expanduser(path)  # noqa: PTH111
    if expanded.startswith("~"):
        raise RuntimeError(f"The home directory in {path!r} could not be determined; set {HOME_VARIABLE} to a folder.")
    return expanded

"""Whether whoever launched this process shares its disk: then it delivers what this process only managed to write.

A launcher holds the lock of a file in the data folder. A process that finds it knows what no name of a host and no
address can tell it: a container may share the network and not the disk. The invariant: the lock is held by a launcher
that delivers this home's openings before it says that the work is over.
"""

from __future__ import annotations

import contextlib
import os

from standpipe.spool_start import SpoolInUse, is_held, lock_descriptor, make_folder, open_to_append
from standpipe_protocol.home_path import home_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "marks"


class LaunchMark:
    """The mark of one invocation, from the launch to the end."""

    def __init__(self, invocation: str, *, environment: Mapping[str, str]) -> None:
        """Marks the launch where it can: where it cannot the processes wait for the server instead."""
        self._path = ""
        self._descriptor = -1
        with contextlib.suppress(OSError, RuntimeError):
            path = _path(environment, invocation)
            make_folder(os.path.dirname(path))  # noqa: PTH120  without pathlib
            descriptor = open_to_append(path, 0)
            try:
                lock_descriptor(descriptor, name=path)
            except SpoolInUse:
                # Another launcher of the same invocation.
                os.close(descriptor)
            else:
                self._path, self._descriptor = path, descriptor

    def release(self) -> None:
        """Takes the mark away. Idempotent."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108  without pathlib
            os.close(descriptor)


def is_launched_here(invocation: str, *, environment: Mapping[str, str]) -> bool:
    """Whether a launcher of the invocation lives that shares this data folder."""
    try:
        return is_held(_path(environment, invocation))
    except RuntimeError:
        return False


def _path(environment: Mapping[str, str], invocation: str) -> str:
    return os.path.join(home_path(environment), FOLDER, invocation.replace("/", "_").replace(":", "_"))  # noqa: PTH118

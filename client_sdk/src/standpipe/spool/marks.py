"""Files in the data folder whose locks show that a process lives: an invocation's launcher, or a process that opened.

A lock that is visible also proves that both processes share a disk, which no host name or address does. The invariant:
a mark that can be read is held by a process that lives.
"""

from __future__ import annotations

import contextlib
import os

from standpipe.spool.creation import SpoolInUse, is_held, lock_descriptor, make_folder, open_to_append
from standpipe_protocol.bootstrap import spool_folder_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = "marks"
_LAUNCHER = "launcher"
_LONGEST = 256
STALE_SECONDS = 30 * 86_400.0


class Mark:
    """A mark from its creation to its release. Where it cannot be created there is none."""

    def __init__(self, name: str, *, environment: Mapping[str, str], text: str = "") -> None:
        self._path = ""
        self._descriptor = -1
        with contextlib.suppress(OSError, RuntimeError):
            path = _path(environment, name)
            make_folder(os.path.dirname(path))  # noqa: PTH120  without pathlib
            descriptor = open_to_append(path, 0)
            try:
                lock_descriptor(descriptor, name=path)
                os.ftruncate(descriptor, 0)
                os.write(descriptor, text.encode())
            except SpoolInUse:
                # Another process, or another context of this one, holds the same mark.
                os.close(descriptor)
            else:
                self._path, self._descriptor = path, descriptor

    def release(self) -> None:
        """Deletes the mark. Idempotent."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                os.unlink(self._path)  # noqa: PTH108  without pathlib
        self.forget_in_child()

    def forget_in_child(self) -> None:
        """After a fork: closes this copy; the mark is the parent's."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def read_mark(name: str, *, environment: Mapping[str, str]) -> str | None:
    """The text of a mark that a living process holds; None where none does."""
    with contextlib.suppress(OSError, RuntimeError, UnicodeDecodeError):
        path = _path(environment, name)
        if is_held(path):
            descriptor = os.open(path, os.O_RDONLY)
            try:
                return os.read(descriptor, _LONGEST).decode()
            finally:
                os.close(descriptor)
    return None


def tidy_marks(*, environment: Mapping[str, str], now: float) -> None:
    """Deletes the marks that killed processes left a month ago: their invocations are over."""
    with contextlib.suppress(OSError, RuntimeError), os.scandir(_path(environment, "")) as entries:
        for entry in entries:
            with contextlib.suppress(OSError):
                if now - entry.stat().st_mtime > STALE_SECONDS and not is_held(entry.path):
                    os.unlink(entry.path)  # noqa: PTH108


class LaunchMark(Mark):
    """Held by a launcher, which delivers this home's openings before it reports the end of the work."""

    def __init__(self, invocation: str, *, environment: Mapping[str, str]) -> None:
        super().__init__(f"{invocation}.{_LAUNCHER}", environment=environment)


def is_launched_here(invocation: str, *, environment: Mapping[str, str]) -> bool:
    """Whether a launcher of the invocation lives that shares this data folder."""
    return read_mark(f"{invocation}.{_LAUNCHER}", environment=environment) is not None


def _path(environment: Mapping[str, str], name: str) -> str:
    # Beside the spool, which a launcher and what it launches share.
    beside = os.path.dirname(spool_folder_path(environment))  # noqa: PTH120  without pathlib
    return os.path.join(beside, FOLDER, name.replace("/", "_").replace(":", "_"))  # noqa: PTH118

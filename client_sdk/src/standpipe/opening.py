"""The opening of a producer: its first message, on disk before `open_pipes` returns.

A process may die at any moment after that, and the server cannot miss a producer of which it never heard. What is on
disk is delivered by the processes that live on (`openings`). Imports next to nothing. The invariant: `safe` is only
true of an opening that somebody delivers whatever becomes of this process.
"""

from __future__ import annotations

import contextlib
import os
from json import dumps

from standpipe.launch_mark import is_launched_here
from standpipe.spool_start import create_file, file_stem, header_line, make_folder, record_line, spool_path
from standpipe.times import utc_now

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from standpipe_protocol.bootstrap import Bootstrap
    from standpipe_protocol.json_text import JsonValue

METHOD = "opened"
HEARD_SECONDS = 5.0
"""How long the first report waits for the acknowledgement of an opening that is not safe."""


class Opening:
    """An opening that was written, or one that the disk did not take."""

    __slots__ = ("_descriptor", "body", "on_disk", "path", "producer", "safe")

    def __init__(self, *, producer: str, body: bytes) -> None:
        self.producer = producer
        self.body = body
        self.path = ""
        self.on_disk = False
        self.safe = False
        """Whether it is on a disk that it shares with a launcher that lives."""
        self._descriptor = -1

    def take_over(self) -> tuple[str, int]:
        """Hands the file to the spool that goes on with it, once.

        Raises:
            OSError: there is none.
        """
        if self._descriptor < 0:
            raise FileNotFoundError("This opening has no file.")
        descriptor, self._descriptor = self._descriptor, -1
        return self.path, descriptor

    def write(self, bootstrap: Bootstrap, *, environment: Mapping[str, str]) -> None:
        """Raises: OSError: the disk does not take it."""
        folder = spool_path(environment)
        make_folder(folder)
        lines = header_line(bootstrap, producer=self.producer, first_seq=1) + record_line(1, self.body)
        self.path, self._descriptor = create_file(folder, file_stem(bootstrap.invocation, self.producer), lines)
        self.on_disk = True
        self.safe = is_launched_here(bootstrap.invocation, environment=environment)


def begin_opening(
    bootstrap: Bootstrap,
    *,
    environment: Mapping[str, str],
    extras: Mapping[str, JsonValue],
    producer: str | None = None,
) -> Opening:
    """Makes the first message of a producer and writes it to disk, where that can be done.

    Args:
        extras: what the process says of itself.
        producer: its id; a new one by default.
    """
    wire = {"method": METHOD, "params": {"extras": dict(extras)}, "sent_at": utc_now()}
    opening = Opening(producer=producer or new_producer(), body=dumps(wire, separators=(",", ":")).encode())
    with contextlib.suppress(OSError):
        opening.write(bootstrap, environment=environment)
    return opening


def new_producer() -> str:
    """A random producer id: no two processes share one, so there is no epoch."""
    return f"py-{os.urandom(10).hex()}"

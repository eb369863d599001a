"""The opening of a producer: its first message, on disk before `open_pipes` returns.

A process may die at any moment after that, and the server cannot miss a producer without its opening. Processes
that live on deliver what is on disk (`spool.other_producers`). Imports next to nothing. The invariant: `safe` is only
true of an opening that a launcher delivers if this process dies.
"""

from __future__ import annotations

import contextlib
import os
from json import dumps

from standpipe.lifecycle.orderly_exit import OrderlyEnd
from standpipe.producer.ancestry import OwnMark, find_parent
from standpipe.producer.process_info import process_info
from standpipe.runtime import clock
from standpipe.spool.creation import create_file, file_stem, header_line, make_folder, record_line, spool_path
from standpipe.spool.marks import is_launched_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from standpipe_protocol.bootstrap import Bootstrap
    from standpipe_protocol.json_text import JsonValue

CONFIRM_SECONDS = 5.0
"""How long the first report waits for the acknowledgement of an opening that is not safe."""

_warned_of_clock = False


class Fork:
    """The parent of a forked child, and the exception that it handled at the fork."""

    __slots__ = ("handled", "parent")

    def __init__(self, *, parent: str | None, handled: BaseException | None) -> None:
        self.parent = parent
        """The producer of the process that forked, or the one above that where it has not opened."""
        self.handled = handled


class Opening:
    """An opening that was written, or one that the disk did not take."""

    __slots__ = ("_descriptor", "body", "end", "mark", "on_disk", "parent", "path", "producer", "safe")

    def __init__(self, *, producer: str, parent: str | None, body: bytes, mark: OwnMark, end: OrderlyEnd) -> None:
        self.producer = producer
        self.parent = parent
        self.body = body
        self.mark = mark
        self.end = end
        self.path = ""
        self.on_disk = False
        self.safe = False
        """Whether it is on a disk that a living launcher shares."""
        self._descriptor = -1

    def take_over(self) -> tuple[str, int]:
        """Path and descriptor of the file, handed once to the spool that goes on with it; raises OSError without
        one."""
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
    producer: str | None = None,
    fork: Fork | None = None,
    extras: Mapping[str, JsonValue] | None = None,
) -> Opening:
    """Makes the first message of a producer, writes it to disk where that can be done, and marks this process.

    Args:
        producer: its id; a new one by default.
        fork: in a forked child, where it comes from.
        extras: what a message writer adds to the information about the process.
    """
    producer = producer or new_producer()
    parent = fork.parent if fork is not None else find_parent(bootstrap.invocation, environment=environment)
    opened_extras = {**(extras or {}), **process_info(environment)}
    if parent is not None:
        opened_extras["parent"] = parent
    wire = {"method": "opened", "params": {"extras": opened_extras}, "sent_at": clock.utc_now()}
    opening = Opening(
        producer=producer,
        parent=parent,
        body=dumps(wire, separators=(",", ":")).encode(),
        mark=OwnMark(bootstrap.invocation, producer, environment=environment),
        end=OrderlyEnd(
            forked=fork is not None, child=parent is not None, ignored=None if fork is None else fork.handled
        ),
    )
    # Where the disk or the folder's name makes this fail, the server must confirm the opening.
    with contextlib.suppress(Exception):
        opening.write(bootstrap, environment=environment)
    if clock.is_replaced():
        _warn_of_clock()
    return opening


def _warn_of_clock() -> None:
    """Once a process: its reports carry wrong times."""
    global _warned_of_clock  # noqa: PLW0603  as the clock, it concerns the process
    if not _warned_of_clock:
        _warned_of_clock = True
        import logging

        logging.getLogger("standpipe.outbox").warning(
            "The clock of this process is not this machine's: a library for tests has replaced `time.time`. Reports "
            "and log lines carry its times; they are delivered by the machine's own."
        )


def new_producer() -> str:
    """A random producer id: no two processes share one, so there is no epoch."""
    return f"py-{os.urandom(10).hex()}"

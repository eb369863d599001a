"""Whether the database is still the one into which this server has committed.

A file is removed or replaced, a database dropped and made anew, an older copy takes its place: a server that went
on would acknowledge what is gone after the next start. Once that is seen, the fence is down: nothing is acknowledged
any more, and the server ends. Invariant: what a caller learns after a commit is in the database that the next start
opens.
"""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Engine

from standpipe_server.store.watch.epochs import EpochWatch
from standpipe_server.store.watch.fence import Fence, Watch
from standpipe_server.store.watch.file import FileWatch


def open_watch(engine: Engine, *, fence: Fence, writers: int) -> Watch:
    """The watch for this kind of database, from now on; `engine` is the writers', and the schema is there."""
    if engine.dialect.name == "sqlite":
        return FileWatch(Path(str(engine.url.database)).absolute(), engine, fence=fence)
    return EpochWatch(engine, fence=fence, writers=writers)


__all__ = ["Fence", "Watch", "open_watch"]

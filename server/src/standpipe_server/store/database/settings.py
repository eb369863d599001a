"""How a store is opened."""

from __future__ import annotations

from dataclasses import dataclass, field

from standpipe_server.store.database import engines
from standpipe_server.store.database.schema_upgrade import Migrate


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    database_url: str = field(repr=False)
    """May hold a password."""
    migrate: Migrate = "auto"
    synchronous: engines.Synchronous = "FULL"
    """SQLite: FULL is on disk when acknowledged; NORMAL survives a killed process, not a power cut."""
    writers: int = 3
    """Writing connections on PostgreSQL; SQLite has one."""
    queue_size: int = 4_096
    """How many writes may wait for each writer."""
    read_threads: int = 8
    read_queue_size: int = 2_048
    """How many reads may wait for a thread. Readers that follow are not counted among them: a commit or a lost
    connection wakes them all at once, and they are bounded where they are opened."""
    most_followers: int = 16_384
    sweep_seconds: float = 5.0
    """How long the sweeper sleeps at most."""

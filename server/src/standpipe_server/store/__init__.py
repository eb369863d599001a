"""The store: the only room that knows SQLAlchemy. It keeps what the broker's rules decided, and reads it back.

Rules are asked inside the transaction that carries them out; callers get domain errors, never a driver's. The one
invariant: acknowledged means committed, and each numbered message is stored exactly once. Reads are functions of
`store.reads`, writes are commands of `store.commands`; `Store.reads` and `Store.writes` run them.
"""

from standpipe_server.store.database.engines import StoreSettings
from standpipe_server.store.errors import (
    BadCursor,
    Conflict,
    MigrationNeeded,
    NotFound,
    Overloaded,
    StoreClosed,
    StoreError,
    UnusableDatabase,
)
from standpipe_server.store.events.event_match import EventMatch, canonical_level
from standpipe_server.store.events.event_pages import EventPage
from standpipe_server.store.events.segments import REJECTED
from standpipe_server.store.reads.cursors import Page
from standpipe_server.store.reads.following import EventReads
from standpipe_server.store.reads.lookups import Callers, Target
from standpipe_server.store.reads.runner import Reads
from standpipe_server.store.store import Store
from standpipe_server.store.upkeep.activity import TICK_SECONDS, ActivityMonitor
from standpipe_server.store.wakes import NOTIFY_CHANNEL, Wake

__all__ = [
    "NOTIFY_CHANNEL",
    "REJECTED",
    "TICK_SECONDS",
    "ActivityMonitor",
    "BadCursor",
    "Callers",
    "Conflict",
    "EventMatch",
    "EventPage",
    "EventReads",
    "MigrationNeeded",
    "NotFound",
    "Overloaded",
    "Page",
    "Reads",
    "Store",
    "StoreClosed",
    "StoreError",
    "StoreSettings",
    "Target",
    "UnusableDatabase",
    "Wake",
    "canonical_level",
]

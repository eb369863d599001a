"""The store: the only room that knows SQLAlchemy. It keeps what the broker's rules decided, and reads it back.

Rules are asked inside the transaction that carries them out; callers get domain errors, never a driver's. The one
invariant: acknowledged means committed, and each numbered message is stored exactly once.
"""

from standpipe_server.store.commands.append import AppendOutcome, AppendRequest
from standpipe_server.store.database.settings import StoreSettings
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
from standpipe_server.store.reads.assets.number_series import SeriesFilter
from standpipe_server.store.reads.assets.reports import ReportFilter
from standpipe_server.store.reads.cursors import Page
from standpipe_server.store.reads.invocations.filters import InvocationFilter
from standpipe_server.store.reads.invocations.first_errors import ErrorFilter
from standpipe_server.store.reads.invocations.views import InvocationPage, InvocationView
from standpipe_server.store.reads.lookups import ContextAnswer, Target
from standpipe_server.store.store import Store
from standpipe_server.store.transactions.wakes import NOTIFY_CHANNEL, Wake
from standpipe_server.store.upkeep.activity import TICK_SECONDS, Hearing, Word

__all__ = [
    "NOTIFY_CHANNEL",
    "REJECTED",
    "TICK_SECONDS",
    "AppendOutcome",
    "AppendRequest",
    "BadCursor",
    "Conflict",
    "ContextAnswer",
    "ErrorFilter",
    "EventMatch",
    "EventPage",
    "Hearing",
    "InvocationFilter",
    "InvocationPage",
    "InvocationView",
    "MigrationNeeded",
    "NotFound",
    "Overloaded",
    "Page",
    "ReportFilter",
    "SeriesFilter",
    "Store",
    "StoreClosed",
    "StoreError",
    "StoreSettings",
    "Target",
    "UnusableDatabase",
    "Wake",
    "Word",
    "canonical_level",
]

"""Reading invocations: one of them, lists, counts, the first errors, and several compared.

Functions of a connection, for `Store.reads`. They write nothing, and each does a bounded amount of work.
"""

from standpipe_server.store.reads.invocations.comparison import compare_invocations
from standpipe_server.store.reads.invocations.counts import count_invocations
from standpipe_server.store.reads.invocations.filters import InvocationFilter
from standpipe_server.store.reads.invocations.first_errors import ErrorFilter, list_errors
from standpipe_server.store.reads.invocations.last_good import last_good
from standpipe_server.store.reads.invocations.views import (
    InvocationPage,
    InvocationView,
    list_invocations,
    read_history,
    read_invocation,
)

__all__ = [
    "ErrorFilter",
    "InvocationFilter",
    "InvocationPage",
    "InvocationView",
    "compare_invocations",
    "count_invocations",
    "last_good",
    "list_errors",
    "list_invocations",
    "read_history",
    "read_invocation",
]

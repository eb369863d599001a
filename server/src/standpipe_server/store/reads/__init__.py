"""Reads: functions of a connection, which `Store.reads` runs on threads of this room.

They write nothing and import no command. Invariant: no read holds a connection while it waits for anything else.
"""

from standpipe_server.store.reads.lookups import (
    count_by_status,
    find_target,
    read_context,
    read_control,
)

__all__ = ["count_by_status", "find_target", "read_context", "read_control"]

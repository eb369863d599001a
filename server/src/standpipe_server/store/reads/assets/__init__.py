"""Reading by asset, across invocations: reports, numbers over time, and changes of the table schema.

Functions of a connection, for `Store.reads`. They write nothing, and each does a bounded amount of work.
"""

from standpipe_server.store.reads.assets.number_series import list_labels, read_series
from standpipe_server.store.reads.assets.reports import (
    CHECKS,
    MATERIALIZATIONS,
    OBSERVATIONS,
    ReportFilter,
    list_assets,
    list_reports,
    read_asset,
)
from standpipe_server.store.reads.assets.schema_changes import list_schema_changes

__all__ = [
    "CHECKS",
    "MATERIALIZATIONS",
    "OBSERVATIONS",
    "ReportFilter",
    "list_assets",
    "list_labels",
    "list_reports",
    "list_schema_changes",
    "read_asset",
    "read_series",
]

"""Resources: the shape of everything the API answers and takes, declared once.

`scripts/generate` makes the OpenAPI document, the published JSON Schema and the pages' types from these classes, and a
test compares the answers of every route with them. The broker decides what is accepted; these classes hold no rules.
What a program sent is any JSON (`Raw`), and goes out as it came. Invariant: a member that an answer may lack is
`UnsetType`.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from standpipe_server.resources import invocations, reports, service

COMPONENTS: Final = "#/components/schemas/"
_ROOTS: Final = (
    *(invocations.Registered, invocations.InvocationPage, invocations.InvocationCounts, invocations.LastGood),
    *(invocations.History, invocations.ErrorPage),
    *(reports.EventPage, reports.EarlierEventPage, reports.AssetPage, reports.MaterializationPage),
    *(reports.ObservationPage, reports.CheckPage, reports.LabelPage, reports.Table, reports.ColumnLineage),
    *(reports.Series, reports.SchemaChangePage, reports.Comparison),
    *(service.Problem, service.Message, service.AppendAnswer, service.Registration, service.ReasonGiven),
    *(service.Finish, service.Launch, service.AttemptNumber, service.Heartbeat, service.HeartbeatAnswer),
    *(service.ContextAnswer, service.LimitsAnswer, service.LoginLink, service.Health),
)


@cache
def schemas() -> dict[str, dict[str, Any]]:
    """The JSON Schema of every resource by its name, as components of an OpenAPI document."""
    _, components = msgspec.json.schema_components(_ROOTS, ref_template=COMPONENTS + "{name}")
    for schema in components.values():
        schema.pop("title", None)
    return dict(sorted(components.items()))


__all__ = ["COMPONENTS", "schemas"]

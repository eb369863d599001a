"""Errors across invocations: what went wrong lately, wherever it was. Operator key only."""

# No `from __future__ import annotations`: FastAPI reads these signatures while the functions are made.

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Response

from standpipe_server.api.http.answers import MOST_ITEMS, Cursor, Limit, Since, Until, describe, page_answer
from standpipe_server.api.http.parameters import instant
from standpipe_server.api.parts import ApiParts
from standpipe_server.store.reads.invocations import ErrorFilter
from standpipe_server.store.reads.invocations import list_errors as read_errors

Kind = Annotated[
    Literal["exception", "rejected", "log"] | None,
    Query(description="A reported exception, a rejected message, or a log message of level ERROR or above."),
]


def error_routes(parts: ApiParts) -> APIRouter:
    """The route `/api/v1/errors`."""
    routes = APIRouter(prefix="/api/v1/errors", tags=["orchestrator"])

    @routes.get("", responses=describe("ErrorPage", "invalid-request", "malformed"))
    async def list_errors(
        kind: Kind = None, since: Since = None, until: Until = None, limit: Limit = 50, cursor: Cursor = None
    ) -> Response:
        """The first error of each kind in each invocation, newest first."""
        filters = ErrorFilter(kind=kind, since=instant("since", since), until=instant("until", until))
        return page_answer(
            await parts.store.reads.run(read_errors, filters, limit=min(limit, MOST_ITEMS), cursor=cursor)
        )

    return routes

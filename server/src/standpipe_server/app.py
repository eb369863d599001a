"""The application: FastAPI for the control plane, put behind the entrance."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, Problem
from standpipe_server.api.browsers.assets import asset_routes
from standpipe_server.api.browsers.lists import browsing_routes, error_routes
from standpipe_server.api.entrance import Entrance, internal
from standpipe_server.api.http.answers import exchange_of
from standpipe_server.api.http.problems import from_http_exception, from_validation_error, problem_body, problem_headers
from standpipe_server.api.orchestrators.invocations import invocation_routes, launcher_routes
from standpipe_server.api.parts import ApiParts
from standpipe_server.api.processes.context import control_members, process_routes
from standpipe_server.api.service.openapi import describe_api
from standpipe_server.api.service.routes import login_routes, root_routes
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.store import StoreError
from standpipe_server.ui.pages import Pages


def create_app(parts: ApiParts) -> Entrance:
    """The ASGI application over an open store; the caller that opened the parts closes them."""
    return Entrance(parts, control_plane=create_control_plane(parts), pages=Pages(parts))


def create_control_plane(parts: ApiParts) -> FastAPI:
    """FastAPI's part alone. It must stand behind the entrance, which is where requests are authorised."""
    # Its own documents are off: they would be open, and its pages load scripts from another host.
    app = FastAPI(
        title="Standpipe",
        version=parts.server_version,
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    app.openapi = lambda: describe_api(app)
    for make_routes in (
        browsing_routes,
        invocation_routes,
        launcher_routes,
        process_routes,
        asset_routes,
        error_routes,
        login_routes,
        root_routes,
    ):
        app.include_router(make_routes(parts))

    async def answer(request: Request, error: Exception) -> Response:
        """The one place where a failure of a route becomes an answer."""
        exchange = exchange_of(request)
        problem = _problem_of(error) or internal(exchange)
        body = problem_body(problem, await control_members(parts.store.reads, exchange.target))
        response = Response(body, problem.status, media_type=PROBLEM_MEDIA_TYPE)
        response.raw_headers.extend(problem_headers(problem))
        return response

    # What is none of these is answered in the same way, then raised again, and logged by the entrance.
    for kind in (HTTPException, RequestValidationError, Refused, StoreError, Exception):
        app.add_exception_handler(kind, answer)
    return app


def _problem_of(error: Exception) -> Problem | None:
    match error:
        case Refused() | StoreError():
            return error.problem
        case HTTPException():
            return from_http_exception(error)
        case RequestValidationError():
            return from_validation_error(error)
        case _:
            return None


__all__ = ["create_app", "create_control_plane"]

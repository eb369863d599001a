"""Links by which a person begins a session in a browser. Operator key only, which the entrance has seen to."""

# No `from __future__ import annotations`: FastAPI reads these signatures while the functions are made.

from fastapi import APIRouter, Request, Response

from standpipe_server.api.access.guard import request_origin
from standpipe_server.api.access.sessions import CODE_SECONDS
from standpipe_server.api.http.answers import describe, exchange_of, json_answer
from standpipe_server.api.parts import ApiParts


def login_routes(parts: ApiParts) -> APIRouter:
    """`/api/v1/login-links`."""
    routes = APIRouter(prefix="/api/v1/login-links", tags=["server"])

    @routes.post("", status_code=201, responses=describe("LoginLink", status=201))
    async def make_login_link(request: Request) -> Response:
        """A link that signs one browser in, once, within the time that is told."""
        origin = parts.public_url or request_origin(exchange_of(request))
        url = login_link(origin, code=parts.sessions.issue_code())
        return json_answer({"url": url, "expires_in_seconds": CODE_SECONDS}, status=201)

    return routes


def login_link(origin: str, *, code: str) -> str:
    return f"{origin.rstrip('/')}/login?code={code}"

"""Health, limits, metrics and the description of this surface."""

# No `from __future__ import annotations`: FastAPI reads these signatures while the functions are made.

import asyncio

from fastapi import APIRouter, Request, Response

from standpipe_protocol import PROTOCOL_VERSION
from standpipe_protocol.home import IDENTITY_CHALLENGE_HEADER, IDENTITY_PROOF_HEADER, identity_proof
from standpipe_server.api import metrics
from standpipe_server.api.access.guard import request_origin
from standpipe_server.api.access.sessions import CODE_SECONDS
from standpipe_server.api.http.answers import describe, exchange_of, json_answer
from standpipe_server.api.parts import ApiParts
from standpipe_server.api.service.openapi import CONTENT_SECURITY_POLICY, docs_page
from standpipe_server.store.reads import count_by_status

_LONGEST_CHALLENGE = 256
_PING_SECONDS = 5.0


def root_routes(parts: ApiParts) -> APIRouter:
    """The routes at the root, and `/api/v1/limits`."""
    routes = APIRouter(tags=["server"])

    # Load balancers ask by HEAD too.
    @routes.head("/healthz", include_in_schema=False)
    @routes.get("/healthz", openapi_extra={"security": []}, responses={200: describe("Health")[200]})
    async def healthz(request: Request) -> Response:
        """The process runs. A `Standpipe-Challenge` is answered with the proof that this is its home's server."""
        nonce = request.headers.get(IDENTITY_CHALLENGE_HEADER, "")[:_LONGEST_CHALLENGE]
        proof = {IDENTITY_PROOF_HEADER: identity_proof(parts.identity, nonce)} if nonce else {}
        return json_answer({"status": "ok"}, headers=proof)

    @routes.head("/readyz", include_in_schema=False)
    @routes.get(
        "/readyz",
        openapi_extra={"security": []},
        responses={200: describe("Health")[200], 503: {**describe("Health")[200], "description": "Not now."}},
    )
    async def readyz() -> Response:
        """The server takes requests and its database answers."""
        return (
            json_answer({"status": "ok"}) if await _ready(parts) else json_answer({"status": "not ready"}, status=503)
        )

    @routes.get("/api/v1/limits", responses=describe("LimitsAnswer"))
    async def get_limits() -> Response:
        """The limits that requests must keep, and what this server speaks."""
        return json_answer(
            {**parts.limits.to_wire(), "protocol": PROTOCOL_VERSION, "server_version": parts.server_version}
        )

    @routes.get("/metrics", responses={200: {"content": {"text/plain": {}}, "description": "Prometheus text."}})
    async def get_metrics() -> Response:
        """Counts for Prometheus."""
        by_status = await parts.store.reads.run(count_by_status)
        return Response(parts.metrics.render(by_status), headers={"Content-Type": metrics.CONTENT_TYPE.decode()})

    @routes.get("/openapi.json")
    async def get_openapi(request: Request) -> Response:
        """This description."""
        return json_answer(request.app.openapi())

    @routes.get("/docs", response_class=Response, responses={200: {"content": {"text/html": {}}}})
    async def get_docs(request: Request) -> Response:
        """This description, for people; needs nothing from other hosts."""
        page = docs_page(request.app.openapi())
        return Response(page, media_type="text/html", headers={"Content-Security-Policy": CONTENT_SECURITY_POLICY})

    return routes


async def _ready(parts: ApiParts) -> bool:
    if parts.feed.stopping:
        return False
    try:
        async with asyncio.timeout(_PING_SECONDS):
            await parts.store.reads.run(parts.store.identity.check)
    except Exception:  # every error of the driver gives the same answer
        return False
    return True


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

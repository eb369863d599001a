"""The top of the server: every request enters here, is let in or refused, and is answered here when something fails."""

from __future__ import annotations

import logging
import re
from typing import Final, Protocol
from urllib.parse import quote, unquote

from starlette.types import ASGIApp, Receive, Scope, Send

from standpipe_protocol.problems import Problem
from standpipe_server.api.access.guard import is_page
from standpipe_server.api.http.exchange import SCOPE_KEY, ClientGone, Exchange
from standpipe_server.api.http.parameters import refuse_repeated
from standpipe_server.api.orchestrators.events import read_events
from standpipe_server.api.parts import ApiParts
from standpipe_server.api.processes.append import append_events
from standpipe_server.api.processes.context import control_members
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.store import StoreError
from standpipe_server.store.reads import find_target

_log = logging.getLogger("standpipe.server")

EVENTS_ROUTE: Final = "/api/v1/invocations/{invocation_id}/events"
RAW_ROUTES: Final = (("POST", EVENTS_ROUTE), ("GET", EVENTS_ROUTE))
"""What this room answers beside FastAPI's routes."""
_ASSETS: Final = "/api/v1/assets/"
_ASSET_LISTS: Final = ("/materializations", "/observations", "/checks", "/metadata", "/schema-changes")
_SERIES: Final = re.compile(r"(.+)/metadata/([^/]+)/series")
_BELOW_API: Final = "/api/v1/"
_ROOTS: Final = frozenset({"/healthz", "/readyz", "/metrics", "/openapi.json", "/docs"})
_METHODS: Final = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})


class PageServer(Protocol):
    """The pages' room, which stands above this one."""

    async def serve(self, exchange: Exchange) -> None:
        """Answers a request for a page that was let in."""
        ...

    async def invite(self, exchange: Exchange) -> bool:
        """Answers a browser that asks for a page without a session; False when it is none."""
        ...


class Entrance:
    """The ASGI application: the guard, then one of the paths."""

    def __init__(self, parts: ApiParts, *, control_plane: ASGIApp, pages: PageServer) -> None:
        self.parts = parts
        self._control_plane = control_plane
        self._pages = pages
        self._base_path = parts.base_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await _decline(scope, receive, send)
            return
        self._normalise(scope)
        exchange = Exchange(scope, receive, send)
        await self._answer(exchange)

    async def _answer(self, exchange: Exchange) -> None:
        """Has a request served; an error becomes an answer too."""
        try:
            await self._admit_and_serve(exchange)
        except ClientGone:
            return
        except (Refused, StoreError) as error:
            await self._answer_problem(exchange, error.problem)
        except Exception:
            _log.exception("Request %s (%s %s) failed.", exchange.request_id.decode(), exchange.method, exchange.route)
            if exchange.status == 0:
                await self._answer_problem(exchange, internal(exchange))
        finally:
            method = exchange.method if exchange.method in _METHODS else "other"
            self.parts.metrics.requests[method, exchange.route or "other", exchange.status] += 1

    async def _admit_and_serve(self, exchange: Exchange) -> None:
        for_page = is_page(exchange.segments)
        try:
            await self.parts.guard.admit(exchange)
        except Refused as refused:
            if for_page and refused.problem.name == "unauthorized" and await self._pages.invite(exchange):
                return
            raise
        if (exchange.method, *exchange.segments[-1:]) != ("POST", "events"):
            # A report is refused for it where that leaves a trace.
            refuse_repeated(exchange)
        if for_page:
            exchange.route = "/" + exchange.segments[1]
            await self._pages.serve(exchange)
            return
        match exchange.segments:
            case ["", "api", "v1", "invocations", invocation, "events"] if exchange.method == "POST":
                exchange.route = EVENTS_ROUTE
                exchange.target = exchange.target or await self.parts.store.reads.run(find_target, invocation)
                await append_events(self.parts, exchange, exchange.target)
            case ["", "api", "v1", "invocations", invocation, "events"] if exchange.method == "GET":
                exchange.route = EVENTS_ROUTE
                await read_events(self.parts, exchange, await self.parts.store.reads.run(find_target, invocation))
            case ["", "api", "v1", "invocations", _, "events"]:
                raise Refused(
                    Problem(
                        "method-not-allowed", "This resource takes GET and POST only.", {"allowed": ["GET", "POST"]}
                    )
                )
            case _:
                exchange.scope[SCOPE_KEY] = exchange
                await self._control_plane(exchange.scope, exchange.receive, exchange.send)
                exchange.route = getattr(exchange.scope.get("route"), "path", "")

    async def _answer_problem(self, exchange: Exchange, problem: Problem) -> None:
        if problem.status >= 500:
            _log.warning("Request %s was answered %s: %s", exchange.request_id.decode(), problem.name, problem.detail)
        if exchange.status:
            return  # The answer has begun; that it breaks off is all that can be told now.
        await exchange.answer_problem(problem, more=await control_members(self.parts.store.reads, exchange.target))

    def _normalise(self, scope: Scope) -> None:
        """Takes the base path off, if it is still there, and keeps a slash in an asset's key from splitting it."""
        path: str = scope["path"]
        base = self._base_path
        rest = path.removeprefix(base)
        # A base path may look like the beginning of ours (`/api`), so what is left must be an address of ours, and a
        # page's only where the whole is none of the API's.
        if rest != path and (
            rest in _ROOTS
            or rest.startswith(_BELOW_API)
            or (is_page(rest.split("/")) and not path.startswith(_BELOW_API))
        ):
            scope["path"] = path = rest
        if path.startswith(_ASSETS):
            raw: bytes = scope.get("raw_path") or quote(path).encode()
            _, prefix, rest = raw.partition(_ASSETS.encode())
            if prefix:
                scope["path"] = _ASSETS + _one_segment(rest.decode("latin-1"))


def internal(exchange: Exchange) -> Problem:
    """What is told of a failure of our own: nothing but where to find it in the log."""
    request_id = exchange.request_id.decode()
    return Problem(
        "internal", f"The server failed; its log names the reason under {request_id}.", {"request_id": request_id}
    )


def _one_segment(rest: str) -> str:
    """`pre/a%2Fb/checks` -> `pre%2Fa%2Fb/checks`: the key escaped as one segment, a literal list name kept apart."""
    if series := _SERIES.fullmatch(rest):
        key, label = (quote(unquote(part), safe="") for part in series.groups())
        return f"{key}/metadata/{label}/series"
    for name in _ASSET_LISTS:
        if rest.endswith(name) and len(rest) > len(name):
            return quote(unquote(rest[: -len(name)]), safe="") + name
    return quote(unquote(rest), safe="")


async def _decline(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})
        return
    # Lifespan: the wiring builds and closes everything, so there is nothing to do but to say yes.
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return

"""Reports as most of them come: one small request of a known process, all there at once, answered without a task.

The short way of `ingest`, for what need not wait for anything but the commit. What is unusual in any respect is left to
the usual way, with nothing done. Invariant: the answers are the same on both ways.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from starlette.types import ASGIApp, Scope

from standpipe_server.api.exchange import Direct, Exchange
from standpipe_server.api.ingest import append_request, outcome_body, outcome_media
from standpipe_server.api.parameters import append_headers
from standpipe_server.api.parts import ApiParts
from standpipe_server.broker.batches import Refused, parse_plain
from standpipe_server.store import AppendOutcome, AppendRequest, Target

_LARGEST: Final = 16 * 1024
_DIGITS: Final = 5
_Answer = Callable[[Exchange, Awaitable[None]], Awaitable[None]]


class Reports:
    """Takes reports that need no task."""

    def __init__(self, parts: ApiParts, *, serve: ASGIApp, answer: _Answer, route: str) -> None:
        """`serve` is the usual way; `answer` has something awaited and makes answers of its failures."""
        self.parts = parts
        self.serve = serve
        self.answer = answer
        self._route = route

    def take(self, scope: Scope, direct: Direct) -> bool:
        """False: nothing was done, and the request must be served in the usual way."""
        exchange = Exchange(scope, direct.receive, direct.send)
        headers = exchange.headers
        length = headers.get(b"content-length", b"")
        if not 0 < len(length) <= _DIGITS or not length.isdigit() or int(length) > _LARGEST:
            return False
        if b"content-encoding" in headers:
            return False
        target = self.parts.guard.known_process(exchange)
        body = None if target is None else direct.take_whole_body()
        if target is None or body is None:
            return False
        request = self._request(exchange, target, body)
        if request is None or not self.parts.guard.take_one(exchange, target):
            direct.give_back_body(body)
            return False
        exchange.target, exchange.route = target, self._route
        reply = _Reply(self, exchange, direct, body)
        try:
            self.parts.bodies.budget.take(len(body))
        except Refused as refused:
            reply.fail(refused)
            return True
        try:
            self.parts.store.append_for(reply, request)
        except Exception as error:
            reply.set_exception(error)
        return True

    def _request(self, exchange: Exchange, target: Target, body: bytes) -> AppendRequest | None:
        """None for what is unnumbered, or wrong in any way: the usual way comes to the same, and says so."""
        try:
            named = append_headers(exchange)
            if named.producer is None:
                return None
            batch = parse_plain(body, media=named.media, limits=self.parts.limits)
            return None if batch is None else append_request(target, named, batch, body)
        except Exception:
            return None


class _Reply:
    """Takes the writer's answer on the event loop, in the future's place."""

    __slots__ = ("_body", "_direct", "_exchange", "_loop", "_reports")

    def __init__(self, reports: Reports, exchange: Exchange, direct: Direct, body: bytes) -> None:
        self._reports = reports
        self._exchange = exchange
        self._direct = direct
        self._body = body
        self._loop = asyncio.get_running_loop()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def done(self) -> bool:
        return False

    def set_result(self, result: Any, /) -> None:
        parts, exchange, size = self._reports.parts, self._exchange, len(self._body)
        parts.bodies.budget.give_back(size)
        if not isinstance(result, AppendOutcome):
            # A ledger that has to be compared first. Nothing is stored.
            self._direct.give_back_body(self._body)
            scope = exchange.scope
            self._direct.start(self._reports.serve(scope, self._direct.receive, self._direct.send))
            return
        parts.metrics.appended_bytes += size
        body, media = outcome_body(result), outcome_media(result)
        if exchange.answer_at_once(result.status, body, media=media):
            parts.metrics.requests[exchange.method, exchange.route, exchange.status] += 1
        else:
            answering = exchange.answer(result.status, body, media=media)
            self._direct.start(self._reports.answer(exchange, answering))

    def set_exception(self, exception: Exception, /) -> None:
        self._reports.parts.bodies.budget.give_back(len(self._body))
        self.fail(exception)

    def fail(self, exception: Exception) -> None:
        """Answers what went wrong; the body is not among those that are held."""
        self._direct.start(self._reports.answer(self._exchange, _failed(exception)))


async def _failed(error: Exception) -> None:
    raise error

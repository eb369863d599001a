"""A refused request with messages leaves a trace before it is answered: its messages are missing from what is stored.

Only without a producer's numbers, which show a gap by themselves. The answer is what it would be without this.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import Final

from standpipe_protocol.problems import Problem
from standpipe_server.api.http.exchange import Exchange
from standpipe_server.api.parts import ApiParts
from standpipe_server.broker.lifecycle.refusals import Refusal, leaves_trace
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.store import NotFound, Target
from standpipe_server.store.commands import Refuse

_LARGE_BODY: Final = 64 * 1024
_START_BYTES: Final = 4 * 1024
_LONGEST_KEY: Final = 1024


async def keep_refusal(parts: ApiParts, exchange: Exchange, target: Target, problem: Problem) -> None:
    """Keeps in the invocation that this request is refused, where that says that a report is missing.

    Raises:
        Overloaded: it cannot be kept now; the request is to be sent again.
        ClientGone: the connection ended before the body did.
    """
    if b"standpipe-producer" in exchange.headers or not leaves_trace(problem):
        return
    if exchange.received is None:
        # Refused for a header: what it said is in the body all the same.
        with contextlib.suppress(Refused):
            await parts.bodies.read_as_sent(exchange)
    body, length = exchange.received or b"", exchange.headers.get(b"content-length", b"")
    refusal = Refusal(
        problem=problem,
        length=max(len(body), int(length) if length.isdigit() else 0) if problem.status == 413 else len(body),
        start=body[:_START_BYTES],
        # What is too large has not been read to its end.
        digest=await _digest(parts, body) if problem.status != 413 else _digest_of(body[:_START_BYTES] + length),
        key=(exchange.header(b"idempotency-key") or "")[:_LONGEST_KEY] or None,
    )
    with contextlib.suppress(NotFound):
        await parts.store.writes.run(Refuse(target.pk, refusal))


async def _digest(parts: ApiParts, body: bytes) -> bytes:
    if len(body) < _LARGE_BODY:
        return _digest_of(body)
    return await parts.bodies.off_loop(_digest_of, body, size=len(body))


def _digest_of(body: bytes) -> bytes:
    return hashlib.sha256(body).digest()

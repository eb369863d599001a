"""One request and its answer on plain ASGI: headers in, status and bytes out, the same marks on every answer."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from starlette.types import Message, Receive, Scope, Send

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, Problem
from standpipe_server.api.http.problems import problem_body, problem_headers
from standpipe_server.store import Target

JSON_MEDIA: Final = b"application/json"
PROBLEM_MEDIA: Final = PROBLEM_MEDIA_TYPE.encode()
SCOPE_KEY: Final = "standpipe.exchange"

# Of each of these one value is read, so that a second one, which a proxy may have read instead, is an error.
_SINGLE: Final = frozenset(
    b"host authorization content-type content-encoding idempotency-key last-event-id".split()
    + b"standpipe-producer standpipe-first-seq standpipe-numbered".split()
)
# What comes from outside and is written to logs must not be able to forge one.
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,64}")
_prefix = secrets.token_hex(4).encode()
_numbers = itertools.count(1)
_MARKS: Final = ((b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff"))


@dataclass(frozen=True, slots=True)
class Session:
    """What a valid cookie says."""

    csrf_token: str
    """What a request that changes something carries beside the cookie, which a foreign page cannot know."""


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class Exchange:
    """A request and the answer to it."""

    __slots__ = (
        "_send",
        "headers",
        "method",
        "path",
        "receive",
        "received",
        "repeated",
        "request_id",
        "route",
        "scope",
        "segments",
        "session",
        "status",
        "target",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.repeated = _repeated(scope["headers"]) if len(self.headers) < len(scope["headers"]) else None
        """A header that may be given once and was given more often."""
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.segments = self.path.split("/")
        self.route = ""
        """The path's template, for metrics."""
        self.status = 0
        """0 until the answer has begun."""
        self.session: Session | None = None
        """The session of the person who asks, when a cookie said so."""
        self.received: bytes | None = None
        """The body as far as it was read: decompressed, or as it travels, or its beginning."""
        self.target: Target | None = None
        """The invocation an external process speaks for or about, once it is known."""
        sent_id = self.headers.get(b"x-request-id", b"")
        self.request_id = sent_id if _REQUEST_ID.fullmatch(sent_id) else b"%b-%x" % (_prefix, next(_numbers))

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    async def answer(
        self, status: int, body: bytes, *, media: bytes = JSON_MEDIA, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Sends a whole answer."""
        length = (b"content-length", b"%d" % len(body))
        await self.send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", media), length, *headers]}
        )
        await self.send({"type": "http.response.body", "body": body})

    async def answer_problem(self, problem: Problem, *, more: Mapping[str, JsonValue] | None = None) -> None:
        """Sends a problem; `more` members (control) are added."""
        body = problem_body(problem, more)
        await self.answer(problem.status, body, media=PROBLEM_MEDIA, headers=problem_headers(problem))

    async def begin_stream(self, *, media: bytes) -> None:
        """Sends the head of an answer without a known end; `write` follows."""
        headers = [(b"content-type", media), (b"x-accel-buffering", b"no")]
        await self.send({"type": "http.response.start", "status": 200, "headers": headers})

    async def write(self, chunk: bytes, *, more: bool = True) -> None:
        """Sends a part of a stream. Waits while the client does not take what was sent before."""
        await self.send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def send(self, message: Message) -> None:
        """ASGI's send, with the marks that every answer bears."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message.get("headers", ())
            # Of all answers only a file whose name changes with its content may be kept.
            marks = _MARKS[1:] if any(name == b"cache-control" for name, _ in headers) else _MARKS
            message["headers"] = [*headers, *marks, (b"x-request-id", self.request_id)]
        await self._send(message)


def _repeated(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and name in _SINGLE:
            return name.decode("latin-1")
        seen.add(name)
    return None

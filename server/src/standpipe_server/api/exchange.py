"""One request and its answer on plain ASGI: headers in, status and bytes out, the same marks on every answer."""

from __future__ import annotations

import itertools
import re
import secrets
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from starlette.types import Message, Receive, Scope, Send

from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, Problem
from standpipe_server.api.problems import problem_body, problem_headers
from standpipe_server.api.sessions import Session
from standpipe_server.store import Target

JSON_MEDIA: Final = b"application/json"
PROBLEM_MEDIA: Final = PROBLEM_MEDIA_TYPE.encode()
SCOPE_KEY: Final = "standpipe.exchange"
DIRECT_KEY: Final = "standpipe.direct"
"""The ASGI extension under which the HTTP server offers a `Direct`."""

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
_MARK_LINES: Final = b"".join(b"%b: %b\r\n" % mark for mark in _MARKS)


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


class Direct(Protocol):
    """The short way past ASGI's messages, for whole bodies and whole answers. Any ASGI server will do without it."""

    def take_whole_body(self) -> bytes | None:
        """The request's body when all of it is there; None: it must be received."""
        ...

    def give_back_body(self, body: bytes) -> None:
        """Undoes `take_whole_body`."""
        ...

    async def receive(self) -> Message:
        """ASGI's receive."""
        ...

    async def send(self, message: Message) -> None:
        """ASGI's send."""
        ...

    def start(self, work: Awaitable[None]) -> None:
        """Goes on with a task."""
        ...

    def answer_whole(self, status: int, head: bytes, body: bytes) -> bool:
        """Writes an answer with these header lines at once; False: it must be sent."""
        ...


class Exchange:
    """A request and the answer to it."""

    __slots__ = (
        "_send",
        "direct",
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
        extensions = scope.get("extensions")
        self.direct: Direct | None = extensions.get(DIRECT_KEY) if extensions else None
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
        given = self.headers.get(b"x-request-id", b"")
        self.request_id = given if _REQUEST_ID.fullmatch(given) else b"%b-%x" % (_prefix, next(_numbers))

    def header(self, name: bytes) -> str | None:
        value = self.headers.get(name)
        return None if value is None else value.decode("latin-1").strip()

    async def answer(
        self, status: int, body: bytes, *, media: bytes = JSON_MEDIA, headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> None:
        """Sends a whole answer."""
        if not headers and self.answer_at_once(status, body, media=media):
            return
        length = (b"content-length", b"%d" % len(body))
        await self.send(
            {"type": "http.response.start", "status": status, "headers": [(b"content-type", media), length, *headers]}
        )
        await self.send({"type": "http.response.body", "body": body})

    def answer_at_once(self, status: int, body: bytes, *, media: bytes = JSON_MEDIA) -> bool:
        """Writes a whole answer by the short way; False when it cannot be, and nothing was written."""
        head = b"content-type: %b\r\ncontent-length: %d\r\n%bx-request-id: %b\r\n" % (
            media,
            len(body),
            _MARK_LINES,
            self.request_id,
        )
        if self.direct is None or not self.direct.answer_whole(status, head, body):
            return False
        self.status = status
        return True

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
            given = message.get("headers", ())
            # Of all answers only a file whose name changes with its content may be kept.
            marks = _MARKS[1:] if any(name == b"cache-control" for name, _ in given) else _MARKS
            message["headers"] = [*given, *marks, (b"x-request-id", self.request_id)]
        await self._send(message)


def _repeated(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    seen: set[bytes] = set()
    for name, _ in headers:
        if name in seen and name in _SINGLE:
            return name.decode("latin-1")
        seen.add(name)
    return None

"""One connection's HTTP: uvicorn's protocol on httptools, made strict where that trusts the client.

What arrives beside a body (request line, headers, chunk sizes, trailers) is held in memory before a credential is asked
for, so it is bounded here, in bytes and in silence; trailers are kept out of the headers; and an upgrade is
declined as HTTP wants it, by answering the request as it is. (Java's client offers h2c, and the body must not be lost.)
"""

from __future__ import annotations

import asyncio
from typing import Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, Problem
from standpipe_server.api.http.problems import problem_body

MOST_HEAD_BYTES: Final = 128 * 1024
# A body in chunks of one byte has five bytes of framing to each.
_FRAMING_A_BYTE: Final = 8
_OF_UPGRADES: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})


class Connection(HttpToolsProtocol):
    """Given to uvicorn as its `http`."""

    # Bytes of the message so far that were no body. Below zero after a body, which is no credit for what comes later.
    _beside = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._bound_silence()

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        self._beside = max(self._beside, 0) + len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as stopped:
            self._go_on_without_upgrade(data[stopped.args[0] :])
        except httptools.HttpParserError:
            self._refuse(Problem("malformed", "This is no HTTP/1.1 request. Nothing was stored."))
        else:
            if self._beside > MOST_HEAD_BYTES:
                detail = f"The request's headers, or what stands between its chunks, exceed {MOST_HEAD_BYTES} bytes."
                self._refuse(Problem("too-large", detail, {"limit": MOST_HEAD_BYTES}))
        self._bound_silence()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        # A copy: what comes later is a trailer, which must not replace a header that was looked at, or was to be.
        self.scope["headers"] = list(self.headers)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._beside -= len(body) * (1 + _FRAMING_A_BYTE)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _go_on_without_upgrade(self, rest: bytes) -> None:
        """The parser stops behind the headers of an upgrade; another one reads the same request without it."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self._refuse(Problem("malformed", "This server is no proxy."))
            return
        headers = [b"%b: %b\r\n" % header for header in self.headers if header[0] not in _OF_UPGRADES]
        head = [method, b" ", self.url, b" HTTP/", version, b"\r\n", *headers, b"\r\n"]
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"".join(head) + rest)

    def _refuse(self, problem: Problem) -> None:
        """Answers what never became a request, unless an answer is under way, and closes the connection."""
        if self.transport.is_closing():
            return
        if self._is_idle:
            body = problem_body(problem)
            headers = (
                f"content-type: {PROBLEM_MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
                "cache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\n"
            )
            self.transport.write(STATUS_LINE[problem.status] + headers.encode() + body)
        self.transport.close()

    def _bound_silence(self) -> None:
        """uvicorn's timer for the time between requests counts for a request, too, that has only begun."""
        if self._is_idle and not self.transport.is_closing() and self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    @property
    def _is_idle(self) -> bool:
        """Whether no answer is under way."""
        return self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]

"""One connection's HTTP: uvicorn's protocol on httptools, made strict where that trusts the client.

What arrives beside a body (request line, headers, chunk sizes, trailers) is held in memory before anybody is asked for
a credential, so it is bounded here, in bytes and in silence; trailers are kept out of the headers; and an upgrade is
declined as HTTP wants it, by answering the request as it is. (Java's client offers h2c, and the body must not be lost.)
"""

from __future__ import annotations

import asyncio
from typing import Final, cast
from urllib.parse import unquote

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from standpipe_protocol.problems import PROBLEM_MEDIA_TYPE, Problem
from standpipe_server.api.entrance import Entrance
from standpipe_server.api.problems import problem_body
from standpipe_server.cycle import Cycle

MOST_HEAD_BYTES: Final = 128 * 1024
# A body in chunks of one byte has five bytes of framing to each.
_FRAMING_A_BYTE: Final = 8
_OF_UPGRADES: Final = frozenset({b"connection", b"upgrade", b"http2-settings"})


class Connection(HttpToolsProtocol):
    """Given to uvicorn as its `http`."""

    # Bytes of the message so far that were no body. Below zero after a body, which is no credit for what comes later.
    _beside = 0
    _last_word = 0.0
    # A report that is answered without a task if all of it is there already.
    _report: tuple[Cycle, ASGI3Application] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._bound_silence()

    def data_received(self, data: bytes) -> None:
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
            if self._report is not None:
                self._start_asgi_task(*self._report)
        self._report = None
        self._bound_silence()

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        version = self.parser.get_http_version()
        url = httptools.parse_url(self.url)
        path = url.path.decode("ascii")
        scope = self.scope
        # A copy: what comes later is a trailer, which must not replace a header that was looked at, or was to be.
        scope["headers"] = list(self.headers)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = unquote(path) if "%" in path else path
        scope["raw_path"] = url.path
        scope["query_string"] = url.query or b""
        if version != "1.1":
            scope["http_version"] = version
        app = cast("ASGI3Application", self.app)  # pyright: ignore[reportUnknownMemberType]  uvicorn leaves it open
        before = self.cycle
        cycle = self.cycle = Cycle(
            scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            expect_100_continue=self.expect_100_continue,
            keep_alive=version != "1.0" and self.parser.should_keep_alive(),
            on_response=self.on_response_complete,
            tasks=self.tasks,
        )
        if before is None or before.response_complete:  # pyright: ignore[reportUnnecessaryComparison]
            if scope["method"] == "POST" and path.endswith("/events"):
                self._report = (cycle, app)
            else:
                self._start_asgi_task(cycle, app)
        else:
            # A request that came before the last one was answered waits for its turn.
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def on_body(self, body: bytes) -> None:
        self._beside -= len(body) * (1 + _FRAMING_A_BYTE)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._beside = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()
        report, self._report = self._report, None
        if report is not None and not _take_report(*report):
            self._start_asgi_task(*report)

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
        if self.cycle is None or self.cycle.response_complete:  # pyright: ignore[reportUnnecessaryComparison]
            body = problem_body(problem)
            headers = (
                f"content-type: {PROBLEM_MEDIA_TYPE}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n"
                "cache-control: no-store\r\nx-content-type-options: nosniff\r\n\r\n"
            )
            self.transport.write(STATUS_LINE[problem.status] + headers.encode() + body)
        self.transport.close()

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._bound_silence()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        cast("Cycle", cycle).start(cycle.run_asgi(app))

    def _bound_silence(self) -> None:
        """A connection on which no request is under way is not kept for ever, even if one was begun.

        One timer for many requests: it looks how long the silence has lasted, and waits for the rest.
        """
        self._last_word = self.loop.time()
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._look_again(self.timeout_keep_alive)

    def _look_again(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self.loop.call_later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self.transport.is_closing():
            return
        idle = self.cycle is None or self.cycle.response_complete  # pyright: ignore[reportUnnecessaryComparison]
        remaining = self._last_word + self.timeout_keep_alive - self.loop.time()
        if idle and remaining <= 0:
            self.transport.close()
        elif idle:
            self._look_again(remaining)
        # Otherwise the answer that is under way begins the next silence.


def _take_report(cycle: Cycle, app: ASGI3Application) -> bool:
    return cast("Entrance", app).take_report(cycle.scope, cycle)  # type: ignore[arg-type]

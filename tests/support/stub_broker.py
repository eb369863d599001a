"""A small HTTP server that answers as a test tells it: for what a real broker cannot be made to do on demand."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer; `chunks` are sent and flushed one by one, then the connection is closed."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    chunks: Iterable[bytes] = ()

    @classmethod
    def json(cls, value: object, *, status: int = 200, kind: str = "application/json", **headers: str) -> Reply:
        return cls(status, {"Content-Type": kind, **headers}, (json.dumps(value).encode(),))

    @classmethod
    def problem(cls, name: str, *, status: int, detail: str = "No.", **headers: str) -> Reply:
        wire = {"type": f"/problems/{name}", "title": name, "status": status, "detail": detail}
        return cls.json(wire, status=status, kind="application/problem+json", **headers)

    @classmethod
    def events(cls, *frames: str) -> Reply:
        return cls(200, {"Content-Type": "text/event-stream"}, tuple(frame.encode() for frame in frames))


class StubBroker:
    """Answers each request by calling `answer`; keeps all requests. Only what it speaks it says by itself."""

    def __init__(self, answer: Callable[[Request], Reply], *, protocol: str | None = "1.1") -> None:
        self.requests: list[Request] = []
        self.asked_for_protocol = 0
        self.stopping = threading.Event()
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def _serve(self) -> None:
                parts = urlsplit(self.path)
                length = int(self.headers.get("Content-Length") or 0)
                request = Request(
                    self.command,
                    parts.path,
                    dict(parse_qsl(parts.query)),
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(length),
                )
                if request.path == "/api/v1/limits":
                    stub.asked_for_protocol += 1
                    reply = Reply.json({} if protocol is None else {"protocol": protocol})
                else:
                    stub.requests.append(request)
                    reply = answer(request)
                try:
                    self.send_response(reply.status)
                    for name, value in reply.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    for chunk in reply.chunks:
                        self.wfile.write(chunk)
                        self.wfile.flush()
                except OSError:
                    return  # the client has gone

            do_GET = do_POST = do_DELETE = _serve

            def log_message(self, format: str, *args: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), name="stub-broker")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> StubBroker:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

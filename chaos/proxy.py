"""A TCP proxy that knows requests and breaks one of them: the network between the clients and the server.

One thread a connection, one request at a time on it. What is not to be broken passes unchanged, streams included.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

Call: TypeAlias = Literal["register", "append", "heartbeat", "close", "read"]
Broken: TypeAlias = Literal["refused", "reset", "lost", "503", "stalled", "lie", "before", "after"]
"""How a request is broken. `lie`: it is acknowledged and goes nowhere, which whoever checks has to find. `before` and
`after`: only `action` is done, before it goes to the server, or after its answer came and before the client has it."""

_REGISTER = re.compile(r"POST /api/v1/invocations ")
_EVENTS = re.compile(r"(POST|GET) /api/v1/invocations/[^/ ]+/events[ ?]")
_BEAT = re.compile(r"POST /api/v1/invocations/[^/ ]+/heartbeat ")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_FIRST_SEQ = re.compile(rb"\r\nstandpipe-first-seq: *(\d+)", re.IGNORECASE)
_PROBLEM = json.dumps(
    {"type": "/problems/overloaded", "title": "Overloaded", "status": 503, "detail": "Chaos.", "retry_after": 1}
).encode()
_OVERLOADED = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/problem+json\r\nRetry-After: 1\r\n"
    b"Content-Length: %d\r\n\r\n%b" % (len(_PROBLEM), _PROBLEM)
)
_IDLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Breaks the request number `skip` + 1 of this call."""

    call: Call
    broken: Broken
    skip: int = 0
    seconds: float = 1.0
    """How long the network is away, or silent."""
    action: Callable[[], bool] | None = None
    """Does what is to happen; False: it found nothing to do, and the next such request is tried."""


class Proxy:
    """Listens on loopback from `start` to `close`; `plan` says what to break, `broke` whether that has happened."""

    def __init__(self, *, target_port: int) -> None:
        self._target_port = target_port
        self._lock = threading.Lock()
        self._plan: Plan | None = None
        self._seen = 0
        self.broke = False
        self._connections: set[socket.socket] = set()
        self._closed = False
        self._listener = _listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, name="chaos-proxy", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def arm(self, plan: Plan | None) -> None:
        with self._lock:
            self._plan, self._seen, self.broke = plan, 0, False

    def close(self) -> None:
        self._closed = True
        self._away()
        self._thread.join(10)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                # Away for a while, or closed.
                time.sleep(0.01)
                continue
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), name="chaos-connection", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        server: socket.socket | None = None
        try:
            client.settimeout(_IDLE_SECONDS)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (request := _read_message(client)) is not None:
                if server is None:
                    server = socket.create_connection(("127.0.0.1", self._target_port), timeout=_IDLE_SECONDS)
                    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                plan = self._taken(request)
                if not (_pass(request, client, server) if plan is None else self._break(plan, request, client, server)):
                    return
        except OSError:
            return
        finally:
            _abort(client)
            if server is not None:
                _abort(server)
            with self._lock:
                self._connections.discard(client)

    def _taken(self, request: bytes) -> Plan | None:
        with self._lock:
            plan = self._plan
            if plan is None or call_of(request) != plan.call:
                return None
            self._seen += 1
            if self._seen <= plan.skip:
                return None
            self._plan = None
        return plan

    def _break(self, plan: Plan, request: bytes, client: socket.socket, server: socket.socket) -> bool:
        """Whether the connection goes on."""
        self.broke = True
        match plan.broken:
            case "refused":
                self._away()
                time.sleep(plan.seconds)
                self._listener = _listen(self.port)
                return False
            case "reset":
                head = request.index(b"\r\n\r\n") + 4
                server.sendall(request[: head + (len(request) - head) // 2])
                return False
            case "lost":
                server.sendall(request)
                _receive_some(server)
                return False
            case "503":
                client.sendall(_OVERLOADED)
                return True
            case "lie":
                client.sendall(_lie(request))
                return True
            case "stalled":
                time.sleep(plan.seconds)
                return False
            case "before":
                self._act(plan)
                return _pass(request, client, server)
            case "after":
                server.sendall(request)
                answer = _receive_some(server)
                self._act(plan)
                client.sendall(answer)
                # What may still come of it is not waited for.
                return False

    def _act(self, plan: Plan) -> None:
        if plan.action is not None and not plan.action():
            self.broke = False
            with self._lock:
                self._plan = plan

    def _away(self) -> None:
        """Nobody listens any more, and whoever is connected is cut."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            _abort(connection)


def call_of(request: bytes) -> Call | None:
    head, _, body = request.partition(b"\r\n\r\n")
    line = head.split(b"\r\n", 1)[0].decode("latin-1")
    if _REGISTER.match(line):
        return "register"
    if _BEAT.match(line):
        return "heartbeat"
    if found := _EVENTS.match(line):
        if found.group(1) == "GET":
            return "read"
        if b"content-encoding: gzip" in head.lower():
            body = gzip.decompress(body)
        return "close" if b'"closed"' in body else "append"
    return None


def _pass(request: bytes, client: socket.socket, server: socket.socket) -> bool:
    """Sends the request on and the answer back; whether the connection can be used again."""
    server.sendall(request)
    head = _read_head(server)
    if head is None:
        return False
    client.sendall(head)
    found = _LENGTH.search(head)
    left = int(found[1]) - (len(head) - head.index(b"\r\n\r\n") - 4) if found else -1
    if head.split(b" ", 2)[1] in (b"204", b"304"):
        left = 0
    while left:
        # Without a length it goes on until one of the two ends.
        chunk = server.recv(65536)
        if not chunk:
            return False
        client.sendall(chunk)
        left -= len(chunk) if found else 0
    return True


def _read_message(connection: socket.socket) -> bytes | None:
    """A whole request; None at the connection's end. Clients of ours always tell the length."""
    data = _read_head(connection)
    if data is None:
        return None
    found = _LENGTH.search(data, 0, data.index(b"\r\n\r\n") + 2)
    whole = data.index(b"\r\n\r\n") + 4 + (int(found[1]) if found else 0)
    while len(data) < whole:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    return data


def _read_head(connection: socket.socket) -> bytes | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    return data


def _receive_some(server: socket.socket) -> bytes:
    """The beginning of an answer, or all of a short one: the server has done what was asked of it."""
    return _read_head(server) or b""


def _lie(request: bytes) -> bytes:
    """An acknowledgement of everything in the request."""
    head, _, body = request.partition(b"\r\n\r\n")
    found = _FIRST_SEQ.search(head)
    through = (int(found[1]) if found else 1) + body.count(b'"method"') - 1
    answer = json.dumps({"accepted_through": through, "last_position": through, "results": [], "control": {}}).encode()
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer)


def _listen(port: int) -> socket.socket:
    return socket.create_server(("127.0.0.1", port), backlog=128)


def _abort(connection: socket.socket) -> None:
    """Closes with a reset, as a peer does that has died."""
    with contextlib.suppress(OSError):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()

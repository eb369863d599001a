"""A client so thin that it hardly counts, the same for our server and for the yardsticks: sockets, prepared bytes."""

from __future__ import annotations

import re
import select
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Address:
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Address:
        parts = urlsplit(url)
        return cls(parts.hostname or "127.0.0.1", parts.port or 80)

    def request(self, method: str, path: str, body: bytes = b"", *, token: str = "", headers: str = "") -> bytes:
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nAuthorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        )
        return head.encode() + body

    def open(self) -> socket.socket:
        opened = socket.create_connection((self.host, self.port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened


def complete(data: bytes) -> bool:
    """Whether an answer is there in full. Ends the run when the server refused."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return False
    found = _LENGTH.search(data, 0, end)
    if data[9:12] not in (b"200", b"201") or found is None:
        raise SystemExit(f"The server answered {data[:800]!r}")
    return len(data) >= end + 4 + int(found[1])


def call(connection: socket.socket, prepared: bytes) -> bytes:
    """Sends a request and returns the answer's body."""
    connection.sendall(prepared)
    data = b""
    while not complete(data):
        data += received(connection)
    return data.partition(b"\r\n\r\n")[2]


def received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise SystemExit("The server closed the connection.")
    return data


def drive_large(address: Address, prepared: Sequence[Sequence[bytes]]) -> float:
    """Sends each connection's requests one after another, all connections at once; for large ones. Seconds taken."""
    connections = [address.open() for _ in prepared]

    def send(connection: socket.socket, requests: Sequence[bytes]) -> None:
        for one in requests:
            call(connection, one)

    threads = [threading.Thread(target=send, args=pair) for pair in zip(connections, prepared, strict=True)]
    start = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - start
    for connection in connections:
        connection.close()
    return taken


def drive_small(address: Address, prepared: Sequence[Sequence[bytes]], *, in_two: bool = False) -> float:
    """The same for requests that fit into a socket's buffer: one thread and a poll, so that the client costs little.

    `in_two` writes head and body separately, as httpx does.
    """
    poll = select.epoll()
    connections = {one.fileno(): one for one in (address.open() for _ in prepared)}
    pieces = [[_head_and_body(one) if in_two else (one,) for one in requests] for requests in prepared]
    waiting = {file: iter(requests) for file, requests in zip(connections, pieces, strict=True)}
    heard = dict.fromkeys(connections, b"")
    start = time.perf_counter()
    for file, connection in connections.items():
        poll.register(file, select.EPOLLIN)
        _send(connection, next(waiting[file]))
    busy = len(connections)
    while busy:
        for file, _ in poll.poll():
            connection = connections[file]
            heard[file] += received(connection)
            if not complete(heard[file]):
                continue
            heard[file] = b""
            following = next(waiting[file], None)
            if following is None:
                busy -= 1
            else:
                _send(connection, following)
    taken = time.perf_counter() - start
    poll.close()
    for connection in connections.values():
        connection.close()
    return taken


def _head_and_body(request: bytes) -> tuple[bytes, ...]:
    head, end, body = request.partition(b"\r\n\r\n")
    return (head + end, body)


def _send(connection: socket.socket, pieces: Sequence[bytes]) -> None:
    for piece in pieces:
        connection.sendall(piece)

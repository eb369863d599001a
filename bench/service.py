"""A real server process to measure, and a client so thin that it hardly counts: sockets and prepared bytes."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from standpipe_protocol.home import read_credentials


@dataclass(frozen=True, slots=True)
class Service:
    url: str
    api_key: str

    @property
    def address(self) -> tuple[str, int]:
        parts = urlsplit(self.url)
        return parts.hostname or "127.0.0.1", parts.port or 80

    def register(self) -> tuple[str, str]:
        """A new invocation's id and token."""
        connection = Connection(self)
        body = b'{"context": {}}'
        answer = connection.call(request(self, "POST", "/api/v1/invocations", body, token=self.api_key))
        connection.close()
        registered = json.loads(answer)
        return registered["invocation"]["id"], registered["token"]


@contextlib.contextmanager
def running_service(*, database_url: str | None = None) -> Generator[Service]:
    with tempfile.TemporaryDirectory(prefix="standpipe-bench-") as home:
        environment = {**os.environ, "STANDPIPE_HOME": home}
        command = [sys.executable, "-m", "standpipe_server", "serve", "--port", "0"]
        if database_url:
            command += ["--database", database_url]
        process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
        try:
            line = process.stderr.readline() if process.stderr else ""
            credentials = read_credentials(Path(home))
            if credentials is None:
                raise SystemExit(f"The server did not start: {line or 'it wrote nothing'}")
            yield Service(credentials.url, credentials.api_key)
        finally:
            process.terminate()
            process.wait(30)


def request(service: Service, method: str, path: str, body: bytes, *, token: str, headers: str = "") -> bytes:
    host, port = service.address
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    )
    return head.encode() + body


class Connection:
    """One kept-alive connection; calls return the answer's body."""

    def __init__(self, service: Service) -> None:
        self._socket = socket.create_connection(service.address)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""

    def call(self, prepared: bytes) -> bytes:
        self._socket.sendall(prepared)
        data = self._rest
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, data = data.partition(b"\r\n\r\n")
        status = head[9:12]
        length = next(
            int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length")
        )
        while len(data) < length:
            data += self._receive()
        self._rest = data[length:]
        if status not in (b"200", b"201"):
            raise SystemExit(f"The server answered {status.decode()}: {data[:500]!r}")
        return data[:length]

    def stream(self, prepared: bytes) -> socket.socket:
        self._socket.sendall(prepared)
        return self._socket

    def close(self) -> None:
        self._socket.close()

    def _receive(self) -> bytes:
        received = self._socket.recv(65536)
        if not received:
            raise SystemExit("The server closed the connection.")
        return received


def timed(function: object) -> float:
    start = time.perf_counter()
    function()  # type: ignore[operator]
    return time.perf_counter() - start

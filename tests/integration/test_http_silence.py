"""A connection on which nothing happens is closed, also within a request; not while it waits for an answer."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import uvicorn

from standpipe_server.connections import Connection

SECONDS = 2
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


async def slow(scope: Any, receive: Any, send: Any) -> None:
    """Answers after more than the silence that is allowed."""
    await asyncio.sleep(1.5 * SECONDS)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    """Where the server's connections are served with a shorter silence than it allows."""
    config = uvicorn.Config(slow, http=Connection, ws="none", lifespan="off", timeout_keep_alive=SECONDS)
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        yield listening.getsockname()[1]
        server.should_exit = True
        thread.join(30)
        assert not thread.is_alive()


@pytest.mark.parametrize("sent", [b"", HEAD[:10], HEAD, HEAD + b"\r\n" + HEAD[:10]])
def test_who_sends_no_more_is_answered_what_is_due_and_not_waited_for(port: int, sent: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(sent)
        data = b""
        while piece := connection.recv(1024):
            data += piece
    assert data.startswith(b"HTTP/1.1 200 ") == (HEAD + b"\r\n" in sent)

"""A bare in-memory event stream: POST puts what it got on the queue of each open stream, and that is all.

It says just enough of the protocol that our own SDK and our own reader can be its clients.
"""

from __future__ import annotations

import asyncio
import json

from bench.bare.serving import Receive, Scope, Send, answer, read_body, serve

_CONTEXT = {
    "context": {},
    "protocol": "1.0",
    "limits": {},
    "lease": {"seconds": 3600, "expires_at": None},
    "control": {"cancel_requested": False},
}
_STREAM = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-cache")]


class Stream:
    def __init__(self) -> None:
        self._readers: set[asyncio.Queue[bytes]] = set()
        self._position = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if not path.endswith("/events"):
            await read_body(receive)
            return await answer(send, json.dumps(_CONTEXT).encode())
        if scope["method"] == "POST":
            return await self._take(await read_body(receive), scope, send)
        return await self._follow(receive, send)

    async def _take(self, body: bytes, scope: Scope, send: Send) -> None:
        seq = next((int(value) for name, value in scope["headers"] if name == b"standpipe-first-seq"), 1)
        for line in body.split(b"\n"):
            if not line:
                continue
            self._position += 1
            start = b'id: %d\ndata: {"position":%d,"producer":"p","seq":%d,' % (self._position, self._position, seq)
            frame = start + line[1:] + b"\n\n"
            seq += 1
            for reader in self._readers:
                reader.put_nowait(frame)
        await answer(send, b'{"accepted_through":%d,"control":{"cancel_requested":false}}' % (seq - 1))

    async def _follow(self, receive: Receive, send: Send) -> None:
        mine: asyncio.Queue[bytes] = asyncio.Queue()
        self._readers.add(mine)
        gone = asyncio.create_task(_until_gone(receive, mine))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _STREAM})
            await send({"type": "http.response.body", "body": b": hello\n\n", "more_body": True})
            while frame := await mine.get():
                await send({"type": "http.response.body", "body": frame, "more_body": True})
        finally:
            gone.cancel()
            self._readers.discard(mine)


async def _until_gone(receive: Receive, mine: asyncio.Queue[bytes]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    mine.put_nowait(b"")


if __name__ == "__main__":
    serve(Stream())

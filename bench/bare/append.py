"""A bare append service: bodies go as they are into SQLite, one writer thread commits what has gathered (FULL).

It neither authenticates nor parses, so it is what one small message a request can cost at the least.
"""

from __future__ import annotations

import asyncio
import queue
import sys
import threading
from pathlib import Path

from bench.bare.raw_sqlite import INSERT, open_table
from bench.bare.serving import Receive, Scope, Send, answer, read_body, serve


class Appender:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._waiting: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            threading.Thread(target=self._write, args=(self._loop,), name="writer", daemon=True).start()
        stored: asyncio.Future[None] = self._loop.create_future()
        self._waiting.put((await read_body(receive), stored))
        await stored
        await answer(send, b'{"accepted":1}')

    def _write(self, loop: asyncio.AbstractEventLoop) -> None:
        connection = open_table(self._folder / "bare.db")
        while True:
            group = [self._waiting.get()]
            while not self._waiting.empty():
                group.append(self._waiting.get())
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(INSERT, [(1, body) for body, _ in group])
            connection.execute("COMMIT")
            loop.call_soon_threadsafe(_tell, [stored for _, stored in group])


def _tell(stored: list[asyncio.Future[None]]) -> None:
    for one in stored:
        if not one.done():
            one.set_result(None)


if __name__ == "__main__":
    serve(Appender(Path(sys.argv[1])))

"""One request's turn on its connection: uvicorn's, with a short way for the many small requests and answers.

uvicorn writes an answer in two parts, and ASGI hands a small body over in a message of its own; each costs as much as
everything else that is done for a small message. The short way is offered to the application in the scope and is used
when the whole body has come and the whole answer is there. Invariant: what is written is the same on both ways.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from standpipe_server.api.exchange import DIRECT_KEY

_SILENT = logging.getLogger("standpipe.access")


class Cycle(RequestResponseCycle):
    """Made by the connection for each request."""

    def __init__(
        self,
        scope: Any,
        *,
        transport: asyncio.Transport,
        flow: FlowControl,
        logger: logging.Logger,
        expect_100_continue: bool,
        keep_alive: bool,
        on_response: Callable[..., None],
        tasks: set[asyncio.Task[None]],
    ) -> None:
        super().__init__(
            scope=scope,
            transport=transport,
            flow=flow,
            logger=logger,
            access_logger=_SILENT,
            access_log=False,
            default_headers=[],
            message_event=asyncio.Event(),
            expect_100_continue=expect_100_continue,
            keep_alive=keep_alive,
            on_response=on_response,
        )
        self._tasks = tasks
        self.task: asyncio.Task[None] | None = None
        """What serves it, which is then forgotten among the tasks."""
        scope["extensions"] = {DIRECT_KEY: self}

    def take_whole_body(self) -> bytes | None:
        """The request's body if all of it has come and nothing of it was taken; None: it must be received."""
        if self.more_body or self.disconnected or self.response_complete or not self.message_event.is_set():
            return None
        self.message_event.clear()
        self.waiting_for_100_continue = False
        body = bytes(self.body)
        self.body = bytearray()
        return body

    def give_back_body(self, body: bytes) -> None:
        """Undoes `take_whole_body`: the request is served in the usual way."""
        self.body = bytearray(body)
        self.message_event.set()

    def start(self, work: Awaitable[None]) -> None:
        """Goes on with a task, which the server waits for at its end."""
        # The task is taken out again by itself: a callback would cost a turn of the loop.
        task = self.task = asyncio.get_running_loop().create_task(self._until_done(work))
        self._tasks.add(task)

    async def _until_done(self, work: Awaitable[None]) -> None:
        try:
            await work
        finally:
            if self.task is not None:
                self._tasks.discard(self.task)

    def answer_whole(self, status: int, head: bytes, body: bytes) -> bool:
        """Writes an answer at once; `head` holds its header lines, the body's length among them.

        False, and nothing is written, when the client does not take what was written before: then it must be sent.
        """
        if self.flow.write_paused or self.response_started:
            return False
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        if not self.disconnected:
            closing = b"" if self.keep_alive else b"connection: close\r\n"
            shown = b"" if self.scope["method"] == "HEAD" else body
            self.transport.write(b"%b%b%b\r\n%b" % (STATUS_LINE[status], head, closing, shown))
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()
        return True

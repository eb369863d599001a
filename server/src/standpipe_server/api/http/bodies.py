"""Request bodies: read within a limit, decompressed within a limit, never trusted to say how large they are.

Each call has its limit, checked while the body comes and while it is decompressed. Invariant: what grows with a body
beyond a few KiB is not done on the event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import zstandard
from starlette.types import Message

from standpipe_protocol.limits import Limits
from standpipe_protocol.problems import Problem
from standpipe_server.api.http.exchange import ClientGone, Exchange
from standpipe_server.broker.messages.splitting import Refused

INLINE_BYTES = 16 * 1024
"""What is larger is not looked at on the event loop."""
# A small compressed body is decompressed at once, as far as it becomes no more than this.
_INLINE_DECOMPRESSED_BYTES = 64 * 1024
_SILENCE_SECONDS = 60.0
# zstd has no bounded output a call; a slice this small can grow to a few MiB at most (128 KiB a 4-byte block).
_ZSTD_SLICE = 256
_GZIP_SLICE = 64 * 1024
_GZIP_CHUNK = 1024 * 1024
# Each member or frame costs a decompressor, however little it holds.
_MOST_FRAMES = 10_000
_LARGEST_WINDOW = 128 * 1024 * 1024
# What is no larger is not kept waiting behind what is.
_SMALL_WORK = 1024 * 1024
_T = TypeVar("_T")
_Decompress: TypeAlias = Callable[[bytes, int], bytes]


class TooMuch(Refused):
    """A body becomes more than the limit when it is decompressed."""

    def __init__(self, limit: int) -> None:
        detail = f"The body, decompressed, is larger than the limit of {limit} bytes. Nothing was stored."
        super().__init__(Problem("too-large", detail, {"limit": limit}))


class BodyBudget:
    """How many bytes of request bodies the server holds at once, over all requests; beyond it answers are 503."""

    def __init__(self, total: int) -> None:
        self._free = total

    @contextlib.contextmanager
    def holding(self, size: int) -> Generator[None]:
        """Counts `size` bytes for as long as they are worked on. Raises `Refused` when there is no room."""
        self.take(size)
        try:
            yield
        finally:
            self.give_back(size)

    def take(self, size: int) -> None:
        """Raises `Refused` with `overloaded` when there is no room."""
        if size > self._free:
            raise Refused(
                Problem("overloaded", "The server holds as many request bodies as it can.", {"retry_after": 1})
            )
        self._free -= size

    def give_back(self, size: int) -> None:
        self._free += size


@dataclass(frozen=True, slots=True)
class Limit:
    """What one kind of body may weigh, as it travels and decompressed."""

    sent: int
    sent_name: str
    decompressed: int
    decompressed_name: str
    what: str = "body"
    instead: str = ""
    """What to do where that is not enough."""

    @classmethod
    def of_call(cls, size: int, name: str, *, what: str) -> Limit:
        """The limit of a call that brings no messages."""
        instead = " What is longer belongs into messages, sent to the invocation's events."
        return cls(size, name, size, name, what, instead)


class Bodies:
    """Reads the bodies of requests, and does what takes time with them on threads of its own."""

    def __init__(
        self, *, limits: Limits, executor: Executor, budget: BodyBudget, small_executor: Executor | None = None
    ) -> None:
        """Large bodies wait on `executor`; `small_executor` is for what must not wait behind them."""
        self._executor, self._small_executor = executor, small_executor or executor
        self.budget = budget
        decompressed = limits.decompressed_bytes, "decompressed_bytes"
        self.of_messages = Limit(limits.body_bytes, "body_bytes", *decompressed)
        self.of_registration = Limit.of_call(limits.registration_bytes, "registration_bytes", what="registration")
        self.of_finish = Limit.of_call(limits.finish_bytes, "finish_bytes", what="body of this call")
        self.of_control = Limit.of_call(limits.control_bytes, "control_bytes", what="body of this call")

    async def read(
        self, exchange: Exchange, limit: Limit | None = None, *, on_whole: Callable[[], None] = lambda: None
    ) -> bytes:
        """The whole body, decompressed; without a `limit` it may weigh what messages may.

        `on_whole` is called when all of it has come, before it is decompressed.

        Raises:
            Refused: `too-large`, `unsupported-media-type`, `malformed` or `overloaded`.
            ClientGone: the connection ended before the body did.
        """
        limit = limit or self.of_messages
        decompress = _decompressor(exchange.header(b"content-encoding") or "identity")
        body = exchange.received = await self._read_wire(exchange, limit)
        on_whole()
        if decompress is None:
            return body
        exchange.received = await self._decompressed(decompress, body, limit)
        return exchange.received

    async def read_as_sent(self, exchange: Exchange) -> bytes:
        """The whole body as it travels; raises as `read` does."""
        exchange.received = await self._read_wire(exchange, self.of_messages)
        return exchange.received

    async def parsed(self, exchange: Exchange, limit: Limit, parse: Callable[[bytes], _T]) -> _T:
        """What `parse` makes of the body of a call that brings no messages; raises as `read` and `parse` do."""
        body = await self.read(exchange, limit)
        return parse(body) if len(body) <= INLINE_BYTES else await self.off_loop(parse, body, size=len(body))

    async def off_loop(self, function: Callable[..., _T], *arguments: object, size: int) -> _T:
        """Runs something that takes time with a body of that size on a thread of the room's own."""
        executor = self._small_executor if size <= _SMALL_WORK else self._executor
        return await asyncio.get_running_loop().run_in_executor(executor, function, *arguments)

    async def _decompressed(self, decompress: _Decompress, body: bytes, limit: Limit) -> bytes:
        if len(body) <= INLINE_BYTES:
            with contextlib.suppress(TooMuch):
                return decompress(body, min(limit.decompressed, _INLINE_DECOMPRESSED_BYTES))
        try:
            with self.budget.holding(len(body)):
                return await self.off_loop(decompress, body, limit.decompressed, size=limit.decompressed)
        except TooMuch:
            what = f"{limit.what}, decompressed,"
            raise _too_large(what, limit.decompressed, limit.decompressed_name, limit.instead) from None

    async def _read_wire(self, exchange: Exchange, limit: Limit) -> bytes:
        declared = exchange.headers.get(b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > limit.sent:
            raise _too_large(limit.what, limit.sent, limit.sent_name, limit.instead)
        message = await next_part(exchange, offset=0)
        body = exchange.received = message.get("body", b"")
        if not message.get("more_body", False):
            if len(body) > limit.sent:
                raise _too_large(limit.what, limit.sent, limit.sent_name, limit.instead)
            return body
        return await self._read_rest(exchange, first=body, limit=limit)

    async def _read_rest(self, exchange: Exchange, *, first: bytes, limit: Limit) -> bytes:
        chunks, size, more = [first], len(first), True
        self.budget.take(size)
        try:
            while more:
                if size > limit.sent:
                    raise _too_large(limit.what, limit.sent, limit.sent_name, limit.instead)
                message = await next_part(exchange, offset=size)
                chunk: bytes = message.get("body", b"")
                self.budget.take(len(chunk))
                size += len(chunk)
                chunks.append(chunk)
                more = message.get("more_body", False)
            if size > limit.sent:
                raise _too_large(limit.what, limit.sent, limit.sent_name, limit.instead)
            return b"".join(chunks)
        finally:
            self.budget.give_back(size)


async def next_part(exchange: Exchange, *, offset: int) -> Message:
    """The next part of a body, of which so much has come.

    Raises:
        Refused: `malformed`; it did not come in time.
        ClientGone: the connection ended before the body did.
    """
    try:
        async with asyncio.timeout(_SILENCE_SECONDS):
            message = await exchange.receive()
    except TimeoutError:
        detail = f"The body did not go on for {_SILENCE_SECONDS:g} seconds. Nothing was stored."
        raise Refused(Problem("malformed", detail, {"offset": offset})) from None
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message


def _decompressor(encoding: str) -> _Decompress | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return gunzip
        case "zstd":
            return unzstd
        case other:
            detail = f"The body's encoding is {other[:100]!r}; expected gzip, zstd or none. Nothing was stored."
            raise Refused(Problem("unsupported-media-type", detail, {"expected": "gzip, zstd"}))


def gunzip(body: bytes, limit: int) -> bytes:
    """Decompresses gzip, all members of it, to at most `limit` bytes."""
    chunks: list[bytes] = []
    size = position = members = 0
    while position < len(body):
        members += 1
        if members > _MOST_FRAMES:
            raise _broken("gzip", f"it has more than {_MOST_FRAMES} members")
        member = zlib.decompressobj(wbits=31)
        piece = b""
        while not member.eof:
            if not piece:
                piece = body[position : position + _GZIP_SLICE]
                position += len(piece)
                if not piece:
                    raise _broken("gzip", "it ends too early")
            try:
                chunk = member.decompress(piece, min(_GZIP_CHUNK, limit + 1))
            except zlib.error as error:
                raise _broken("gzip", str(error)) from None
            size += len(chunk)
            if size > limit:
                raise TooMuch(limit)
            chunks.append(chunk)
            piece = member.unconsumed_tail
        position -= len(member.unused_data)
    return b"".join(chunks)


def unzstd(body: bytes, limit: int) -> bytes:
    """Decompresses zstd, all frames of it, to at most `limit` bytes."""
    chunks: list[bytes] = []
    size = position = frames = 0
    while position < len(body):
        frames += 1
        if frames > _MOST_FRAMES:
            raise _broken("zstd", f"it has more than {_MOST_FRAMES} frames")
        frame = zstandard.ZstdDecompressor(max_window_size=_LARGEST_WINDOW).decompressobj()
        while not frame.eof:
            piece = body[position : position + _ZSTD_SLICE]
            position += len(piece)
            if not piece:
                raise _broken("zstd", "it ends too early")
            try:
                chunk = frame.decompress(piece)
            except zstandard.ZstdError as error:
                raise _broken("zstd", str(error)) from None
            size += len(chunk)
            if size > limit:
                raise TooMuch(limit)
            chunks.append(chunk)
        position -= len(frame.unused_data)
    return b"".join(chunks)


def _too_large(what: str, limit: int, name: str, instead: str) -> Refused:
    detail = f"The {what} is larger than the limit `{name}` of {limit} bytes. Nothing was stored.{instead}"
    return Refused(Problem("too-large", detail, {"limit": limit, "limit_name": name}))


def _broken(encoding: str, why: str) -> Refused:
    return Refused(Problem("malformed", f"The body is not {encoding}: {why}. Nothing was stored.", {"offset": 0}))

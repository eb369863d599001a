"""Request bodies: read within a limit, decompressed within a limit, never trusted to say how large they are."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from typing import TypeVar

import zstandard
from starlette.types import Message

from standpipe_protocol.limits import Limits
from standpipe_protocol.problems import Problem
from standpipe_server.api.exchange import ClientGone, Exchange
from standpipe_server.broker.batches import Refused

# A bigger compressed body is decompressed off the event loop: other requests should not wait for it.
# (16 KiB of gzip are 16 MiB of zeros at the very most, some 10 ms.)
_INLINE_BYTES = 16 * 1024
_SMALL_BODY = 64 * 1024
_SILENCE_SECONDS = 60.0
# zstd has no bounded output a call; a slice this small can grow to a few MiB at most (128 KiB a 4-byte block).
_ZSTD_SLICE = 256
_GZIP_SLICE = 64 * 1024
_GZIP_CHUNK = 1024 * 1024
# Each member or frame costs a decompressor, however little it holds.
_MOST_FRAMES = 10_000
_LARGEST_WINDOW = 128 * 1024 * 1024
_T = TypeVar("_T")


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


class Bodies:
    """Reads the bodies of requests."""

    def __init__(self, *, limits: Limits, executor: Executor, budget: BodyBudget) -> None:
        self._limits = limits
        self._executor = executor
        self.budget = budget

    async def read(self, exchange: Exchange) -> bytes:
        """The whole body, decompressed.

        Raises:
            Refused: `too-large`, `unsupported-media-type`, `malformed` or `overloaded`.
            ClientGone: the connection ended before the body did.
        """
        encoding = exchange.header(b"content-encoding")
        if encoding is None:
            whole = self._whole_body(exchange)
            exchange.received = await self._read_wire(exchange) if whole is None else whole
            return exchange.received
        decompress = _decompressor(encoding)
        body = exchange.received = await self._read_wire(exchange)
        if decompress is None:
            return body
        limit = self._limits.decompressed_bytes
        if len(body) <= _INLINE_BYTES:
            exchange.received = decompress(body, limit)
            return exchange.received
        with self.budget.holding(len(body)):
            exchange.received = await self.off_loop(decompress, body, limit)
            return exchange.received

    async def read_as_sent(self, exchange: Exchange) -> bytes:
        """The whole body as it travels; raises as `read` does."""
        exchange.received = await self._read_wire(exchange)
        return exchange.received

    async def off_loop(self, function: Callable[..., _T], *arguments: object) -> _T:
        """Runs something heavy on a thread of the room's own."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def _whole_body(self, exchange: Exchange) -> bytes | None:
        """A small body that has come whole, as most do."""
        length = exchange.headers.get(b"content-length", b"")
        if exchange.direct is None or not length.isdigit() or int(length) > _SMALL_BODY:
            return None
        return exchange.direct.take_whole_body()

    async def _read_wire(self, exchange: Exchange) -> bytes:
        limit = self._limits.body_bytes
        declared = exchange.headers.get(b"content-length")
        if declared is not None and declared.isdigit() and int(declared) > limit:
            raise _too_large("body", limit, "body_bytes")
        message = await next_part(exchange, offset=0)
        body = exchange.received = message.get("body", b"")
        if not message.get("more_body", False):
            if len(body) > limit:
                raise _too_large("body", limit, "body_bytes")
            return body
        return await self._read_rest(exchange, first=body, limit=limit)

    async def _read_rest(self, exchange: Exchange, *, first: bytes, limit: int) -> bytes:
        chunks, size, more = [first], len(first), True
        self.budget.take(size)
        try:
            while more:
                if size > limit:
                    raise _too_large("body", limit, "body_bytes")
                message = await next_part(exchange, offset=size)
                chunk: bytes = message.get("body", b"")
                self.budget.take(len(chunk))
                size += len(chunk)
                chunks.append(chunk)
                more = message.get("more_body", False)
            if size > limit:
                raise _too_large("body", limit, "body_bytes")
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


def _decompressor(encoding: str) -> Callable[[bytes, int], bytes] | None:
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
                chunk = member.decompress(piece, _GZIP_CHUNK)
            except zlib.error as error:
                raise _broken("gzip", str(error)) from None
            size += len(chunk)
            if size > limit:
                raise _too_large("decompressed body", limit, "decompressed_bytes")
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
                raise _too_large("decompressed body", limit, "decompressed_bytes")
            chunks.append(chunk)
        position -= len(frame.unused_data)
    return b"".join(chunks)


def _too_large(what: str, limit: int, name: str) -> Refused:
    detail = f"The {what} is larger than the limit `{name}` of {limit} bytes. Nothing was stored."
    return Refused(Problem("too-large", detail, {"limit": limit, "limit_name": name}))


def _broken(encoding: str, why: str) -> Refused:
    return Refused(Problem("malformed", f"The body is not {encoding}: {why}. Nothing was stored.", {"offset": 0}))

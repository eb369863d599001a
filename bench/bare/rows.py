"""A bare app that runs the SQL it is sent and answers with the rows as JSON: what a list costs over HTTP at the least.

It authenticates nobody and checks nothing. The query runs on a thread, as it must where others are served meanwhile;
JSON and compression are done by the fastest parts that ours uses too.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import zstandard

from bench.bare.raw_rows import RawRows
from bench.bare.serving import Receive, Scope, Send, answer, read_body, serve


class Query(msgspec.Struct):
    sql: str
    values: list[Any]


class Rows:
    def __init__(self, database_url: str) -> None:
        # One thread, which is the one that connects: SQLite's connections stay on their thread.
        self._thread = ThreadPoolExecutor(1, initializer=self._connect, initargs=(database_url,))
        self._raw: RawRows | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        query = msgspec.json.decode(await read_body(receive), type=Query)
        await answer(send, await asyncio.get_running_loop().run_in_executor(self._thread, self._answer_to, query))

    def _connect(self, database_url: str) -> None:
        self._raw = RawRows(database_url)

    def _answer_to(self, query: Query) -> bytes:
        assert self._raw is not None
        names, rows = self._raw.named(query.sql, query.values)
        packed = [number for number, name in enumerate(names) if name == "context"]
        decompress = zstandard.ZstdDecompressor().decompress
        return b'{"items":[%b]}' % b",".join(_row(names, row, packed, decompress) for row in rows)


def _row(
    names: Sequence[str], row: Sequence[Any], packed: Sequence[int], decompress: Callable[[bytes], bytes]
) -> bytes:
    told: dict[str, Any] = dict(zip(names, row, strict=True))
    for number in packed:
        told["context"] = msgspec.Raw(decompress(row[number]))
    return msgspec.json.encode(told)


if __name__ == "__main__":
    serve(Rows(sys.argv[2]))

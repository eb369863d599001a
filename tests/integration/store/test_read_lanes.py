"""What is computed for readers, beside what is read for others."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tests.integration.store.conftest import Bench

pytestmark = pytest.mark.anyio

READERS = 6_000


async def test_one_commit_that_wakes_thousands_of_readers_refuses_none_of_them_and_no_other_read(bench: Bench) -> None:
    reads, opened, running, most = bench.store.reads, threading.Event(), [0], [0]
    lock = threading.Lock()

    def compute() -> str:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        assert opened.wait(60)
        with lock:
            running[0] -= 1
        return "computed"

    computing = [asyncio.create_task(reads.compute(compute)) for _ in range(READERS)]
    # It is answered while all the others wait.
    assert await reads.run(lambda _: "read") == "read"
    opened.set()
    assert await asyncio.gather(*computing) == ["computed"] * READERS
    assert most[0] <= 2

"""The silence of a server that does not listen is not that of the processes."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest

from standpipe_server.broker.values.ids import ANONYMOUS_PRODUCER
from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.store import Target
from standpipe_server.store.upkeep.activity import OpenRequest
from tests.integration.store.conftest import CLOSED, OPENED, Bench
from tests.integration.store.test_leases import lease_end, until, verdicts

pytestmark = pytest.mark.anyio
_LEASE = b'{"context":{},"lease_seconds":60}'


async def _leased(bench: Bench) -> Target:
    target = await bench.register(_LEASE)
    await bench.append(target, OPENED)
    return target


def _word(bench: Bench, target: Target) -> AbstractContextManager[OpenRequest]:
    return bench.store.activity.request(target.pk, ANONYMOUS_PRODUCER)


async def _ends(bench: Bench, target: Target, end: str) -> bool:
    return await lease_end(bench, target) == end


def _listen(bench: Bench, *, seconds: float) -> None:
    """Time passes while the server listens."""
    while seconds > 0:
        bench.clock.pass_seconds(0.25)
        bench.store.activity.tick()
        seconds -= 0.25


async def test_a_server_that_stood_still_judges_nobody_before_it_has_listened_for_a_whole_lease(bench: Bench) -> None:
    target = await _leased(bench)
    _listen(bench, seconds=1)
    bench.clock.pass_seconds(3_600)
    # It goes on: what came meanwhile is taken between two ticks.
    _listen(bench, seconds=0.5)
    renewed = to_rfc3339(bench.clock.now + 60_000_000)
    await until(lambda: lease_end(bench, target), renewed)
    assert await verdicts(bench, target) == [None]
    _listen(bench, seconds=61)
    await until(lambda: verdicts(bench, target), ["lost"])


async def test_what_came_due_after_the_last_ticks_waits_for_the_next_ones(bench: Bench) -> None:
    early, late = await _leased(bench), await bench.register(b'{"context":{},"lease_seconds":60.4}')
    await bench.append(late, OPENED)
    _listen(bench, seconds=60.5)
    bench.clock.pass_seconds(0.3)
    await until(lambda: verdicts(bench, early), ["lost"])
    assert await verdicts(bench, late) == [None]
    _listen(bench, seconds=0.5)
    await until(lambda: verdicts(bench, late), ["lost"])


async def test_a_process_of_which_a_request_is_under_way_is_not_silent(bench: Bench) -> None:
    speaking, silent = await _leased(bench), await _leased(bench)
    with _word(bench, speaking) as first, _word(bench, speaking):
        first.complete()
        for _ in range(5):
            bench.clock.pass_seconds(61)
            await until(lambda: verdicts(bench, silent), ["lost"])
            renewed = to_rfc3339(bench.clock.now + 60_000_000)
            await until(lambda end=renewed: _ends(bench, speaking, end), True)
    bench.clock.pass_seconds(61)
    await until(lambda: verdicts(bench, speaking), ["lost"])


async def test_a_request_that_still_comes_is_no_word_for_longer_than_a_lease(bench: Bench) -> None:
    target = await _leased(bench)
    with _word(bench, target):
        bench.clock.pass_seconds(40)
        await until(lambda: _ends(bench, target, to_rfc3339(bench.clock.now + 60_000_000)), True)
        bench.clock.pass_seconds(61)
        await until(lambda: verdicts(bench, target), ["lost"])


async def test_a_request_that_still_comes_is_no_word_for_longer_than_a_minute(bench: Bench) -> None:
    target = await bench.register(b'{"context":{},"lease_seconds":600}')
    await bench.append(target, OPENED)
    with _word(bench, target):
        bench.clock.pass_seconds(601)
        await until(lambda: verdicts(bench, target), ["lost"])


@pytest.mark.parametrize("producer", ["launcher", ANONYMOUS_PRODUCER])
async def test_a_request_of_a_producer_that_has_not_opened_hides_no_process_that_died(
    bench: Bench, producer: str
) -> None:
    target = await bench.register(_LEASE)
    await bench.append(target, OPENED, producer="p", first_seq=1)
    with bench.store.activity.request(target.pk, producer) as word:
        word.complete()
        bench.clock.pass_seconds(61)
        await until(lambda: verdicts(bench, target), ["lost"])


async def test_a_request_under_way_holds_back_no_other_deadline(bench: Bench) -> None:
    unopened = await bench.register(b'{"context":{},"lease_seconds":600,"open_within_seconds":60}')
    settling = await bench.register(b'{"context":{},"lease_seconds":60,"settle_seconds":60}')
    await bench.append(settling, OPENED)
    await bench.append(settling, CLOSED)
    with _word(bench, unopened) as one, _word(bench, settling) as other:
        one.complete()
        other.complete()
        bench.clock.pass_seconds(61)
        await until(lambda: verdicts(bench, unopened, settling), ["incomplete", "succeeded"])

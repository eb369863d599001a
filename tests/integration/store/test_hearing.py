"""The silence of a server that does not listen is not that of the processes."""

from __future__ import annotations

import pytest

from standpipe_server.broker.times import to_rfc3339
from standpipe_server.store import Target
from tests.integration.store.conftest import OPENED, Bench
from tests.integration.store.test_leases import lease_end, until, verdicts

pytestmark = pytest.mark.anyio
_LEASE = b'{"context":{},"lease_seconds":60}'


async def _leased(bench: Bench) -> Target:
    target = await bench.register(_LEASE)
    await bench.append(target, OPENED)
    return target


def _listen(bench: Bench, *, seconds: float) -> None:
    """Time passes while the server listens."""
    while seconds > 0:
        bench.clock.pass_seconds(0.25)
        bench.store.hearing.tick()
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
    with bench.store.hearing.word(speaking.pk), bench.store.hearing.word(speaking.pk):
        bench.clock.pass_seconds(61)
        await until(lambda: verdicts(bench, silent), ["lost"])
        assert await verdicts(bench, speaking) == [None]
    await until(lambda: verdicts(bench, speaking), ["lost"])

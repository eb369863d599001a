"""What no index serves is looked for in windows: page after page it finds what one look would, nothing twice."""

from __future__ import annotations

import json

import pytest

from standpipe_server.broker.values.state import Finish
from standpipe_server.store.reads.invocations import InvocationFilter, list_invocations
from tests.integration.store.conftest import OPENED, Bench, body
from tests.support.stores import finished
from tests.support.wire import check, materialization

pytestmark = pytest.mark.anyio

_COUNT = 23


async def _fill(bench: Bench) -> list[str]:
    """Every invocation has the tag and materializes the asset; every fifth fails, with a word in its reason."""
    made: list[str] = []
    for number in range(_COUNT):
        # Some are registered at the same instant.
        bench.clock.pass_seconds(number % 3)
        wire = {"context": {"job_name": f"job-{number % 2}"}, "tags": {"all": "same", "one": str(number)}}
        target = await bench.register(json.dumps(wire).encode())
        await bench.append(target, OPENED)
        await bench.append(target, body(materialization("a"), check("a", "c", passed=number % 4 > 0)))
        reason = "a needle in it" if number % 5 == 0 else "hay"
        await finished(bench.store, target.id, Finish(exit_code=1, reason=reason))
        made.append(target.id)
    return made


async def _pages(bench: Bench, filters: InvocationFilter, *, limit: int) -> tuple[list[str], list[str | None]]:
    ids: list[str] = []
    looked: list[str | None] = []
    cursor = None
    for _ in range(2 * _COUNT):
        page = await bench.store.reads.run(list_invocations, filters, limit=limit, cursor=cursor)
        ids += [json.loads(item)["id"] for item in page.items]
        looked.append(page.searched_to)
        cursor = page.next_cursor
        if cursor is None:
            return ids, looked
    raise AssertionError("The list does not end.")


@pytest.mark.parametrize("limit", [1, 4, 50])
async def test_windows_hide_nothing_and_repeat_nothing(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    made = await _fill(bench)
    newest_first = list(reversed(made))
    for name, value in (("_RARE", 3), ("_WINDOWS", (2, 4)), ("_TEXT_WINDOWS", (3, 7))):
        monkeypatch.setattr(f"standpipe_server.store.reads.invocations.filters.{name}", value)
    of = {one: number for number, one in enumerate(made)}
    for filters, fits in (
        (InvocationFilter(), lambda number: True),
        (InvocationFilter(tags=(("all", "same"),)), lambda number: True),
        (InvocationFilter(tags=(("one", "7"), ("all", None))), lambda number: number == 7),
        (InvocationFilter(asset_key="a", job_name="job-1"), lambda number: number % 2 == 1),
        (InvocationFilter(failed_checks=True), lambda number: number % 4 == 0),
        (InvocationFilter(text="job-0"), lambda number: number % 2 == 0),
        (InvocationFilter(text="job-0", failed_checks=True), lambda number: number % 4 == 0),
        (InvocationFilter(text="nowhere"), lambda number: False),
        # Each is found by its names and by its reason.
        (InvocationFilter(text="a"), lambda number: True),
    ):
        found, _ = await _pages(bench, filters, limit=limit)
        assert found == [one for one in newest_first if fits(of[one])], filters


async def test_a_window_that_ends_tells_how_far_it_looked(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    await _fill(bench)
    monkeypatch.setattr("standpipe_server.store.reads.invocations.filters._TEXT_WINDOWS", (4, 10))
    found, looked = await _pages(bench, InvocationFilter(text="nowhere"), limit=5)
    assert found == []
    *earlier, last = looked
    assert len(earlier) > 2
    assert None not in earlier
    assert sorted(filter(None, earlier), reverse=True) == earlier
    assert last is None

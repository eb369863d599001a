"""What a store remembers between transactions, and what it leaves out of its writes, changes no answer."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from standpipe_server.broker.lifecycle.requests import Heartbeat
from standpipe_server.broker.values.state import Finish
from standpipe_server.broker.values.times import to_rfc3339
from standpipe_server.store import Overloaded, Store, Target, Wake
from standpipe_server.store.commands import RecordHeartbeat
from standpipe_server.store.transactions import writer
from standpipe_server.store.transactions.unit_of_work import UnitOfWork
from tests.integration.store.conftest import OPENED, Bench, body, settings
from tests.support.stores import cancelled, finished
from tests.support.wire import check, closed, custom, materialization, opened

pytestmark = pytest.mark.anyio


@pytest.fixture
def other(bench: Bench) -> Iterator[Bench]:
    """A second store on the same database."""
    store = Store(settings(bench.database_url), clock=bench.clock)
    yield Bench(store, bench.clock, bench.database_url)
    assert store.close()


# Two stores on one database


async def test_an_append_goes_on_from_what_another_store_has_committed(bench: Bench, other: Bench) -> None:
    target = await bench.register()
    for seq in range(1, 8):
        outcome = await (bench, other)[seq % 2].append(target, body(custom(seq)), producer="p", first_seq=seq)
        assert (outcome.status, outcome.body["accepted_through"], outcome.body["last_position"]) == (200, seq, seq)
    assert [event["params"]["payload"] for event in await bench.events(target)] == list(range(1, 8))


async def test_a_report_that_another_store_took_is_known(bench: Bench, other: Bench) -> None:
    target = await bench.register()
    assert (await bench.append(target, body(materialization("a"), check("a", "c")))).status == 200
    assert (await other.append(target, body(materialization("b"), check("a", "d")))).status == 200
    assert (await bench.append(target, body(materialization("b")))).status == 207
    assert (await other.append(target, body(materialization("a")))).status == 207
    await bench.append(target, body(check("a", "d")))
    assert "repeated-check" in str((await bench.events(target))[-1]["notes"])


async def test_a_word_at_another_store_is_known(bench: Bench, other: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(opened()), producer="p", first_seq=1)
    await cancelled(other.store, target.id)
    outcome = await bench.append(target, body(custom(1)), producer="p", first_seq=2)
    assert outcome.body["control"] == {"cancel_requested": True}
    await bench.append(target, body(closed()), producer="p", first_seq=3)
    await finished(other.store, target.id, Finish(exit_code=0))
    assert (await bench.append(target, body(custom(2)), producer="p", first_seq=4)).status == 409


# What is written of a change


async def read_by_another(bench: Bench, target: Target) -> dict[str, Any]:
    """The invocation as a store judges it that remembers nothing."""
    store = Store(settings(bench.database_url), clock=bench.clock)
    try:
        return json.loads((await finished(store, target.id, Finish())).json)
    finally:
        assert store.close()


async def test_a_rejection_is_written_though_nothing_else_changed(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(opened()), producer="p", first_seq=1)
    await bench.append(target, body({"method": "nonsense"}), producer="p", first_seq=2)
    judged = await read_by_another(bench, target)
    assert judged["verdict"] == "failed"
    assert judged["receipt"]["rejected"] == 1


async def test_a_second_opening_is_written_though_nothing_else_changed(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(opened(), closed()), producer="p", first_seq=1)
    await bench.append(target, body(opened()), producer="p", first_seq=3)
    judged = await read_by_another(bench, target)
    assert [reason["code"] for reason in judged["reasons"]] == ["never-closed"]


async def test_a_supervisors_exception_is_written_though_it_ends_nothing(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(opened(), closed()), producer="p", first_seq=1)
    supervisor = {"method": "opened", "params": {"extras": {"role": "supervisor"}}}
    await bench.append(target, body(supervisor), producer="s", first_seq=1)
    await bench.append(target, body(closed(exception={"message": "boom"})), producer="s", first_seq=2)
    assert "exception" in [reason["code"] for reason in (await read_by_another(bench, target))["reasons"]]


async def test_a_superseded_producer_is_written_though_it_said_nothing(bench: Bench) -> None:
    target = await bench.register()
    first, second = ({"method": "opened", "params": {"extras": {"attempt": [number]}}} for number in (1, 2))
    await bench.append(target, body(first), producer="a", first_seq=1)
    await bench.append(target, body(second, closed()), producer="b", first_seq=1)
    judged = await read_by_another(bench, target)
    assert (judged["verdict"], [one["superseded"] for one in judged["receipt"]["producers"]]) == (
        "succeeded",
        [False, True],
    )


async def test_counts_numbers_and_the_last_word_are_written_where_only_they_move(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(opened()), producer="p", first_seq=1)
    bench.clock.pass_seconds(5)
    await bench.append(target, body(custom(1)), producer="p", first_seq=2, numbered=4)
    judged = await read_by_another(bench, target)
    (mine,) = judged["receipt"]["producers"]
    assert judged["receipt"]["by_method"] == {"opened": 1, "report_custom_message": 1}
    assert (mine["stored"], mine["numbered"], mine["last_word_at"]) == (2, 4, to_rfc3339(bench.clock.now))


async def test_a_deadline_that_comes_nearer_is_written(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, OPENED)
    # The first heartbeat begins a lease, and moves nothing else.
    await bench.store.writes.run(RecordHeartbeat(target.pk, Heartbeat(), start=True))
    bench.clock.pass_seconds(61)
    async with asyncio.timeout(30):
        while (await bench.invocation(target))["verdict"] != "lost":  # noqa: ASYNC110  the sweeper tells nobody
            await asyncio.sleep(0.02)


# One transaction for many commands


@dataclass
class Gate:
    """A command that holds the writer until it is opened, so that what comes behind it waits together."""

    pk: int | None
    entered: threading.Event = field(default_factory=threading.Event)
    opened: threading.Event = field(default_factory=threading.Event)

    def execute(self, unit: UnitOfWork) -> None:
        self.entered.set()
        assert self.opened.wait(30)


@dataclass(frozen=True)
class Broken:
    pk: int | None

    def execute(self, unit: UnitOfWork) -> None:
        raise ZeroDivisionError


async def commits_of(bench: Bench, target: Target, *commands: Any) -> tuple[list[int], list[Any]]:
    """Has these awaited at once while the writer is busy: how many wakes each commit after that made, and results."""
    gate = Gate(target.pk)
    held = asyncio.create_task(bench.store.writes.run(gate))  # pyright: ignore[reportPrivateUsage]
    await asyncio.to_thread(gate.entered.wait, 30)
    commits: list[list[Wake]] = []
    bench.store.on_commit = lambda wakes: commits.append(list(wakes))
    waiting = asyncio.gather(*commands, return_exceptions=True)
    await asyncio.sleep(0)
    gate.opened.set()
    async with asyncio.timeout(30):
        results = await waiting
    await held
    return [len(commit) for commit in commits[1:]], results


async def test_what_waits_together_is_committed_together(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_GROUP_COMMANDS", 20)
    target = await bench.register()
    appends = [bench.append(target, body(custom(n)), producer=f"p{n}", first_seq=1) for n in range(50)]
    commits, outcomes = await commits_of(bench, target, *appends)
    assert len(commits) == 3
    assert [outcome.status for outcome in outcomes] == [200] * 50
    assert sorted(event["params"]["payload"] for event in await bench.events(target)) == list(range(50))


async def test_what_is_committed_together_is_bounded_in_bytes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "_GROUP_BYTES", 600)
    target = await bench.register()
    appends = [bench.append(target, body(custom("x" * 200)), producer=f"p{n}", first_seq=1) for n in range(9)]
    commits, _ = await commits_of(bench, target, *appends)
    assert len(commits) == 3


async def test_one_that_fails_takes_no_other_with_it(bench: Bench) -> None:
    target = await bench.register()
    appends = [bench.append(target, body(custom(n)), producer=f"p{n}", first_seq=1) for n in range(5)]
    broken = bench.store.writes.run(Broken(target.pk))  # pyright: ignore[reportPrivateUsage]
    _, (*before, failed, last) = await commits_of(bench, target, *appends[:4], broken, appends[4])
    assert isinstance(failed, ZeroDivisionError)
    assert [outcome.status for outcome in (*before, last)] == [200] * 5
    assert len(await bench.events(target)) == 5


async def test_a_commit_that_is_not_confirmed_is_not_acknowledged(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = await bench.register()

    def lose(*_: object) -> None:
        raise OSError("the answer did not come")

    with monkeypatch.context() as broken:
        broken.setattr(bench.store._watch, "committed", lose)  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(Overloaded, match="did not confirm"):
            await bench.append(target, body(custom(1)), producer="p", first_seq=1)
    # It may be sent again, and is there once.
    assert (await bench.append(target, body(custom(1)), producer="p", first_seq=1)).status == 200
    assert len(await bench.events(target)) == 1

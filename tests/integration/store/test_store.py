"""The store on both databases: what is acknowledged is there, once, in order, after every kind of end."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from standpipe_server.broker.lifecycle.requests import Heartbeat
from standpipe_server.broker.values.state import Finish
from standpipe_server.store import (
    Conflict,
    NotFound,
    Overloaded,
    Store,
)
from standpipe_server.store.commands import Delete, RecordHeartbeat
from standpipe_server.store.commands.lifecycle import EndDue
from standpipe_server.store.commands.merge_segments import Merge
from standpipe_server.store.reads import find_target
from standpipe_server.store.reads.assets import MATERIALIZATIONS, ReportFilter, list_reports, read_asset
from standpipe_server.store.reads.invocations import read_history
from tests.integration.store.conftest import CLOSED, OPENED, Bench, body, settings
from tests.support.stores import cancelled, finished
from tests.support.wire import log, materialization

pytestmark = pytest.mark.anyio


async def test_a_thousand_callers_at_once_lose_nothing_and_share_one_numbering(bench: Bench) -> None:
    target = await bench.register()

    async def one(number: int) -> None:
        for seq in range(1, 26):
            await bench.append(target, body(log(f"{number}-{seq}")), producer=f"p{number}", first_seq=seq)

    await asyncio.gather(*(one(number) for number in range(40)))
    found = await bench.events(target)
    assert [event["position"] for event in found] == list(range(1, 1001))
    for number in range(40):
        own = [event for event in found if event["producer"] == f"p{number}"]
        assert [event["seq"] for event in own] == list(range(1, 26))
        assert [event["params"]["message"] for event in own] == [f"{number}-{seq}" for seq in range(1, 26)]


async def test_a_retry_is_stored_once_and_told_the_same_again(bench: Bench) -> None:
    target = await bench.register()
    batch = body(log("a"), {"method": "log", "params": {}}, log("c"))
    first = await bench.append(target, batch, producer="p", first_seq=1)
    again = await bench.append(target, batch, producer="p", first_seq=1)
    assert (first.status, again.status) == (207, 207)
    assert first.body == again.body
    assert len(await bench.events(target)) == 3


async def test_a_retry_after_the_merge_is_told_the_same_too(bench: Bench) -> None:
    target = await bench.register()
    batch = body(log("a"), {"method": "log", "params": {}})
    first = await bench.append(target, batch, producer="p", first_seq=1)
    await bench.append(target, OPENED)
    await bench.append(target, CLOSED)
    await finished(bench.store, target.id, Finish(exit_code=0))
    before = await bench.events(target)
    await bench.store.writes.run(Merge(target.pk))
    assert await bench.events(target) == before
    again = await bench.append(target, batch, producer="p", first_seq=1)
    assert again.body["results"] == first.body["results"]


async def test_a_gap_stores_nothing(bench: Bench) -> None:
    target = await bench.register()
    outcome = await bench.append(target, body(log("b")), producer="p", first_seq=2)
    assert (outcome.status, outcome.body["expected_seq"]) == (409, 1)
    assert await bench.events(target) == []


async def test_a_bare_object_that_breaks_a_rule_is_its_own_problem_and_stored(bench: Bench) -> None:
    target = await bench.register()
    text = b'{"method":"report_asset_check","params":{"asset_key":"a"}}'
    outcome = await bench.append(target, text, idempotency_key="k")
    assert outcome.status == 422
    assert {key: outcome.body[key] for key in ("stored", "position", "seq")} == {
        "stored": True,
        "position": 1,
        "seq": 1,
    }
    assert await bench.append(target, text, idempotency_key="k") == outcome
    found = await bench.events(target)
    assert len(found) == 1
    assert found[0]["problem"]["pointer"] == "/params/check_name"


async def test_an_idempotency_key_makes_an_unnumbered_append_safe(bench: Bench) -> None:
    target = await bench.register()
    first = await bench.append(target, body(log("a"), log("b")), idempotency_key="k")
    await bench.append(target, body(log("c")))
    again = await bench.append(target, body(log("a"), log("b")), idempotency_key="k")
    assert again.status == first.status == 200
    assert len(await bench.events(target)) == 3
    with pytest.raises(Conflict) as conflict:
        await bench.append(target, body(log("other")), idempotency_key="k")
    assert conflict.value.problem.name == "idempotency-conflict"


async def test_the_same_registration_finds_the_same_invocation_with_a_token_that_works(bench: Bench) -> None:
    first = await bench.register(b'{"context":{"job_name":"j"}}', key="k")
    again = await bench.register(b'{ "context": {"job_name": "j"} }', key="k")
    assert first == again
    with pytest.raises(Conflict):
        await bench.register(b'{"context":{"job_name":"other"}}', key="k")


async def test_a_second_materialization_is_rejected_across_producers_and_batches(bench: Bench) -> None:
    target = await bench.register()
    assert (await bench.append(target, body(materialization("a")), producer="p", first_seq=1)).status == 200
    outcome = await bench.append(target, body(materialization("a"), materialization("b")), producer="q", first_seq=1)
    assert outcome.status == 207
    results: Any = outcome.body["results"]
    assert [result["index"] for result in results] == [0]
    page = await bench.store.reads.run(list_reports, MATERIALIZATIONS, "a", ReportFilter(), limit=10, cursor=None)
    assert len(page.items) == 1


async def test_a_finish_ends_with_the_verdict_and_repeated_changes_nothing(bench: Bench) -> None:
    target = await bench.register(b'{"context":{"asset_keys":["a"]},"expected":{"asset_keys":["a"]}}')
    await bench.append(target, OPENED)
    await bench.append(target, body(materialization("a")))
    await bench.append(target, CLOSED)
    first = await finished(bench.store, target.id, Finish(exit_code=0))
    again = await finished(bench.store, target.id, Finish(exit_code=0))
    assert json.loads(first.json) == json.loads(again.json)
    told = json.loads(first.json)
    assert (told["status"], told["verdict"], told["revision"]) == ("ended", "succeeded", 0)
    assert told["receipt"]["events"] == 3
    late = await bench.append(target, body(log("late")))
    assert (late.status, late.body["verdict"], late.body["last_position"]) == (409, "succeeded", 3)


async def test_a_late_tail_revises_an_incomplete_verdict(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(json.loads(OPENED)), producer="p", first_seq=1, numbered=3)
    await finished(bench.store, target.id, Finish(exit_code=0))
    told = await bench.invocation(target)
    assert (told["verdict"], told["revision"]) == ("incomplete", 0)
    assert {reason["code"] for reason in told["reasons"]} == {"never-closed", "missing-tail"}
    outcome = await bench.append(target, body(log("x"), json.loads(CLOSED)), producer="p", first_seq=2)
    assert outcome.status == 200
    told = await bench.invocation(target)
    assert (told["verdict"], told["revision"], told["reasons"]) == ("succeeded", 1, [])
    changes = [change["change"] for change in await bench.store.reads.run(read_history, target.id)]
    assert changes == ["registered", "opened", "finished", "ended", "revised"]


async def test_a_later_finish_changes_a_settled_verdict(bench: Bench) -> None:
    target = await bench.register(b'{"context":{},"settle_seconds":1}')
    await bench.append(target, OPENED)
    await bench.append(target, CLOSED)
    bench.clock.pass_seconds(2)
    await bench.store.writes.run(EndDue(target.pk))
    assert (await bench.invocation(target))["verdict"] == "succeeded"
    told = json.loads((await finished(bench.store, target.id, Finish(exit_code=9))).json)
    assert (told["verdict"], told["revision"]) == ("failed", 1)


async def test_deadlines_end_what_nobody_finishes(bench: Bench) -> None:
    never = await bench.register(b'{"context":{},"open_within_seconds":5}')
    leased = await bench.register(b'{"context":{},"lease_seconds":3}')
    beating = await bench.register()
    await bench.append(leased, OPENED)
    await bench.store.writes.run(RecordHeartbeat(beating.pk, Heartbeat(), start=True))
    bench.clock.pass_seconds(100)
    for target in (never, leased, beating):
        await bench.store.writes.run(EndDue(target.pk))
    assert [(await bench.invocation(t))["verdict"] for t in (never, leased, beating)] == ["incomplete", "lost", "lost"]


async def test_a_lost_process_that_speaks_again_is_heard(bench: Bench) -> None:
    target = await bench.register(b'{"context":{},"lease_seconds":3}')
    await bench.append(target, body(json.loads(OPENED)), producer="p", first_seq=1)
    bench.clock.pass_seconds(10)
    await bench.store.writes.run(EndDue(target.pk))
    assert (await bench.invocation(target))["verdict"] == "lost"
    await bench.append(target, body(json.loads(CLOSED)), producer="p", first_seq=2)
    assert (await bench.invocation(target))["verdict"] == "succeeded"


async def test_cancel_is_heard_in_the_next_answer(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, OPENED)
    view = await cancelled(bench.store, target.id)
    assert view.cancel_requested
    outcome = await bench.append(target, body(log("x")))
    assert outcome.body["control"] == {"cancel_requested": True}
    told = json.loads((await finished(bench.store, target.id, Finish(exit_code=-15))).json)
    assert told["verdict"] == "cancelled"


async def test_a_running_invocation_is_deleted_only_by_force(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(
        target, body(materialization("a"), {"method": "log", "params": {"message": "e", "level": "ERROR"}})
    )
    with pytest.raises(Conflict):
        await bench.store.writes.run(Delete(target.pk, force=False))
    await bench.store.writes.run(Delete(target.pk, force=True))
    with pytest.raises(NotFound):
        await bench.store.reads.run(find_target, target.id)
    with pytest.raises(NotFound):
        await bench.append(target, body(log("x")))
    with pytest.raises(NotFound):
        await bench.store.reads.run(read_asset, "a")


async def test_a_full_queue_refuses_and_says_when_to_come_again(bench: Bench) -> None:
    target = await bench.register()
    store = Store(settings(bench.database_url, queue_size=1), clock=bench.clock)
    narrow = Bench(store, bench.clock, bench.database_url)
    try:
        calls = [narrow.append(target, body(log(str(n)))) for n in range(200)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
        assert refused
        assert all(refusal.problem.members["retry_after"] for refusal in refused)
        stored = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert len(stored) + len(refused) == 200
        assert len(await bench.events(target)) == len(stored)
    finally:
        assert store.close()


async def test_closing_stores_what_waits(bench: Bench) -> None:
    target = await bench.register()
    store = Store(settings(bench.database_url), clock=bench.clock)
    other = Bench(store, bench.clock, bench.database_url)
    calls = asyncio.gather(*(other.append(target, body(log(str(n)))) for n in range(50)))
    await asyncio.sleep(0)
    assert await asyncio.to_thread(store.close)
    assert all(outcome.status == 200 for outcome in await calls)
    assert len(await bench.events(target)) == 50


async def test_every_commit_wakes_whoever_listens(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, OPENED)
    await finished(bench.store, target.id, Finish())
    seen = [(wake.last_position, wake.ended) for wake in bench.wakes if wake.pk == target.pk]
    assert seen[0] == (1, False)
    assert seen[-1] == (1, True)


async def test_a_retry_that_holds_nothing_new_is_a_word_of_the_process_all_the_same(bench: Bench) -> None:
    target = await bench.register(b'{"context":{},"lease_seconds":10}')
    batch = body(json.loads(OPENED))
    await bench.append(target, batch, producer="p", first_seq=1)
    bench.clock.pass_seconds(7)
    await bench.append(target, batch, producer="p", first_seq=1, numbered=4)
    bench.clock.pass_seconds(7)
    await bench.store.writes.run(EndDue(target.pk))
    assert (await bench.invocation(target))["status"] == "running"
    await finished(bench.store, target.id, Finish())
    assert "2-4 never arrived" in str((await bench.invocation(target))["reasons"])


async def test_a_listener_that_fails_does_not_make_a_commit_happen_twice(bench: Bench) -> None:
    target = await bench.register()

    def fail(_: object) -> None:
        raise RuntimeError("the listener failed")

    bench.store.on_commit = fail
    outcomes = await asyncio.gather(*(bench.append(target, body(log(str(n)))) for n in range(20)))
    assert [outcome.status for outcome in outcomes] == [200] * 20
    assert len(await bench.events(target)) == 20

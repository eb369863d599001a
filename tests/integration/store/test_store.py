"""The store on both databases: what is acknowledged is there, once, in order, after every kind of end."""

from __future__ import annotations

import asyncio
import json

import pytest

from standpipe_protocol.json_text import decode_json
from standpipe_server.broker.requests import Heartbeat
from standpipe_server.broker.state import Finish
from standpipe_server.store import (
    BadCursor,
    Conflict,
    ErrorFilter,
    InvocationFilter,
    NotFound,
    Overloaded,
    ReportFilter,
    Store,
    StoreSettings,
    Target,
)
from standpipe_server.store.commands import EndDue
from standpipe_server.store.merge import Merge
from tests.integration.store.conftest import Bench, Clock

pytestmark = pytest.mark.anyio

OPENED = b'{"method":"opened","params":{}}'
CLOSED = b'{"method":"closed","params":{}}'


def log(text: str) -> dict[str, object]:
    return {"method": "log", "params": {"message": text}}


def materialized(key: str, **params: object) -> dict[str, object]:
    return {"method": "report_asset_materialization", "params": {"asset_key": key} | params}


def body(*wires: object) -> bytes:
    return json.dumps(wires).encode()


async def events(bench: Bench, target: Target, **how: object) -> list[dict[str, object]]:
    page = await bench.store.read_events(target.pk, **({"after": 0, "limit": 10_000} | how))  # type: ignore[arg-type]
    return [json.loads(event) for event in page.events]


async def invocation(bench: Bench, target: Target) -> dict[str, object]:
    return json.loads((await bench.store.read_invocation(target.id)).json)


async def test_a_thousand_callers_at_once_lose_nothing_and_share_one_numbering(bench: Bench) -> None:
    target = await bench.register()

    async def one(number: int) -> None:
        for seq in range(1, 26):
            await bench.append(target, body(log(f"{number}-{seq}")), producer=f"p{number}", first_seq=seq)

    await asyncio.gather(*(one(number) for number in range(40)))
    found = await events(bench, target)
    assert [event["position"] for event in found] == list(range(1, 1001))
    for number in range(40):
        own = [event for event in found if event["producer"] == f"p{number}"]
        assert [event["seq"] for event in own] == list(range(1, 26))
        assert [event["params"]["message"] for event in own] == [f"{number}-{seq}" for seq in range(1, 26)]  # type: ignore[index]


async def test_a_retry_is_stored_once_and_told_the_same_again(bench: Bench) -> None:
    target = await bench.register()
    batch = body(log("a"), {"method": "log", "params": {}}, log("c"))
    first = await bench.append(target, batch, producer="p", first_seq=1)
    again = await bench.append(target, batch, producer="p", first_seq=1)
    assert (first.status, again.status) == (207, 207)
    assert first.body == again.body
    assert len(await events(bench, target)) == 3


async def test_a_retry_after_the_merge_is_told_the_same_too(bench: Bench) -> None:
    target = await bench.register()
    batch = body(log("a"), {"method": "log", "params": {}})
    first = await bench.append(target, batch, producer="p", first_seq=1)
    await bench.append(target, OPENED)
    await bench.append(target, CLOSED)
    await bench.store.finish(target.id, Finish(exit_code=0))
    before = await events(bench, target)
    await bench.store._write(Merge(target.pk))
    assert await events(bench, target) == before
    again = await bench.append(target, batch, producer="p", first_seq=1)
    assert again.body["results"] == first.body["results"]


async def test_a_gap_stores_nothing(bench: Bench) -> None:
    target = await bench.register()
    outcome = await bench.append(target, body(log("b")), producer="p", first_seq=2)
    assert (outcome.status, outcome.body["expected_seq"]) == (409, 1)
    assert await events(bench, target) == []


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
    found = await events(bench, target)
    assert len(found) == 1
    assert found[0]["problem"]["pointer"] == "/params/check_name"  # type: ignore[index]


async def test_an_idempotency_key_makes_an_unnumbered_append_safe(bench: Bench) -> None:
    target = await bench.register()
    first = await bench.append(target, body(log("a"), log("b")), idempotency_key="k")
    await bench.append(target, body(log("c")))
    again = await bench.append(target, body(log("a"), log("b")), idempotency_key="k")
    assert again.status == first.status == 200
    assert len(await events(bench, target)) == 3
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
    assert (await bench.append(target, body(materialized("a")), producer="p", first_seq=1)).status == 200
    outcome = await bench.append(target, body(materialized("a"), materialized("b")), producer="q", first_seq=1)
    assert outcome.status == 207
    assert [result["index"] for result in outcome.body["results"]] == [0]  # type: ignore[union-attr]
    page = await bench.store.list_materializations("a", ReportFilter(), limit=10, cursor=None)
    assert len(page.items) == 1


async def test_awkward_values_are_carried_unharmed(bench: Bench) -> None:
    text = (
        b'{"method":"report_custom_message","params":{"payload":{"big":' + b"7" * 6000 + b',"nul":"\\u0000",'
        b'"exact":1.10,"far":1e400,"nan":NaN,"emoji":"\xf0\x9f\x9a\xb0"}}}'
    )
    target = await bench.register()
    await bench.append(target, text)
    page = await bench.store.read_events(target.pk, after=0, limit=10)
    assert b'"exact":1.10,"far":1e400,"nan":"NaN"' in page.events[0]
    event = decode_json(page.events[0])
    payload = event["params"]["payload"]  # type: ignore[index, call-overload]
    assert payload["nul"] == "\x00"
    assert payload["big"] == int("7" * 3000) * 10**3000 + int("7" * 3000)


async def test_names_with_nul_and_half_surrogates_are_found_by_themselves(bench: Bench) -> None:
    target = await bench.register(
        b'{"context":{"job_name":"j\\u0000b","partition_key":"p\\u0001"},"tags":{"a\\u0000":"b"}}'
    )
    await bench.append(target, body(materialized("k\x00y"), materialized("plain")))
    page = await bench.store.list_materializations("k\x00y", ReportFilter(partition_key="p\x01"), limit=5, cursor=None)
    assert json.loads(page.items[0])["asset_key"] == "k\x00y"
    for filters in (InvocationFilter(job_name="j\x00b"), InvocationFilter(tags=(("a\x00", "b"),))):
        found = await bench.store.list_invocations(filters, limit=5, cursor=None)
        assert [json.loads(item)["id"] for item in found.items] == [target.id]


async def test_reading_resumes_anywhere_and_filters_by_method(bench: Bench) -> None:
    target = await bench.register()
    for start in range(1, 100, 10):
        await bench.append(target, body(*(log(str(start + i)) for i in range(9)), materialized(f"a{start}")))
    for after in (0, 1, 9, 10, 11, 55, 99, 100, 200):
        page = await bench.store.read_events(target.pk, after=after, limit=7)
        assert page.positions == list(range(after + 1, min(after + 7, 100) + 1))
    only = await bench.store.read_events(
        target.pk, after=15, limit=3, methods=frozenset({"report_asset_materialization"})
    )
    assert only.positions == [20, 30, 40]
    assert only.next_after == 40
    none = await bench.store.read_events(target.pk, after=0, limit=3, methods=frozenset({"closed"}))
    assert (none.events, none.next_after) == ([], 100)
    small = await bench.store.read_events(target.pk, after=0, limit=50, max_bytes=300)
    assert 1 <= len(small.events) < 5


async def test_a_finish_ends_with_the_verdict_and_repeated_changes_nothing(bench: Bench) -> None:
    target = await bench.register(b'{"context":{"asset_keys":["a"]},"expected":{"asset_keys":["a"]}}')
    await bench.append(target, OPENED)
    await bench.append(target, body(materialized("a")))
    await bench.append(target, CLOSED)
    first = await bench.store.finish(target.id, Finish(exit_code=0))
    again = await bench.store.finish(target.id, Finish(exit_code=0))
    assert json.loads(first.json) == json.loads(again.json)
    told = json.loads(first.json)
    assert (told["status"], told["verdict"], told["revision"]) == ("ended", "succeeded", 0)
    assert told["receipt"]["events"] == 3
    late = await bench.append(target, body(log("late")))
    assert (late.status, late.body["verdict"], late.body["last_position"]) == (409, "succeeded", 3)


async def test_a_late_tail_revises_an_incomplete_verdict(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(json.loads(OPENED)), producer="p", first_seq=1, numbered=3)
    await bench.store.finish(target.id, Finish(exit_code=0))
    told = await invocation(bench, target)
    assert (told["verdict"], told["revision"]) == ("incomplete", 0)
    assert {reason["code"] for reason in told["reasons"]} == {"never-closed", "missing-tail"}  # type: ignore[union-attr, index]
    outcome = await bench.append(target, body(log("x"), json.loads(CLOSED)), producer="p", first_seq=2)
    assert outcome.status == 200
    told = await invocation(bench, target)
    assert (told["verdict"], told["revision"], told["reasons"]) == ("succeeded", 1, [])
    changes = [change["change"] for change in await bench.store.read_history(target.id)]
    assert changes == ["registered", "opened", "finished", "ended", "revised"]


async def test_a_later_finish_changes_a_settled_verdict(bench: Bench) -> None:
    target = await bench.register(b'{"context":{},"settle_seconds":1}')
    await bench.append(target, OPENED)
    await bench.append(target, CLOSED)
    bench.clock.pass_seconds(2)
    await bench.store._write(EndDue(target.pk))
    assert (await invocation(bench, target))["verdict"] == "succeeded"
    told = json.loads((await bench.store.finish(target.id, Finish(exit_code=9))).json)
    assert (told["verdict"], told["revision"]) == ("failed", 1)


async def test_deadlines_end_what_nobody_finishes(bench: Bench) -> None:
    never = await bench.register(b'{"context":{},"open_within_seconds":5}')
    leased = await bench.register(b'{"context":{},"lease_seconds":3}')
    beating = await bench.register()
    await bench.append(leased, OPENED)
    await bench.store.heartbeat(beating, Heartbeat())
    bench.clock.pass_seconds(100)
    for target in (never, leased, beating):
        await bench.store._write(EndDue(target.pk))
    assert [(await invocation(bench, t))["verdict"] for t in (never, leased, beating)] == ["incomplete", "lost", "lost"]


async def test_a_lost_process_that_speaks_again_is_heard(bench: Bench) -> None:
    target = await bench.register(b'{"context":{},"lease_seconds":3}')
    await bench.append(target, body(json.loads(OPENED)), producer="p", first_seq=1)
    bench.clock.pass_seconds(10)
    await bench.store._write(EndDue(target.pk))
    assert (await invocation(bench, target))["verdict"] == "lost"
    await bench.append(target, body(json.loads(CLOSED)), producer="p", first_seq=2)
    assert (await invocation(bench, target))["verdict"] == "succeeded"


async def test_leases_start_anew_when_the_server_was_away(bench: Bench) -> None:
    target = await bench.register(b'{"context":{},"lease_seconds":3}')
    await bench.append(target, OPENED)
    # The clock of the first store stands still, or its sweeper would be the one that was not away.
    later = Clock(bench.clock.now + 1_000_000_000)
    another = Store.open(StoreSettings(database_url=bench.database_url), clock=later)
    try:
        await another._write(EndDue(target.pk))
        assert (await invocation(bench, target))["status"] == "running"
    finally:
        assert another.close()


async def test_cancel_is_heard_in_the_next_answer(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, OPENED)
    view = await bench.store.request_cancel(target.id)
    assert view.cancel_requested
    outcome = await bench.append(target, body(log("x")))
    assert outcome.body["control"] == {"cancel_requested": True}
    told = json.loads((await bench.store.finish(target.id, Finish(exit_code=-15))).json)
    assert told["verdict"] == "cancelled"


async def test_a_running_invocation_is_deleted_only_by_force(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, body(materialized("a"), {"method": "log", "params": {"message": "e", "level": "ERROR"}}))
    with pytest.raises(Conflict):
        await bench.store.delete(target.id, force=False)
    await bench.store.delete(target.id, force=True)
    with pytest.raises(NotFound):
        await bench.store.find(target.id)
    with pytest.raises(NotFound):
        await bench.append(target, body(log("x")))
    with pytest.raises(NotFound):
        await bench.store.read_asset("a")


async def test_lists_go_on_where_they_stopped_and_cursors_belong_to_their_filter(bench: Bench) -> None:
    targets = [await bench.register(b'{"context":{"job_name":"j"}}') for _ in range(7)]
    await bench.register(b'{"context":{"job_name":"other"}}')
    filters = InvocationFilter(job_name="j")
    seen: list[str] = []
    cursor = None
    while True:
        page = await bench.store.list_invocations(filters, limit=3, cursor=cursor)
        seen += [json.loads(item)["id"] for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        with pytest.raises(BadCursor):
            await bench.store.list_invocations(InvocationFilter(), limit=3, cursor=cursor)
    assert seen == [target.id for target in reversed(targets)]
    with pytest.raises(BadCursor):
        await bench.store.list_invocations(filters, limit=3, cursor="nonsense")


async def test_every_filter_finds_what_it_names(bench: Bench) -> None:
    context = b'{"asset_keys":["a"],"job_name":"j","run_id":"r","partition_key":"2024-01"}'
    target = await bench.register(b'{"context":' + context + b',"tags":{"team":"data"}}')
    bench.clock.pass_seconds(10)
    await bench.register()
    for filters in (
        InvocationFilter(asset_key="a"),
        InvocationFilter(job_name="j"),
        InvocationFilter(run_id="r"),
        InvocationFilter(partition_key="2024-01"),
        InvocationFilter(tags=(("team", "data"),)),
        InvocationFilter(tags=(("team", None),)),
        InvocationFilter(until=bench.clock.now),
        InvocationFilter(text="TEAM=dat"),
        InvocationFilter(text=target.id[-12:]),
        InvocationFilter(status="registered", until=bench.clock.now),
    ):
        page = await bench.store.list_invocations(filters, limit=5, cursor=None)
        assert [json.loads(item)["id"] for item in page.items] == [target.id], filters


async def test_history_by_asset_spans_invocations_newest_first(bench: Bench) -> None:
    for number in range(5):
        target = await bench.register()
        metadata = {"rows": {"type": "int", "raw_value": number}, "odd": {"type": "url", "raw_value": 5}}
        check = {"method": "report_asset_check", "params": {"asset_key": "a", "check_name": "c", "passed": number > 2}}
        await bench.append(target, body(materialized("a", metadata=metadata, data_version=f"v{number}"), check))
    page = await bench.store.list_materializations("a", ReportFilter(), limit=3, cursor=None)
    items = [json.loads(item) for item in page.items]
    assert [item["data_version"] for item in items] == ["v4", "v3", "v2"]
    assert items[0]["metadata"]["rows"] == {"type": "int", "raw_value": 4}
    assert items[0]["metadata"]["odd"]["type"] == "json"
    assert "expected a string" in items[0]["metadata"]["odd"]["problem"]
    rest = await bench.store.list_materializations("a", ReportFilter(), limit=3, cursor=page.next_cursor)
    assert [json.loads(item)["data_version"] for item in rest.items] == ["v1", "v0"]
    checks = await bench.store.list_checks("a", ReportFilter(check_name="c"), limit=2, cursor=None)
    assert [json.loads(item)["passed"] for item in checks.items] == [True, True]
    asset = json.loads(await bench.store.read_asset("a"))
    assert asset["last_materialization"]["data_version"] == "v4"
    assert [one["check_name"] for one in asset["checks"]] == ["c"]
    assets = await bench.store.list_assets(limit=5, cursor=None)
    assert [json.loads(item)["asset_key"] for item in assets.items] == ["a"]


async def test_an_asset_that_was_only_targeted_is_not_listed(bench: Bench) -> None:
    await bench.register(b'{"context":{"asset_keys":["never"]}}')
    assert (await bench.store.list_assets(limit=5, cursor=None)).items == []


async def test_the_first_error_of_each_kind_is_found_across_invocations(bench: Bench) -> None:
    raised = {"method": "closed", "params": {"exception": {"message": "ValueError: bad\n", "stack": []}}}
    error = {"method": "log", "params": {"message": "went wrong", "level": "ERROR"}}
    for _ in range(3):
        target = await bench.register()
        await bench.append(target, body(json.loads(OPENED), error, error, {"method": "nonsense"}, raised))
        bench.clock.pass_seconds(1)
    seen: list[dict[str, object]] = []
    cursor = None
    while True:
        page = await bench.store.list_errors(ErrorFilter(), limit=2, cursor=cursor)
        seen += [json.loads(item) for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == 9
    assert [item["received_at"] for item in seen] == sorted((str(item["received_at"]) for item in seen), reverse=True)
    assert {(item["kind"], item["position"]) for item in seen} == {("log", 2), ("rejected", 4), ("exception", 5)}
    only = await bench.store.list_errors(ErrorFilter(kind="exception"), limit=9, cursor=None)
    assert [json.loads(item)["summary"] for item in only.items] == ["ValueError: bad"] * 3


async def test_a_full_queue_refuses_and_says_when_to_come_again(bench: Bench) -> None:
    target = await bench.register()
    store = Store.open(StoreSettings(database_url=bench.database_url, queue_size=1), clock=bench.clock)
    narrow = Bench(store, bench.clock, bench.database_url)
    try:
        calls = [narrow.append(target, body(log(str(n)))) for n in range(200)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        refused = [outcome for outcome in outcomes if isinstance(outcome, Overloaded)]
        assert refused
        assert all(refusal.problem.members["retry_after"] for refusal in refused)
        stored = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        assert len(stored) + len(refused) == 200
        assert len(await events(bench, target)) == len(stored)
    finally:
        assert store.close()


async def test_closing_stores_what_waits(bench: Bench) -> None:
    target = await bench.register()
    store = Store.open(StoreSettings(database_url=bench.database_url), clock=bench.clock)
    other = Bench(store, bench.clock, bench.database_url)
    calls = asyncio.gather(*(other.append(target, body(log(str(n)))) for n in range(50)))
    await asyncio.sleep(0)
    assert await asyncio.to_thread(store.close)
    assert all(outcome.status == 200 for outcome in await calls)
    assert len(await events(bench, target)) == 50


async def test_every_commit_wakes_whoever_listens(bench: Bench) -> None:
    target = await bench.register()
    await bench.append(target, OPENED)
    await bench.store.finish(target.id, Finish())
    seen = [(wake.last_position, wake.ended) for wake in bench.wakes if wake.pk == target.pk]  # type: ignore[attr-defined]
    assert seen[0] == (1, False)
    assert seen[-1] == (1, True)

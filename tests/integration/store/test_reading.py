"""Reading back: pages, filters, cursors, history by asset; and awkward values that come back as they were."""

from __future__ import annotations

import json
from typing import Any

import pytest

from standpipe_protocol.json_text import decode_json
from standpipe_server.store import (
    BadCursor,
)
from standpipe_server.store.reads.assets import (
    CHECKS,
    MATERIALIZATIONS,
    ReportFilter,
    list_assets,
    list_reports,
    read_asset,
)
from standpipe_server.store.reads.invocations import ErrorFilter, InvocationFilter, list_errors, list_invocations
from tests.integration.store.conftest import OPENED, Bench, body
from tests.support.wire import log, materialization

pytestmark = pytest.mark.anyio


async def test_awkward_values_are_carried_unharmed(bench: Bench) -> None:
    text = (
        b'{"method":"report_custom_message","params":{"payload":{"big":' + b"7" * 6000 + b',"nul":"\\u0000",'
        b'"exact":1.10,"far":1e400,"nan":NaN,"emoji":"\xf0\x9f\x9a\xb0"}}}'
    )
    target = await bench.register()
    await bench.append(target, text)
    page = await bench.store.events.page(target.pk, after=0, limit=10)
    assert b'"exact":1.10,"far":1e400,"nan":"NaN"' in page.events[0]
    event: Any = decode_json(page.events[0])
    payload = event["params"]["payload"]
    assert payload["nul"] == "\x00"
    assert payload["big"] == int("7" * 3000) * 10**3000 + int("7" * 3000)


async def test_names_with_nul_and_half_surrogates_are_found_by_themselves(bench: Bench) -> None:
    target = await bench.register(
        b'{"context":{"job_name":"j\\u0000b","partition_key":"p\\u0001"},"tags":{"a\\u0000":"b"}}'
    )
    await bench.append(target, body(materialization("k\x00y"), materialization("plain")))
    page = await bench.store.reads.run(
        list_reports, MATERIALIZATIONS, "k\x00y", ReportFilter(partition_key="p\x01"), limit=5, cursor=None
    )
    assert json.loads(page.items[0])["asset_key"] == "k\x00y"
    for filters in (InvocationFilter(job_name="j\x00b"), InvocationFilter(tags=(("a\x00", "b"),))):
        found = await bench.store.reads.run(list_invocations, filters, limit=5, cursor=None)
        assert [json.loads(item)["id"] for item in found.items] == [target.id]


async def test_reading_resumes_anywhere_and_filters_by_method(bench: Bench) -> None:
    target = await bench.register()
    for start in range(1, 100, 10):
        await bench.append(target, body(*(log(str(start + i)) for i in range(9)), materialization(f"a{start}")))
    for after in (0, 1, 9, 10, 11, 55, 99, 100, 200):
        page = await bench.store.events.page(target.pk, after=after, limit=7)
        assert page.positions == list(range(after + 1, min(after + 7, 100) + 1))
    only = await bench.store.events.page(
        target.pk, after=15, limit=3, methods=frozenset({"report_asset_materialization"})
    )
    assert only.positions == [20, 30, 40]
    assert only.next_after == 40
    none = await bench.store.events.page(target.pk, after=0, limit=3, methods=frozenset({"closed"}))
    assert (none.events, none.next_after) == ([], 100)
    small = await bench.store.events.page(target.pk, after=0, limit=50, max_bytes=300)
    assert 1 <= len(small.events) < 5


async def test_lists_go_on_where_they_stopped_and_cursors_belong_to_their_filter(bench: Bench) -> None:
    targets = [await bench.register(b'{"context":{"job_name":"j"}}') for _ in range(7)]
    await bench.register(b'{"context":{"job_name":"other"}}')
    filters = InvocationFilter(job_name="j")
    seen: list[str] = []
    cursor = None
    while True:
        page = await bench.store.reads.run(list_invocations, filters, limit=3, cursor=cursor)
        seen += [json.loads(item)["id"] for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        with pytest.raises(BadCursor):
            await bench.store.reads.run(list_invocations, InvocationFilter(), limit=3, cursor=cursor)
    assert seen == [target.id for target in reversed(targets)]
    with pytest.raises(BadCursor):
        await bench.store.reads.run(list_invocations, filters, limit=3, cursor="nonsense")


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
        InvocationFilter(statuses=("registered",), until=bench.clock.now),
    ):
        page = await bench.store.reads.run(list_invocations, filters, limit=5, cursor=None)
        assert [json.loads(item)["id"] for item in page.items] == [target.id], filters


async def test_history_by_asset_spans_invocations_newest_first(bench: Bench) -> None:
    for number in range(5):
        target = await bench.register()
        metadata = {"rows": {"type": "int", "raw_value": number}, "odd": {"type": "url", "raw_value": 5}}
        check = {"method": "report_asset_check", "params": {"asset_key": "a", "check_name": "c", "passed": number > 2}}
        await bench.append(target, body(materialization("a", metadata=metadata, data_version=f"v{number}"), check))
    page = await bench.store.reads.run(list_reports, MATERIALIZATIONS, "a", ReportFilter(), limit=3, cursor=None)
    items = [json.loads(item) for item in page.items]
    assert [item["data_version"] for item in items] == ["v4", "v3", "v2"]
    assert items[0]["metadata"]["rows"] == {"type": "int", "raw_value": 4}
    assert items[0]["metadata"]["odd"]["type"] == "json"
    assert "expected a string" in items[0]["metadata"]["odd"]["problem"]
    rest = await bench.store.reads.run(
        list_reports, MATERIALIZATIONS, "a", ReportFilter(), limit=3, cursor=page.next_cursor
    )
    assert [json.loads(item)["data_version"] for item in rest.items] == ["v1", "v0"]
    checks = await bench.store.reads.run(list_reports, CHECKS, "a", ReportFilter(check_name="c"), limit=2, cursor=None)
    assert [json.loads(item)["passed"] for item in checks.items] == [True, True]
    asset = json.loads(await bench.store.reads.run(read_asset, "a"))
    assert asset["last_materialization"]["data_version"] == "v4"
    assert [one["check_name"] for one in asset["checks"]] == ["c"]
    assets = await bench.store.reads.run(list_assets, limit=5, cursor=None, text=None)
    assert [json.loads(item)["asset_key"] for item in assets.items] == ["a"]


async def test_an_asset_that_was_only_targeted_is_not_listed(bench: Bench) -> None:
    await bench.register(b'{"context":{"asset_keys":["never"]}}')
    assert (await bench.store.reads.run(list_assets, limit=5, cursor=None, text=None)).items == []


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
        page = await bench.store.reads.run(list_errors, ErrorFilter(), limit=2, cursor=cursor)
        seen += [json.loads(item) for item in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len(seen) == 9
    assert [item["received_at"] for item in seen] == sorted((str(item["received_at"]) for item in seen), reverse=True)
    assert {(item["kind"], item["position"]) for item in seen} == {("log", 2), ("rejected", 4), ("exception", 5)}
    only = await bench.store.reads.run(list_errors, ErrorFilter(kind="exception"), limit=9, cursor=None)
    assert [json.loads(item)["summary"] for item in only.items] == ["ValueError: bad"] * 3

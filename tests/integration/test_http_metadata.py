"""Metadata in normal form beside the events that report it: for whoever asks, and what was sent stays as it came."""

from __future__ import annotations

import json

import pytest

from standpipe_protocol.metadata import normal_form
from tests.support.odd_metadata import ODD_METADATA
from tests.support.server import Server
from tests.support.waiting import wait_until
from tests.support.wire import Job, Json, check, closed, log, materialization, opened, problem_of, register


@pytest.fixture
def job(server: Server) -> Job:
    reported = register(server, context={"asset_keys": ["a"]})
    with_metadata = check("a", "c")
    with_metadata["params"]["metadata"] = {"n": 1, "password": "hunter2"}
    reported.append(
        [
            opened(),
            log("m"),
            materialization("a", metadata=ODD_METADATA),
            with_metadata,
            materialization("b", metadata=ODD_METADATA),
        ]
    )
    return reported


def test_events_have_the_normal_form_beside_what_was_sent(job: Job) -> None:
    plain, asked = job.events(), job.events(metadata="normal")
    assert all("metadata" not in event for event in plain)
    assert [event.pop("metadata", None) for event in asked] == [
        None,
        None,
        normal_form(ODD_METADATA),
        normal_form({"n": 1, "password": "hunter2"}),
        None,  # It was rejected.
    ]
    assert asked == plain
    item = job.server.http.get("/assets/a/materializations").json()["items"][0]
    assert item["metadata"] == normal_form(ODD_METADATA)
    assert item["params"]["metadata"] == ODD_METADATA


def test_what_was_sent_stays_byte_for_byte(server: Server) -> None:
    job = register(server)
    digits = "9" * 5_000
    sent = f'{{"asset_key": "a",  "metadata": {{"n": 1.50, "é": "\\u00e9", "long": {digits}}}}}'
    job.append(f'{{"method": "report_asset_materialization", "params": {sent}}}')
    text = server.http.get(f"{job.path}/events", params={"metadata": "normal"}).text
    assert f'"params":{sent}' in text
    assert f'"raw_value":{digits}' in text.replace(" ", "")


def test_every_way_of_reading_gives_the_same(job: Job) -> None:
    pages = job.events(metadata="normal")
    assert job.events(metadata="normal", before="end") == pages
    assert job.events(metadata="normal", wait=5) == pages
    job.finish()
    pages = job.events(metadata="normal")
    with job.stream(metadata="normal") as events:
        assert [event.data for event in events if event.event is None] == pages
    with job.lines(metadata="normal") as lines:
        assert list(lines) == pages


def test_what_comes_while_it_is_read_has_it_too(server: Server) -> None:
    job = register(server)
    with job.stream(metadata="normal") as events:
        wait_until(lambda: job.append([opened(), materialization("a", metadata={"n": 1})]), what="a report")
        reported = next(event.data for event in events if "metadata" in event.data)
        assert reported["metadata"] == {"n": {"type": "int", "raw_value": 1}}


def test_a_mask_holds_for_the_normal_form_as_well(server: Server) -> None:
    job = register(server)
    columns = [{"name": "token", "type": "string"}]
    secret: Json = {
        "password": "hunter2",
        "note": {"type": "text", "raw_value": "Bearer abcdefghijk"},
        "settings": {"type": "json", "raw_value": {"api_key": "k", "port": 1}},
        "sample": {"type": "table", "raw_value": {"records": [{"token": "t", "n": 1}], "schema": columns}},
        "columns": {"type": "table_schema", "raw_value": columns},
        "tokens": 1_250,
        "lineage": {
            "type": "table_column_lineage",
            "raw_value": {"deps_by_column": {"token": [{"asset_key": "a", "column_name": "secret"}]}},
        },
    }
    job.append([opened(), materialization("a", metadata=secret), closed()])
    job.finish()
    bare, masked = job.events(metadata="normal")[1], job.events(metadata="normal", mask="true")[1]
    assert bare["metadata"] == normal_form(secret)
    assert masked["params"] == bare["params"]
    shown = {label: entry["raw_value"] for label, entry in masked["metadata"].items()}
    assert shown["password"] == "***"
    assert shown["note"] == "***"
    assert shown["settings"] == {"api_key": "***", "port": 1}
    assert shown["sample"]["records"] == [{"token": "***", "n": 1}]
    for label in ("columns", "tokens", "lineage"):
        assert masked["metadata"][label] == bare["metadata"][label], label
    with job.stream(metadata="normal", mask="true") as events:
        assert json.dumps(masked) in [json.dumps(event.data) for event in events]


def test_what_is_wrong_with_an_entry_quotes_no_credential(server: Server) -> None:
    job = register(server)
    wrong: Json = {
        "type": {"type": "password=hunter2", "raw_value": "v"},
        "cut": {"type": f"postgresql://me:hunter2{'x' * 60}@db/x", "raw_value": "v"},
        "column": {"type": "table_schema", "raw_value": [{"name": "password=hunter2", "type": 5}]},
        "token": {"type": "hunter2", "raw_value": "v"},
        "secret": {"type": "hunter2", "raw_value": None},
        "plain": {"type": "int", "raw_value": "many"},
    }
    job.append([opened(), materialization("a", metadata=wrong)])
    bare, masked = (job.events(metadata="normal", **query)[1]["metadata"] for query in ({}, {"mask": "true"}))
    assert bare == normal_form(wrong)
    assert "hunter2" not in json.dumps(masked)
    assert masked["plain"] == bare["plain"]
    assert [label for label, entry in masked.items() if "problem" in entry] == ["type", "cut", "column", "plain"]


def test_no_label_keeps_its_value_from_the_mask(server: Server) -> None:
    job = register(server)
    secret: Json = dict.fromkeys(("asset_key", "asset_keys", "check_name"), "password=hunter2")
    secret["code_version_by_asset_key"] = secret["provenance_by_asset_key"] = {"api_token": "hunter2", "n": 1}
    job.append([opened(), materialization("a", metadata=secret)])
    masked = job.events(metadata="normal", mask="true")[1]["metadata"]
    assert "hunter2" not in json.dumps(masked)
    assert masked["asset_key"]["raw_value"] == "password=***"
    assert masked["code_version_by_asset_key"]["raw_value"] == {"api_token": "***", "n": 1}


def test_another_form_is_refused_by_name(job: Job) -> None:
    answer = job.server.http.get(f"{job.path}/events", params={"metadata": "odd"})
    assert problem_of(answer, status=422, name="invalid-request")["pointer"] == "/query/metadata"

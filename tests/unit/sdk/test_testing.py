"""The recording broker itself, as a user's tests and any HTTP client see it."""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from standpipe import DagsterPipesError, PipesContext, open_pipes
from standpipe.testing import RecordingBroker, recording_broker


@pytest.fixture
def broker() -> Iterator[RecordingBroker]:
    with recording_broker(asset_keys=["a"]) as running:
        yield running


@pytest.fixture
def http(broker: RecordingBroker) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"{broker.url}/api/v1/invocations/{broker.invocation}",
        headers={"Authorization": f"Bearer {broker.token}"},
        trust_env=False,
    ) as client:
        yield client


def test_what_was_reported_is_there_to_be_asserted(broker: RecordingBroker) -> None:
    with broker.environment(), open_pipes() as pipes:
        pipes.report_asset_materialization(metadata={"rows": 3}, data_version="1")
        pipes.report_asset_check("c", passed=False, severity="WARN")
        pipes.report_custom_message({"x": 1})
        pipes.log.info("hello")
    found = broker.materializations["a"]
    assert found.data_version == "1"
    assert found.metadata is not None
    assert broker.checks[0].check_name == "c"
    assert broker.custom_messages == [{"x": 1}]
    assert broker.logs[0].message == "hello"
    assert broker.opened
    assert broker.closed is not None
    assert broker.rejected == ()


def test_observations_are_reported_as_often_as_they_are_made(broker: RecordingBroker) -> None:
    with broker.environment(), open_pipes() as pipes:
        pipes.report_asset_observation({"rows": 3}, "7", partition="2026-01-31", tags={"source": "warehouse"})
        pipes.report_asset_observation()
        pipes.report_asset_materialization()
        with pytest.raises(DagsterPipesError, match=r"parameter `tags.n` of `report_asset_observation`"):
            pipes.report_asset_observation(tags={"n": 1})  # type: ignore[dict-item]
        with pytest.raises(DagsterPipesError, match="Invalid asset key"):
            pipes.report_asset_observation(asset_key="b")
    full, bare = broker.observations
    assert (full.asset_key, full.data_version, full.partition) == ("a", "7", "2026-01-31")
    assert full.metadata == {"rows": {"raw_value": 3, "type": "__infer__"}}
    assert full.tags == {"source": "warehouse"}
    assert (bare.metadata, bare.data_version, bare.partition, bare.tags) == (None, None, None, None)
    assert list(broker.materializations) == ["a"]
    assert broker.rejected == ()


def test_the_environment_is_a_dictionary_and_a_block_that_restores(
    broker: RecordingBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDPIPE_URL", "http://before")
    environment = broker.environment()
    assert set(environment) == {"STANDPIPE_URL", "STANDPIPE_INVOCATION", "STANDPIPE_TOKEN"}
    with environment:
        assert os.environ["STANDPIPE_URL"] == broker.url
        open_pipes()
    assert os.environ["STANDPIPE_URL"] == "http://before"
    assert "STANDPIPE_TOKEN" not in os.environ
    assert not PipesContext.is_initialized()
    # A program that forgets to close is seen as what it is.
    assert broker.methods == ("opened",)


def test_it_keeps_the_table_of_the_protocol(broker: RecordingBroker, http: httpx.Client) -> None:
    def append(first: int, *methods: str) -> httpx.Response:
        lines = "".join(json.dumps({"method": method, "params": {"payload": 1}}) + "\n" for method in methods)
        return http.post(
            "/events",
            content=lines,
            headers={
                "Content-Type": "application/x-ndjson",
                "Standpipe-Producer": "p",
                "Standpipe-First-Seq": str(first),
            },
        )

    custom = "report_custom_message"
    assert append(1, custom, custom).json()["accepted_through"] == 2
    assert append(2, custom, custom).json() == {
        "accepted_through": 3,
        "last_position": 3,
        "results": [],
        "control": {"cancel_requested": False},
    }
    gap = append(9, custom)
    assert (gap.status_code, gap.json()["expected_seq"]) == (409, 4)
    mixed = append(4, "spam", custom)
    assert mixed.status_code == 207
    assert mixed.json()["results"][0]["index"] == 0
    assert append(4, "spam", custom).json() == mixed.json()
    assert len(broker.messages) == 5
    broker.end("cancelled")
    assert append(5, custom).status_code == 200
    assert append(6, custom).json()["verdict"] == "cancelled"


def test_a_bare_message_that_breaks_a_rule_is_its_own_problem(broker: RecordingBroker, http: httpx.Client) -> None:
    params = {"asset_key": "a", "data_version": None, "metadata": None}
    good = {"method": "report_asset_materialization", "params": params}
    assert http.post("/events", json=good).status_code == 200
    again = http.post("/events", json=good)
    assert again.status_code == 409
    assert again.json()["type"] == "/problems/duplicate-materialization"
    assert again.json()["stored"] is True
    wrong = http.post("/events", json={**good, "params": {**params, "asset_key": "b"}})
    assert wrong.status_code == 422
    assert len(broker.rejected) == 2


def test_what_is_not_json_is_refused_whole(broker: RecordingBroker, http: httpx.Client) -> None:
    refused = http.post("/events", content=b"{", headers={"Content-Type": "application/json"})
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/problem+json"
    packed = gzip.compress(b'{"method": "opened", "params": {}}')
    assert http.post("/events", content=packed, headers={"Content-Encoding": "gzip"}).status_code == 200
    assert broker.methods == ("opened",)


def test_a_wait_that_is_in_vain_says_what_there_is(broker: RecordingBroker) -> None:
    with pytest.raises(TimeoutError, match="was not true within"):
        broker.wait_for(lambda b: b.opened, timeout=0.01)


def test_a_broker_that_nobody_left_does_not_hold_up_the_interpreters_end() -> None:
    program = "from standpipe.testing import recording_broker; left_open = recording_broker(); left_open.__enter__()"
    ended = subprocess.run([sys.executable, "-c", program], timeout=30, check=False)
    assert ended.returncode == 0


def test_nothing_else_gets_the_port_of_a_broker_that_is_stopped() -> None:
    with recording_broker() as broker:
        url = broker.url
        address = ("127.0.0.1", int(url.rpartition(":")[2]))
        broker.stop()
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(address)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)
        broker.start()
        assert broker.url == url
        socket.create_connection(address).close()

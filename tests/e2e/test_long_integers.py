"""Integers of many digits: readers calculate with those that a message may hold, and draw longer ones as text."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path

import pytest

from standpipe_orchestrator import BrokerClient
from standpipe_protocol.json_text import LongInteger
from tests.support.processes import run
from tests.support.server import Server
from tests.support.wire import Job, closed, opened, register

STANDPIPE = Path(sys.executable).parent / "standpipe"
# Python itself neither reads nor writes more than 4,300 digits.
_CARRIED = "7" * 30_000
_REJECTED = "8" * 3_000_000


@pytest.fixture
def key() -> str:
    return f"asset-{uuid.uuid4()}"


@pytest.fixture
def job(shared_server: Server, key: str) -> Job:
    body = '{"context": {"job_name": "long", "extras": {"n": -DIGITS}}}'.replace("DIGITS", _REJECTED)
    registered = shared_server.http.post("/invocations", content=body).json(parse_int=str)
    made = Job(shared_server, registered, shared_server.client(token=registered["token"]))
    metadata = '{"typed": {"raw_value": 7, "type": "int"}, "plain": 7, "json": {"raw_value": [7], "type": "json"}}'
    messages = [
        '{"method":"report_custom_message","params":{"payload":{"n":7}}}',
        '{"method":"report_asset_materialization","params":{"asset_key":"KEY","metadata":METADATA}}',
        '{"method":"report_asset_check","params":{"asset_key":"KEY","check_name":"c","passed":true,"metadata":METADATA}}',
        '{"method":"log","params":{"message":"hello"},"details":{"fields":{"n":7}}}',
        '{"method":"report_custom_message","params":{"payload":{"n":[8]}}}',
    ]
    text = ",".join(messages).replace("METADATA", metadata).replace("7", _CARRIED).replace("8", _REJECTED)
    answer = made.append(f"[{json.dumps(opened())},{text.replace('KEY', key)},{json.dumps(closed())}]")
    assert [result["index"] for result in answer.json()["results"]] == [5]
    made.server.http.post(f"{made.path}/finish", json={})
    return made


@pytest.mark.parametrize(
    ("verb", "shown"),
    [
        (["show"], "custom message  "),
        (["show", "--json"], "7" * 20),
        (["tail"], "custom message  "),
        (["logs"], "hello"),
        (["compare", "OTHER"], ""),
        (["export", "-o", "FILE"], ""),
        (["ls"], "long"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_the_terminal_shows_them(job: Job, verb: list[str], shown: str, tmp_path: Path) -> None:
    words = {"OTHER": register(job.server).id, "FILE": str(tmp_path / "exported.jsonl")}
    given = [words.get(word, word) for word in verb[1:]]
    command = [STANDPIPE, verb[0], *([] if verb[0] == "ls" else [job.id]), *given]
    ended = run(command, env=job.server.orchestrator_environment())
    assert ended.returncode in (0, 1), ended.stderr
    assert "Traceback" not in ended.stderr
    assert shown in ended.stdout
    if verb[0] == "export":
        # As it came, and a number still.
        assert f"[{_REJECTED}]" in Path(words["FILE"]).read_text(encoding="utf-8")


def test_the_terminal_shows_what_was_reported_on_an_asset(job: Job, key: str) -> None:
    ended = run([STANDPIPE, "assets", key], env=job.server.orchestrator_environment())
    assert (ended.returncode, "Traceback" in ended.stderr) == (0, False), ended.stderr
    assert "7,777,777" in ended.stdout


def test_an_orchestrator_reads_what_a_message_may_hold_as_integers_and_longer_ones_as_text(job: Job) -> None:
    with BrokerClient(job.server.url, api_key=job.server.api_key) as client:
        events = list(client.events.iterate(job.id))
        extras = client.invocations.get(job.id).context["extras"]
    custom = [event.params for event in events if event.method == "report_custom_message"]
    assert custom[0] == {"payload": {"n": (10**30_000 - 1) // 9 * 7}}
    assert custom[1] == {"payload": {"n": [LongInteger(_REJECTED)]}}
    assert extras == {"n": LongInteger("-" + _REJECTED)}

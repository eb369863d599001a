"""The server, on both databases, and the recording broker decide every message and every append alike, by one table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

import httpx
import pytest

from standpipe.testing import RecordingBroker, recording_broker
from standpipe_protocol.json_text import decode_json
from tests.support.decisions import APPENDS, INVALID, MESSAGES, AppendCase, MessageCase, numbered
from tests.support.server import Server
from tests.support.wire import Job, Json, custom, problem_of, register

SIBLING = custom("beside")


class Door(Protocol):
    """One invocation."""

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response: ...

    def end(self, verdict: str) -> None: ...

    def problems(self) -> Sequence[str | None]:
        """Of each stored message, the name of its problem."""
        ...


class Opens(Protocol):
    def __call__(self, asset_keys: Sequence[str] | None = None) -> Door: ...


@dataclass(frozen=True, slots=True)
class ServersDoor:
    job: Job

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.job.append(body, headers=headers)

    def end(self, verdict: str) -> None:
        if verdict == "cancelled":
            assert self.job.server.http.post(f"{self.job.path}/cancel").status_code == 200
        assert self.job.finish(exit_code=0 if verdict == "succeeded" else 1)["verdict"] == verdict

    def problems(self) -> Sequence[str | None]:
        # Python's own reader takes no integer as long as some of these are.
        page = decode_json(self.job.server.http.get(f"{self.job.path}/events").content)
        return [_name(event.get("problem")) for event in page["items"]]  # type: ignore[index, union-attr]


@dataclass(frozen=True, slots=True)
class RecordingsDoor:
    broker: RecordingBroker
    http: httpx.Client

    def post(self, body: bytes, headers: Mapping[str, str] | None = None) -> httpx.Response:
        return self.http.post("/events", content=body, headers=headers)

    def end(self, verdict: str) -> None:
        self.broker.end(verdict)

    def problems(self) -> Sequence[str | None]:
        return [None if one.problem is None else one.problem.name for one in self.broker.messages]


def _name(problem: Json | None) -> str | None:
    return None if problem is None else problem["type"].removeprefix("/problems/")


@pytest.fixture(params=["recording", "sqlite", "postgresql"])
def opens(request: pytest.FixtureRequest) -> Iterator[Opens]:
    """Makes an invocation at each door."""
    with ExitStack() as stack:

        def opened(asset_keys: Sequence[str] | None = None) -> Door:
            if request.param != "recording":
                kind = "postgres" if request.param == "postgresql" else request.param
                server: Server = request.getfixturevalue(f"shared_{kind}_server")
                return ServersDoor(register(server, context={"asset_keys": asset_keys}))
            broker = stack.enter_context(recording_broker(asset_keys=asset_keys))
            url = f"{broker.url}/api/v1/invocations/{broker.invocation}"
            http = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {broker.token}"}, trust_env=False)
            return RecordingsDoor(broker, stack.enter_context(http))

        yield opened


@pytest.mark.parametrize("case", MESSAGES.values(), ids=MESSAGES)
def test_a_message_is_accepted_or_rejected_with_its_place(opens: Opens, case: MessageCase) -> None:
    door = opens(case.asset_keys)
    before = json.dumps(list(case.before)).encode()
    assert door.post(before, numbered(1)).status_code in (200, 207)
    sibling = json.dumps(SIBLING)
    # Among others, so that it costs them nothing.
    answer = door.post(f"[{sibling},{case.text},{sibling}]".encode(), numbered(len(case.before) + 1))
    assert answer.status_code == (200 if case.problem is None else 207), answer.text
    assert door.problems()[len(case.before) :] == [None, case.problem, None]
    if case.problem is not None:
        (result,) = answer.json()["results"]
        assert (result["index"], result["problem"]["type"]) == (1, f"/problems/{case.problem}")
        assert result["problem"].get("pointer") == case.pointer, result
        assert ("expected" in result["problem"]) == (case.pointer is not None)


@pytest.mark.parametrize("case", APPENDS.values(), ids=APPENDS)
def test_an_append_is_answered_by_the_table(opens: Opens, case: AppendCase) -> None:
    door = opens()
    if case.before:
        assert door.post(json.dumps(list(case.before)).encode(), numbered(1)).status_code in (200, 207)
    if case.ended is not None:
        door.end(case.ended)
    count = len(door.problems())
    answer = door.post(case.body, case.headers)
    told = answer.json()
    assert {name: told.get(name) for name in case.says} == dict(case.says), told
    assert "control" in told
    if case.problem is None:
        assert answer.status_code == case.status, answer.text
    else:
        problem_of(answer, status=case.status, name=case.problem)
    if case.problem is not None and case.problem != INVALID:
        assert len(door.problems()) == count

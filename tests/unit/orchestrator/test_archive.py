"""An export is written and read a page at a time, whatever it holds."""

from __future__ import annotations

import json
from collections.abc import Iterator

from standpipe_orchestrator import BrokerClient
from standpipe_orchestrator.client.archive_operations import ArchiveReader
from tests.support.stub_broker import Reply, Request, StubBroker

EVENTS = 5000


def event(position: int) -> dict[str, object]:
    return {"position": position, "producer": "p", "seq": position, "method": "log", "params": {"message": "m"}}


def test_an_export_asks_for_a_page_when_the_one_before_is_written() -> None:
    asked: list[int] = []

    def answer(request: Request) -> Reply:
        match request.path.rsplit("/", 1)[-1]:
            case "events":
                after, limit = int(request.query["after"]), int(request.query["limit"])
                asked.append(after)
                items = [event(position) for position in range(after + 1, min(after + limit, EVENTS) + 1)]
                return Reply.json({"items": items, "next_after": after + len(items), "ended": True})
            case "history":
                return Reply.json({"items": []})
            case _:
                return Reply.json({"id": "inv_x", "status": "ended", "last_position": EVENTS})

    with StubBroker(answer) as stub, BrokerClient(stub.url, api_key="k") as client:
        lines = client.archives.export("inv_x")
        next(lines)
        assert asked == []
        next(lines)
        assert asked == [0]
        rest = list(lines)
    assert asked == list(range(0, EVENTS, 1000))
    assert rest[-1] == {"end": {"events": EVENTS, "history": 0}}


def test_a_file_is_read_as_far_as_it_is_asked_for() -> None:
    read = 0

    def lines() -> Iterator[str]:
        nonlocal read
        yield json.dumps({"standpipe_export": 1, "invocation": {"id": "inv_x", "status": "ended"}})
        for position in range(1, EVENTS + 1):
            read = position
            yield json.dumps({"event": event(position)})
        yield json.dumps({"a kind of line": "of a later version"})
        yield json.dumps({"end": {"events": EVENTS, "history": 0}})

    events = ArchiveReader(lines(), name="file").events()
    assert next(events)["position"] == 1
    assert read == 1
    assert sum(1 for _ in events) == EVENTS - 1

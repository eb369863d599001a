"""A tail through everything that can break on the way: each event once, in order, to the end."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator

import pytest

from standpipe_orchestrator import BrokerClient
from standpipe_orchestrator.client.event_tail import Tail
from standpipe_orchestrator.errors import BrokerUnreachable, NotFound, UnexpectedAnswer
from tests.support.stub_broker import Reply, Request, StubBroker

ENDED = {"id": "inv_1", "status": "ended", "verdict": "succeeded", "last_position": 3}
END = f"event: end\ndata: {json.dumps(ENDED)}\n\n"
PATH = "/api/v1/invocations/inv_1"


def event(position: int) -> dict[str, object]:
    return {
        "position": position,
        "producer": "p",
        "seq": position,
        "received_at": "2026-01-01T00:00:00Z",
        "method": "log",
        "params": {"message": str(position)},
    }


def frame(position: int) -> str:
    return f"id: {position}\ndata: {json.dumps(event(position))}\n\n"


def page(*positions: int, after: int, ended: bool) -> Reply:
    items = [event(position) for position in positions]
    return Reply.json({"items": items, "next_after": positions[-1] if positions else after, "ended": ended})


def tail_of(stub: StubBroker, *, after: int = 0, patience: float | None = 10.0) -> Tail:
    client = BrokerClient(stub.url, api_key="k", retry_seconds=0.0)
    return client.events.stream("inv_1", after=after, patience_seconds=patience)


def positions_of(tail: Tail) -> list[int]:
    return [found.position for found in tail]


def test_a_stream_gives_each_event_and_ends_with_the_invocation() -> None:
    script = Reply.events("retry: 50\n\n", frame(1), ": keep-alive\n\n", frame(2), frame(3), END)
    with StubBroker(lambda _: script) as stub:
        tail = tail_of(stub)
        assert positions_of(tail) == [1, 2, 3]
        assert tail.invocation is not None
        assert tail.invocation.verdict == "succeeded"
        assert len(stub.requests) == 1
        assert stub.requests[0].headers["accept"] == "text/event-stream"


def test_a_stream_that_breaks_off_or_says_bye_is_resumed_where_it_was() -> None:
    replies = iter([Reply.events(frame(1)), Reply.events(frame(2), "event: bye\ndata: {}\n\n"), Reply.events(END)])
    with StubBroker(lambda _: next(replies)) as stub:
        assert positions_of(tail_of(stub)) == [1, 2]
        assert [request.query["after"] for request in stub.requests] == ["0", "1", "2"]


def test_what_was_delivered_is_never_delivered_again() -> None:
    replies = iter([Reply.events(frame(1), frame(2)), Reply.events(frame(1), frame(2), frame(3), END)])
    with StubBroker(lambda _: next(replies)) as stub:
        assert positions_of(tail_of(stub)) == [1, 2, 3]


def test_a_gap_in_a_stream_is_not_passed_over() -> None:
    def answer(request: Request) -> Reply:
        if request.headers["accept"] == "text/event-stream":
            return Reply.events(frame(int(request.query["after"]) + 2), END)
        if request.path == PATH:
            return Reply.json(ENDED)
        after = int(request.query["after"])
        return page(*range(after + 1, 4), after=after, ended=True)

    with StubBroker(answer) as stub:
        assert positions_of(tail_of(stub)) == [1, 2, 3]


def test_where_streams_do_not_get_through_pages_are_asked_for() -> None:
    def answer(request: Request) -> Reply:
        if request.headers["accept"] == "text/event-stream":
            return Reply(200, {"Content-Type": "text/html"}, (b"<html>a portal</html>",))
        if request.path == PATH:
            return Reply.json(ENDED)
        after = int(request.query["after"])
        return page(*([after + 1] if after < 3 else []), after=after, ended=after >= 2)

    with StubBroker(answer) as stub:
        tail = tail_of(stub)
        assert positions_of(tail) == [1, 2, 3]
        assert tail.invocation is not None
        polls = [request for request in stub.requests if "wait" in request.query]
        assert [request.query["after"] for request in polls] == ["0", "1", "2", "3"]


def test_a_tail_begins_after_the_position_it_was_given() -> None:
    with StubBroker(lambda _: Reply.events(frame(3), END)) as stub:
        assert positions_of(tail_of(stub, after=2)) == [3]
        assert stub.requests[0].query["after"] == "2"


def test_an_invocation_that_is_not_there_ends_the_tail_at_once() -> None:
    with StubBroker(lambda _: Reply.problem("not-found", status=404)) as stub:
        with pytest.raises(NotFound):
            positions_of(tail_of(stub))
        assert len(stub.requests) == 1


def test_a_broker_that_stays_away_is_waited_for_no_longer_than_asked() -> None:
    with StubBroker(lambda _: Reply.problem("overloaded", status=503)) as stub:
        gone = tail_of(stub, patience=0.3)
    with pytest.raises(BrokerUnreachable):
        positions_of(gone)


def test_an_event_that_is_none_is_no_reason_to_skip_it() -> None:
    with StubBroker(lambda _: Reply.events("data: [1]\n\n", END)) as stub, pytest.raises(UnexpectedAnswer):
        positions_of(tail_of(stub, patience=0.3))


def test_stopping_wakes_a_tail_that_waits_for_the_network() -> None:
    sent = threading.Event()

    def silence(stub: list[StubBroker]) -> Iterator[bytes]:
        yield frame(1).encode()
        sent.set()
        stub[0].stopping.wait(30)

    holder: list[StubBroker] = []
    with StubBroker(lambda _: Reply(200, {"Content-Type": "text/event-stream"}, silence(holder))) as stub:
        holder.append(stub)
        tail = tail_of(stub)
        found: list[int] = []
        reader = threading.Thread(target=lambda: found.extend(positions_of(tail)))
        reader.start()
        assert sent.wait(10)
        tail.stop()
        reader.join(10)
        assert not reader.is_alive()
    assert found in ([], [1])


def test_pages_are_read_to_the_end_that_is_there_now() -> None:
    def answer(request: Request) -> Reply:
        after = int(request.query["after"])
        return page(*itertools.islice(range(after + 1, 4), 2), after=after, ended=False)

    with StubBroker(answer) as stub, BrokerClient(stub.url, api_key="k") as client:
        assert [found.position for found in client.events.iterate("inv_1")] == [1, 2, 3]


CONTROL = 'event: control\ndata: {"cancel_requested": true}\n\n'


def test_a_stream_tells_once_that_the_work_is_to_stop() -> None:
    replies = iter([Reply.events(frame(1), CONTROL, "event: bye\ndata: {}\n\n"), Reply.events(CONTROL, END)])
    heard: list[int] = []
    with StubBroker(lambda _: next(replies)) as stub:
        tail = tail_of(stub)
        tail.on_cancel = lambda: heard.append(tail.position)
        assert positions_of(tail) == [1]
        assert tail.invocation is not None
    assert heard == [1]


def test_pages_are_asked_whether_the_work_is_to_stop_until_they_say_so() -> None:
    def answer(request: Request) -> Reply:
        if request.headers["accept"] == "text/event-stream":
            return Reply.json({})
        if request.path == PATH:
            return Reply.json(ENDED)
        if "control" in request.query:
            return Reply.json({"items": [], "next_after": 0, "ended": False, "control": {"cancel_requested": True}})
        return page(after=0, ended=True)

    heard = threading.Event()
    with StubBroker(answer) as stub:
        tail = tail_of(stub)
        tail.on_cancel = heard.set
        assert positions_of(tail) == []
        asked = [request.query.get("control") for request in stub.requests if request.query.get("wait")]
    assert heard.is_set()
    assert asked == ["true", None]

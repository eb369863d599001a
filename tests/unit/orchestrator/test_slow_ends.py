"""The end of a session waits for as long as events come, however many they are, and no longer."""

from __future__ import annotations

import json
import logging
import queue
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from standpipe_orchestrator import BrokerClient, PipesSession, open_pipes_session
from standpipe_protocol.messages import LogExternalStream
from tests.support.stub_broker import Reply, Request, StubBroker

Json = dict[str, Any]
MOMENT, PATIENCE = 0.1, 0.4
"""What comes a moment apart is waited for; together it takes longer than the patience."""


class Broker:
    """Answers one session. What is appended, and what it has from the start, is streamed as it is stored.

    Args:
        stored: log messages that it has.
        hold: how long an append takes.
    """

    def __init__(self, *, stored: int = 0, hold: float = 0.0) -> None:
        self.url = ""
        self.appends = 0
        self._hold = hold
        self._wait = threading.Event().wait
        self._lock = threading.Lock()
        self._events: list[Json] = []
        self._news: queue.Queue[Json | None] = queue.Queue()
        for number in range(stored):
            self._store("p", {"method": "log", "params": {"message": str(number), "level": "INFO"}})

    def __call__(self, request: Request) -> Reply:
        match request.method, request.path.removeprefix("/api/v1/invocations").removeprefix("/inv_1"):
            case "POST", "":
                env = {"STANDPIPE_URL": self.url, "STANDPIPE_INVOCATION": "inv_1", "STANDPIPE_TOKEN": "spt_1"}
                return Reply.json({"invocation": self._invocation("running"), "url": "", "token": "spt_1", "env": env})
            case "POST", "/events":
                self._wait(self._hold)
                return self._append(request)
            case "POST", "/finish":
                self._news.put(None)
                return Reply.json(self._invocation("ended"))
            case "GET", "/events" if request.headers["accept"] == "text/event-stream":
                return Reply(200, {"Content-Type": "text/event-stream"}, self._stream())
            case "GET", "/events":
                after = int(request.query["after"])
                page = {"items": self._events[after:], "next_after": len(self._events), "ended": True}
                return Reply.json({**page, "last_position": len(self._events)})
            case _:
                return Reply.json(self._invocation("ended"))

    def _append(self, request: Request) -> Reply:
        body = json.loads(request.body)
        with self._lock:
            self.appends += 1
            for message in body if isinstance(body, list) else [body]:
                self._store(request.headers["standpipe-producer"], message)
        through = sum(event["producer"] != "p" for event in self._events)
        control = {"cancel_requested": False}
        return Reply.json({"accepted_through": through, "last_position": through, "results": [], "control": control})

    def _store(self, producer: str, message: Json) -> None:
        position = len(self._events) + 1
        stored = {"position": position, "producer": producer, "seq": position, "received_at": "2026-01-01T00:00:00Z"}
        self._events.append({**stored, **message})
        self._news.put(self._events[-1])

    def _stream(self) -> Iterator[bytes]:
        while (event := self._news.get(timeout=30)) is not None:
            yield f"data: {json.dumps(event)}\n\n".encode()
        yield f"event: end\ndata: {json.dumps(self._invocation('ended'))}\n\n".encode()

    def _invocation(self, status: str) -> Json:
        last = len(self._events)
        receipt = {"events": last, "rejected": 0, "by_method": self._by_method(), "whole": True}
        ended = {"verdict": "succeeded", "receipt": receipt} if status == "ended" else {}
        return {"id": "inv_1", "status": status, "verdict": None, "revision": 1, "last_position": last, **ended}

    def _by_method(self) -> Json:
        methods = [event["method"] for event in self._events]
        return {method: methods.count(method) for method in methods}


def run(broker: Broker, *, log: logging.Logger, report: int = 0) -> PipesSession:
    class Context:
        run_id = "r"

    context: Any = Context()
    context.log = log
    with StubBroker(broker) as stub, BrokerClient(stub.url, api_key="k", retry_seconds=0.0) as client:
        broker.url = stub.url
        with open_pipes_session(context, client=client) as session:
            for _ in range(report):
                session.launch.report(LogExternalStream(stream="stdout", text="x" * 1_500_000))
            session.launch.finish(exit_code=0)
    return session


class SlowLog(logging.Logger):
    """A context's log that takes a moment for each record; for one of them as long as `wait` says."""

    def __init__(self, *, last: str = "", wait: float = 0.0) -> None:
        super().__init__("slow")
        self.records: list[str] = []
        self._last, self._wait = last, wait
        self.addFilter(self._take)

    def _take(self, record: logging.LogRecord) -> bool:
        threading.Event().wait(self._wait if record.getMessage() == self._last else MOMENT)
        self.records.append(record.getMessage())
        return False


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for where in (
        "reading.event_reader.DRAIN_SECONDS",
        "reading.event_reader._STOP_SECONDS",
        "sessions.launch_reports.DELIVERY_SECONDS",
    ):
        monkeypatch.setattr(f"standpipe_orchestrator.{where}", PATIENCE)


def test_events_that_take_their_time_are_all_waited_for() -> None:
    log = SlowLog()
    session = run(Broker(stored=12), log=log)
    assert log.records == [str(number) for number in range(12)]
    assert session.invocation.verdict == "succeeded"


def test_an_event_that_takes_longer_than_anything_may_is_not_waited_for() -> None:
    with pytest.raises(TimeoutError, match="Handling event 2 of invocation inv_1 has not ended"):
        run(Broker(stored=3), log=SlowLog(last="1", wait=4 * PATIENCE))


def test_captured_output_that_takes_its_time_is_all_delivered() -> None:
    broker = Broker(hold=2 * MOMENT)
    session = run(broker, log=logging.getLogger("quick"), report=5)
    assert broker.appends == 5
    assert session.invocation.last_position == 5

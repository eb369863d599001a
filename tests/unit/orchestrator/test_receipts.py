"""Green only with a whole receipt: what a session does when the broker's count and what it read differ."""

from __future__ import annotations

import json
from typing import Any

import pytest

from standpipe_orchestrator import (
    BrokerClient,
    ContextData,
    MaterializeResult,
    PipesResultsIncomplete,
    PipesSession,
    open_pipes_session,
)
from tests.support.stub_broker import Reply, Request, StubBroker

Json = dict[str, Any]
METHODS = ("opened", "report_asset_materialization", "closed")
PARAMS: tuple[Json, ...] = ({"extras": {}}, {"asset_key": "a", "metadata": {}, "data_version": None}, {})


def event(position: int) -> Json:
    return {
        "position": position,
        "producer": "p",
        "seq": position,
        "received_at": "2026-01-01T00:00:00Z",
        "method": METHODS[position - 1],
        "params": PARAMS[position - 1],
    }


def receipt(**changed: Any) -> Json:
    producer: Json = {"producer": "p", "stored": 3, "numbered": 3, "rejected": 0, "opened": True, "closed": True}
    whole: Json = {"events": 3, "rejected": 0, "by_method": dict.fromkeys(METHODS, 1), "producers": [producer]}
    return {name: value for name, value in {**whole, **changed}.items() if value is not ...}


class Broker:
    """Answers a session as a broker does whose stream and whose pages may hold less than it stored.

    Args:
        streamed, paged: how many of the three events each way to read them gives.
    """

    def __init__(self, *, receipt: Json | None, streamed: int = 3, paged: int = 3) -> None:
        self.reread = 0
        self._streamed, self._paged = streamed, paged
        self._ended: Json = {
            "id": "inv_1",
            "status": "ended",
            "verdict": "succeeded",
            "revision": 3,
            "last_position": 3,
            "receipt": receipt,
        }

    def __call__(self, request: Request) -> Reply:
        match request.method, request.path.removeprefix("/api/v1/invocations").removeprefix("/inv_1"):
            case "POST", "":
                env = {"STANDPIPE_URL": "http://x", "STANDPIPE_INVOCATION": "inv_1", "STANDPIPE_TOKEN": "spt_1"}
                registered = {"id": "inv_1", "status": "registered", "verdict": None, "revision": 1}
                return Reply.json({"invocation": registered, "url": "http://x", "token": "spt_1", "env": env})
            case "GET", "/events" if request.headers["accept"] == "text/event-stream":
                frames = [f"data: {json.dumps(event(n + 1))}\n\n" for n in range(self._streamed)]
                return Reply.events(*frames, f"event: end\ndata: {json.dumps(self._ended)}\n\n")
            case "GET", "/events":
                after = int(request.query["after"])
                self.reread += after == 0
                items = [event(position) for position in range(after + 1, self._paged + 1)]
                return Reply.json({"items": items, "next_after": max(after, self._paged), "ended": True})
            case _:
                return Reply.json(self._ended)


def run(broker: Broker) -> PipesSession:
    with (
        StubBroker(broker) as stub,
        BrokerClient(stub.url, api_key="k", retry_seconds=0.0) as client,
        open_pipes_session(ContextData(asset_keys=("a", "b"), run_id="r"), client=client) as session,
    ):
        session.launch.finish(exit_code=0)
    return session


@pytest.mark.parametrize(
    "agrees",
    [
        receipt(),
        receipt(whole=True, signature="of a later server", by_method={**dict.fromkeys(METHODS, 1), "later": 0}),
        receipt(producers=...),
    ],
)
def test_a_receipt_that_agrees_is_green_whatever_else_a_later_server_says_in_it(agrees: Json) -> None:
    broker = Broker(receipt=agrees)
    session = run(broker)
    assert session.get_results() == (MaterializeResult(asset_key="a"), MaterializeResult(asset_key="b", implicit=True))
    assert broker.reread == 0


def test_what_the_stream_left_out_is_read_once_more() -> None:
    broker = Broker(receipt=receipt(), streamed=1)
    assert len(run(broker).get_results()) == 2
    assert broker.reread == 1


@pytest.mark.parametrize(
    ("broker", "missing"),
    [
        (Broker(receipt=receipt(), streamed=2, paged=2), "3 events are stored and 2 were read"),
        (Broker(receipt=None), "gave no receipt"),
        (Broker(receipt=receipt(whole=False, why="pruned")), r"says of itself that it is not whole \(.*why: 'pruned'"),
        (Broker(receipt=receipt(whole="maybe")), "not whole"),
        (Broker(receipt=receipt(events=4)), "the receipt has events: 4, read were 3"),
        (Broker(receipt=receipt(rejected=1)), "the receipt has rejected: 1, read were 0"),
        (
            Broker(receipt=receipt(by_method={**dict.fromkeys(METHODS, 1), "report_asset_check": 2})),
            "the receipt has 2 of report_asset_check, read were 0",
        ),
        (
            Broker(receipt=receipt(producers=[{"producer": "p", "stored": 3, "numbered": 5}])),
            "producer p numbered 5 messages, and 3 are stored",
        ),
        (
            Broker(receipt=receipt(producers=[{"producer": "q", "stored": 3, "numbered": 3}])),
            "the receipt has 3 messages of producer q, read were 0",
        ),
    ],
)
def test_green_is_refused_with_what_is_missing(broker: Broker, missing: str) -> None:
    with pytest.raises(PipesResultsIncomplete, match=missing) as raised:
        run(broker)
    assert broker.reread == 1
    assert raised.value.completed is not None
    assert raised.value.completed.get_results() == (MaterializeResult(asset_key="a"),)

"""A server that is too old for what is asked of it is refused by a sentence, and asked once a client."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from standpipe_orchestrator import (
    BrokerClient,
    Cause,
    ContextData,
    PipesSubprocessClient,
    ServerTooOld,
    open_pipes_session,
)
from standpipe_orchestrator.archives.archive_import import import_archive
from standpipe_orchestrator.client.archive_operations import ArchiveReader
from tests.support.stub_broker import Reply, Request, StubBroker

NOTHING = ContextData(run_id="r")
INVOCATION = {"id": "inv_1", "status": "registered", "verdict": None}


def answer(request: Request) -> Reply:
    if request.method == "POST" and request.path.endswith("/invocations"):
        env = {"STANDPIPE_URL": "http://x", "STANDPIPE_INVOCATION": "inv_1", "STANDPIPE_TOKEN": "spt_1"}
        return Reply.json({"invocation": INVOCATION, "url": "http://x", "token": "spt_1", "env": env})
    return Reply.json(INVOCATION)


def open_session(client: BrokerClient) -> None:
    with open_pipes_session(NOTHING, client=client):
        raise AssertionError("it was opened")


NEEDS_MORE: list[Callable[[BrokerClient], object]] = [
    open_session,
    lambda client: PipesSubprocessClient(client=client).run(context=None, command=["true"]),
    lambda client: PipesSubprocessClient(client=client).run(context=None, command=["true"], key="k"),
    lambda client: client.invocations.register(NOTHING, pipes="optional"),
    lambda client: client.invocations.finish("inv_1", outcome="unknown"),
    lambda client: client.invocations.finish("inv_1", cause=Cause(code="evicted", detail="")),
    lambda client: client.invocations.launch("inv_1", state="queued"),
    lambda client: client.invocations.attempts("inv_1", attempt=1),
]


@pytest.mark.parametrize(("protocol", "said"), [("1.0", "speaks protocol 1.0"), (None, "does not say which protocol")])
@pytest.mark.parametrize("call", NEEDS_MORE)
def test_an_older_server_is_refused_and_told_nothing(
    call: Callable[[BrokerClient], object], protocol: str | None, said: str
) -> None:
    with StubBroker(answer, protocol=protocol) as stub, BrokerClient(stub.url, api_key="k") as client:
        for _ in range(2):
            with pytest.raises(ServerTooOld, match=rf"{said}.* needs 1\.1"):
                call(client)
        assert stub.requests == []
        assert stub.asked_for_protocol == 1


@pytest.mark.parametrize("protocol", ["1.1", "1.2", "1.10", "2.0"])
def test_a_newer_server_is_asked_once_however_much_is_launched(protocol: str) -> None:
    with StubBroker(answer, protocol=protocol) as stub, BrokerClient(stub.url, api_key="k") as client:
        for _ in range(3):
            client.invocations.register(NOTHING, pipes="optional")
            client.invocations.launch("inv_1", state="queued")
        assert stub.asked_for_protocol == 1


@pytest.mark.parametrize(
    "told", [{"outcome": "failed"}, {"cause": {"code": "evicted", "detail": ""}}, {"pipes": "optional"}]
)
def test_an_import_that_an_older_server_would_not_understand_is_refused(told: dict[str, object]) -> None:
    header = {"standpipe_export": 1, "exported_at": "2026-01-31T12:00:00Z", "invocation": {**INVOCATION, **told}}
    lines = [json.dumps(header), json.dumps({"end": {"events": 0, "history": 0}})]
    with StubBroker(answer, protocol="1.0") as stub, BrokerClient(stub.url, api_key="k") as client:
        with pytest.raises(ServerTooOld, match=r"the import of inv_1 needs 1\.1"):
            import_archive(client.archives, ArchiveReader(lines, name="x"))
        assert stub.requests == []


def test_what_a_server_of_1_0_understands_it_is_told_without_a_question() -> None:
    with StubBroker(answer, protocol="1.0") as stub, BrokerClient(stub.url, api_key="k") as client:
        client.invocations.register(NOTHING)
        client.invocations.finish("inv_1", exit_code=0, reason="r", launched=True)
        assert stub.asked_for_protocol == 0

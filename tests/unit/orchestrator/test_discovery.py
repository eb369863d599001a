"""Which broker is used, and to whom the key is never given."""

from __future__ import annotations

from pathlib import Path

import pytest

from standpipe_orchestrator.client.discovery import find_broker
from standpipe_orchestrator.errors import BrokerNotFound
from standpipe_protocol.home import (
    IDENTITY_PROOF_HEADER,
    Credentials,
    identity_proof,
    write_credentials,
)
from tests.support.stub_broker import Reply, Request, StubBroker


def proving(identity: str) -> StubBroker:
    def answer(request: Request) -> Reply:
        proof = identity_proof(identity, request.headers["standpipe-challenge"])
        headers = {"Content-Type": "application/json", IDENTITY_PROOF_HEADER: proof}
        return Reply(headers=headers, chunks=(b'{"status": "ok"}',))

    return StubBroker(answer)


def home_with(tmp_path: Path, url: str) -> dict[str, str]:
    write_credentials(tmp_path, Credentials(url=url, api_key="home-key", identity="home-secret"))
    return {"STANDPIPE_HOME": str(tmp_path)}


def test_a_named_broker_with_its_key_is_used_unasked(tmp_path: Path) -> None:
    environment = {"STANDPIPE_HOME": str(tmp_path), "STANDPIPE_URL": "https://x/pipes/", "STANDPIPE_API_KEY": "k"}
    assert find_broker(environment) == Credentials(url="https://x/pipes", api_key="k")


def test_the_homes_server_is_used_once_it_has_proved_itself(tmp_path: Path) -> None:
    with proving("home-secret") as stub:
        found = find_broker(home_with(tmp_path, stub.url))
        assert found is not None
        assert (found.url, found.api_key) == (stub.url, "home-key")
        assert all("authorization" not in request.headers for request in stub.requests)


def test_whatever_else_listens_on_the_homes_port_gets_no_key(tmp_path: Path) -> None:
    with proving("another-secret") as stub:
        assert find_broker(home_with(tmp_path, stub.url)) is None
        assert all("authorization" not in request.headers for request in stub.requests)
    with StubBroker(lambda _: Reply.json({"status": "ok"})) as stub:
        assert find_broker(home_with(tmp_path, stub.url)) is None


def test_credentials_without_a_server_are_no_broker(tmp_path: Path) -> None:
    assert find_broker({"STANDPIPE_HOME": str(tmp_path)}) is None
    with proving("home-secret") as stub:
        environment = home_with(tmp_path, stub.url)
    assert find_broker(environment) is None


def test_a_named_broker_without_a_key_is_the_homes_or_an_error(tmp_path: Path) -> None:
    with proving("home-secret") as stub:
        environment = home_with(tmp_path, stub.url)
        found = find_broker({**environment, "STANDPIPE_URL": stub.url + "/"})
        assert found is not None
        assert found.api_key == "home-key"
        with pytest.raises(BrokerNotFound, match="STANDPIPE_API_KEY is not set"):
            find_broker({**environment, "STANDPIPE_URL": "http://elsewhere:1"})

"""The tests' own server: a real process that is ready when it is handed over and found again after a restart."""

from __future__ import annotations

import httpx
import pytest

from tests.support.server import Server


@pytest.mark.own_interpreter
def test_a_server_is_ready_and_lets_its_operator_in(server: Server) -> None:
    answer = server.http.get("/invocations")
    assert (answer.status_code, answer.json()["items"]) == (200, [])


def test_a_server_without_a_key_is_locked(sqlite_server: Server) -> None:
    assert sqlite_server.client().get("/invocations").status_code == 401


def test_a_restarted_server_keeps_its_address_and_what_it_stored(server: Server) -> None:
    registered = server.http.post("/invocations", json={"context": {}}).json()
    address = server.url
    server.kill9()
    server.restart()
    assert server.url == address
    listed = server.http.get("/invocations").json()["items"]
    assert [invocation["id"] for invocation in listed] == [registered["invocation"]["id"]]


@pytest.mark.own_interpreter
def test_a_stopped_server_ends_cleanly_and_no_longer_answers(sqlite_server: Server) -> None:
    assert sqlite_server.stop() == 0
    try:
        httpx.get(sqlite_server.url + "/healthz", trust_env=False, timeout=2)
    except httpx.ConnectError:
        return
    raise AssertionError("Something still listens.")

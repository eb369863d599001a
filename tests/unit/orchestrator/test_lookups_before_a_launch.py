"""What is looked up of the past before a launch informs the process, and is no reason not to launch it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from standpipe_orchestrator import BrokerClient, ContextData, open_pipes_session
from standpipe_orchestrator.errors import InvalidRequest
from standpipe_orchestrator.sessions import provenance
from tests.support.stub_broker import Reply, Request, StubBroker

MADE = {"invocation_id": "inv_0", "position": 3, "received_at": "2026-01-01T00:00:00Z", "data_version": None}
PROVENANCE = {"code_version": "before", "input_data_versions": {}, "is_user_provided": False}
GATEWAY = Reply(404, {"Content-Type": "text/html"}, (b"<center>nginx</center>",))
REFUSALS = {
    "gateway": GATEWAY,
    "failed": Reply.problem("internal", status=500),
    "away": Reply.problem("overloaded", status=503),
    "odd": Reply.json({"items": [{}]}),
}


@dataclass(frozen=True, slots=True)
class Step:
    """A context of a step, as the definitions have them."""

    asset_keys: tuple[str, ...] = ()
    deps_by_asset_key: Mapping[str, Sequence[str]] = field(default_factory=dict[str, Sequence[str]])
    run_id: str = "run"

    def to_context_data(self, extras: Mapping[str, object] | None = None) -> ContextData:
        return ContextData(run_id=self.run_id, asset_keys=self.asset_keys)


def registered(
    context: Step | None, answer: Callable[[Request, StubBroker], Reply], *, retry_of: str | None = None
) -> tuple[dict[str, Any], list[Request]]:
    """The context that an invocation is registered with (and refused, which ends the session), and what was asked."""
    registrations: list[Request] = []

    def answer_all(request: Request) -> Reply:
        if request.method == "POST":
            registrations.append(request)
            return Reply.problem("invalid-request", status=422)
        return answer(request, stub)

    stub = StubBroker(answer_all)
    with (
        stub,
        BrokerClient(stub.url, api_key="k") as client,
        pytest.raises(InvalidRequest),
        open_pipes_session(context, client=client, retry_of=retry_of),
    ):
        pass
    (registration,) = registrations
    return json.loads(registration.body)["context"], stub.requests


def answer_made(request: Request, _: object = None) -> Reply:
    if request.path.endswith("/materializations"):
        return Reply.json({"items": [MADE], "next_cursor": None})
    return Reply.json({"id": "inv_0", "status": "ended", "verdict": "succeeded", "context": {"run_id": "before"}})


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_lookup_that_fails_costs_that_assets_provenance_and_one_line(
    refusal: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "LOOKUP_SECONDS", 1.0)

    def answer(request: Request, _: StubBroker) -> Reply:
        return REFUSALS[refusal] if "refused" in request.path else answer_made(request)

    context, _ = registered(Step(("orders", "refused/1", "refused/2")), answer)
    assert context["provenance_by_asset_key"] == {"orders": PROVENANCE, "refused/1": None, "refused/2": None}
    assert len(warnings_of(caplog)) == 1


def test_assets_after_one_that_is_refused_have_their_provenance() -> None:
    def answer(request: Request, _: StubBroker) -> Reply:
        return GATEWAY if "refused" in request.path else answer_made(request)

    context, _ = registered(Step(("a/refused", "orders"), {"orders": []}), answer)
    assert context["provenance_by_asset_key"] == {"a/refused": None, "orders": PROVENANCE}


def test_a_broker_that_takes_its_time_holds_up_no_launch(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(provenance, "LOOKUP_SECONDS", 0.5)

    def answer(request: Request, stub: StubBroker) -> Reply:
        if "slow" in request.path:
            # Longer than the launch waits; the end of the broker lets it go.
            stub.stopping.wait(30)
        return answer_made(request)

    context, _ = registered(Step(("orders", "slow", "users")), answer)
    assert context["provenance_by_asset_key"] == {"orders": PROVENANCE, "slow": None, "users": None}
    assert len(warnings_of(caplog)) == 1


def test_the_upstream_assets_that_are_asked_for_are_bounded() -> None:
    _, asked = registered(Step(("orders",), {"orders": [f"dep{number}" for number in range(500)]}), answer_made)
    assert len(asked) <= provenance.MOST_DEPS + 3


def test_a_retry_of_which_nothing_can_be_learned_is_one_all_the_same(caplog: pytest.LogCaptureFixture) -> None:
    context, _ = registered(None, lambda *_: GATEWAY, retry_of="inv_0")
    assert context["retry_number"] == 1
    assert len(warnings_of(caplog)) == 1

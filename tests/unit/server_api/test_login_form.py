"""The form that anybody may send: little of it is taken, and not waited for without an end."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import anyio
import pytest
from starlette.types import Message

from standpipe_server.api.http import bodies
from standpipe_server.api.http.exchange import Exchange
from standpipe_server.api.parts import ApiParts
from standpipe_server.broker.messages.splitting import Refused
from standpipe_server.ui.pages import Pages

pytestmark = pytest.mark.anyio


async def test_a_form_that_does_not_go_on_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bodies, "_SILENCE_SECONDS", 0.05)

    async def receive() -> Message:
        await anyio.sleep_forever()
        raise AssertionError

    async def send(message: Message) -> None:
        raise AssertionError(message)

    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/login", "headers": [], "query_string": b""}
    pages = Pages(cast("ApiParts", SimpleNamespace(base_path="")))
    with anyio.fail_after(10):
        with pytest.raises(Refused) as refused:
            await pages.serve(Exchange(scope, receive, send))
    assert refused.value.problem.name == "malformed"

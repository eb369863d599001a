"""A store on each kind of database, with a clock that the test moves."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from standpipe_protocol.limits import Limits
from standpipe_server.broker.lifecycle.requests import json_digest, parse_registration
from standpipe_server.broker.messages.batches import parse_batch
from standpipe_server.broker.values.ids import token_digest
from standpipe_server.store import Store, StoreSettings, Target, Wake
from standpipe_server.store.commands import Append, AppendOutcome, Register
from standpipe_server.store.reads.invocations import read_invocation
from tests.support.waiting import wait_until
from tests.support.wire import closed, opened

LIMITS = Limits()
OPENED = json.dumps(opened()).encode()
CLOSED = json.dumps(closed()).encode()


def settings(database_url: str, **members: Any) -> StoreSettings:
    """Settings of a store whose sweeper looks at a clock that the test moves, so it looks often."""
    return StoreSettings(database_url=database_url, sweep_seconds=0.05, **members)


def body(*wires: object) -> bytes:
    """A request's body with these messages."""
    return json.dumps(wires).encode()


@dataclass
class Clock:
    now: int = 1_700_000_000_000_000

    def __call__(self) -> int:
        return self.now

    def pass_seconds(self, amount: float) -> None:
        self.now += round(amount * 1_000_000)


@dataclass
class Bench:
    """The store and short ways to use it."""

    store: Store
    clock: Clock
    database_url: str
    wakes: list[Wake] = field(default_factory=list[Wake])

    async def register(self, body: bytes = b'{"context":{}}', *, key: str | None = None) -> Target:
        registration = parse_registration(body, limits=LIMITS)
        registered = await self.store.writes.run(Register(registration, key, json_digest(body)))
        target = await self.store.callers.find(token_digest(registered.token))
        assert target is not None
        return target

    async def append(self, target: Target, body: bytes, **how: object) -> AppendOutcome:
        batch = parse_batch(body, media="json", limits=LIMITS)
        return await self.store.appends.run(Append.of(target.pk, batch, body, **how))  # type: ignore[arg-type]

    async def events(self, target: Target) -> list[dict[str, Any]]:
        page = await self.store.events.page(target.pk, after=0, limit=10_000)
        return [json.loads(event) for event in page.events]

    async def invocation(self, target: Target) -> dict[str, Any]:
        return json.loads((await self.store.reads.run(read_invocation, target.id)).json)


@pytest.fixture
def bench(database_url: str) -> Iterator[Bench]:
    clock = Clock()
    store = Store(settings(database_url), clock=clock)
    made = Bench(store, clock, database_url)
    # At its start a store restarts all leases. Where that came late, it would restart those of the test.
    sweeper = store._sweeper  # pyright: ignore[reportPrivateUsage]
    wait_until(lambda: sweeper._next_look > 0, what="the first sweep")  # pyright: ignore[reportPrivateUsage]
    store.on_commit = made.wakes.extend
    yield made
    assert store.close()

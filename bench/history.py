"""A history to look at: many ended invocations, by the store itself, as months of use would leave it."""

from __future__ import annotations

import asyncio
import json
import random
from dataclasses import dataclass

from bench.events import WORDS, text
from standpipe_protocol.limits import Limits
from standpipe_server.broker.batches import parse_batch
from standpipe_server.broker.ids import token_digest
from standpipe_server.broker.requests import json_digest, parse_registration
from standpipe_server.broker.state import Finish
from standpipe_server.store import AppendRequest, Store, StoreSettings

EVENTS = 50
"""An invocation."""
LINES = 50_000
"""Of the one invocation that is large."""
JOBS = 50
ASSETS = 20
ASSET = "bench/asset-0"
"""The asset of which the series is read: every twentieth invocation materializes it."""
RARE_TEXT = "zanzibar"
"""In a few error messages only."""

_LIMITS = Limits()
_SECOND = 1_000_000
_BEGINNING = 1_760_000_000 * _SECOND
_AT_ONCE = 200
_random = random.Random(11)  # noqa: S311  benchmarks repeat, they keep no secrets


@dataclass(frozen=True, slots=True)
class Made:
    large: str
    """The id of the invocation with many lines."""


def make_history(database_url: str, *, invocations: int) -> Made:
    """A minute passes between two registrations."""
    now = _BEGINNING

    def clock() -> int:
        return now

    async def fill(store: Store) -> Made:
        nonlocal now
        lines = [text(100) for _ in range(500)]
        for start in range(0, invocations, _AT_ONCE):
            now += 60 * _AT_ONCE * _SECOND
            numbers = range(start, min(start + _AT_ONCE, invocations))
            await asyncio.gather(*(_run(store, number, _messages(number, lines)) for number in numbers))
        large = [{"method": "opened", "params": {"extras": {}}}, *(_log(f"{lines[n % 500]} {n}") for n in range(LINES))]
        return Made(await _run(store, invocations, large))

    store = Store.open(StoreSettings(database_url=database_url, synchronous="NORMAL"), clock=clock)
    try:
        return asyncio.run(fill(store))
    finally:
        store.close()


async def _run(store: Store, number: int, messages: list[dict[str, object]]) -> str:
    partition = f"2026-{number % 365:03}"
    context = {"job_name": f"job-{number % JOBS}", "partition_key": partition, "extras": {"n": number}}
    wire = json.dumps({"context": context, "tags": {"team": _random.choice(WORDS[:20])}}).encode()
    registered, view = await store.register(
        parse_registration(wire, limits=_LIMITS), idempotency_key=None, request_digest=json_digest(wire)
    )
    target = await store.authenticate(token_digest(registered.token))
    assert target is not None
    for start in range(0, len(messages), 5_000):
        body = json.dumps(messages[start : start + 5_000]).encode()
        batch = parse_batch(body, media="json", limits=_LIMITS)
        await store.append(AppendRequest(target=target, batch=batch, body=body, producer="bench", first_seq=start + 1))
    await store.finish(view.id, Finish(exit_code=0))
    return view.id


def _messages(number: int, lines: list[str]) -> list[dict[str, object]]:
    key = f"bench/asset-{number % ASSETS}"
    metadata = {"rows": {"raw_value": _random.randrange(10**6), "type": "int"}, "loss": _random.random()}
    told: list[dict[str, object]] = [{"method": "opened", "params": {"extras": {}}}]
    told += [_log(_random.choice(lines)) for _ in range(EVENTS - 4)]
    told += [
        {"method": "report_asset_materialization", "params": {"asset_key": key, "metadata": metadata}},
        {
            "method": "report_asset_check",
            "params": {"asset_key": key, "check_name": "fresh", "passed": number % 17 > 0, "severity": "ERROR"},
        },
    ]
    closed: dict[str, object] = {}
    if number % 20 == 7:
        what = RARE_TEXT if number % 2_000 == 7 else "boom"
        closed = {"exception": {"name": "ValueError", "message": f"{what}: {_random.choice(lines)}"}}
    return [*told, {"method": "closed", "params": closed}]


def _log(message: str) -> dict[str, object]:
    return {"method": "log", "params": {"message": message, "level": "INFO"}}

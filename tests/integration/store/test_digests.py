"""The digest of what is stored, taken before a `closed` is: what may happen in between."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from sqlalchemy import Connection

from standpipe_server.broker.lifecycle.requests import Heartbeat
from standpipe_server.broker.outcome.receipt import Digests
from standpipe_server.broker.values.state import Finish
from standpipe_server.store import Overloaded
from standpipe_server.store.commands import RecordHeartbeat, stored_digests
from standpipe_server.store.commands.append import Append
from standpipe_server.store.commands.stored_digests import digest_stored
from standpipe_server.store.reads.invocations.views import read_invocation
from tests.integration.store.conftest import OPENED, Bench, body
from tests.support.stores import finished
from tests.support.wire import closed, custom, opened

pytestmark = pytest.mark.anyio


def closing(*before: bytes) -> bytes:
    sha256 = hashlib.sha256(b"".join(text + b"\n" for text in before)).hexdigest()
    return body(closed(ledger={"messages": len(before) + 1, "sha256": sha256}))


async def test_the_lease_is_kept_from_the_moment_the_word_came(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    target = await bench.register()
    await bench.append(target, OPENED, producer="p", first_seq=1)
    await bench.store.writes.run(RecordHeartbeat(target.pk, Heartbeat(), start=True))
    bench.clock.pass_seconds(50)
    leases: list[str] = []

    def slow(connection: Connection, command: Append) -> Digests:
        leases.append(json.loads(read_invocation(connection, target.id).json)["lease_expires_at"])
        return digest_stored(connection, command)

    before = (await bench.invocation(target))["lease_expires_at"]
    monkeypatch.setattr(stored_digests, "digest_stored", slow)
    await bench.append(target, closing(OPENED), producer="p", first_seq=2)
    assert leases[0] > before


@pytest.mark.parametrize("times", [1, 9])
async def test_what_is_stored_in_between_is_read_as_well_and_whoever_does_not_cease_is_told_to_come_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    target = await bench.register()
    texts = [json.dumps(opened()).encode()]
    await bench.append(target, texts[0])
    left, digests = [times], [0]

    async def crowded(function: Any, *arguments: Any, **options: Any) -> Any:
        found = await read(function, *arguments, **options)
        digests[0] += function is digest_stored
        if function is digest_stored and left[0]:
            left[0] -= 1
            texts.append(json.dumps(custom(left[0])).encode())
            await bench.append(target, texts[-1])
        return found

    # The one place where something can come in between.
    read = bench.store.reads.run
    monkeypatch.setattr(bench.store.reads, "run", crowded)
    ledger = {"messages": 3, "sha256": "0" * 64}
    closed_with_it = body(closed(ledger=ledger))
    if times == 9:
        with pytest.raises(Overloaded, match="kept coming"):
            await bench.append(target, closed_with_it)
        # None is computed for a try that is not made.
        assert digests[0] == 5
        return
    assert (await bench.append(target, closed_with_it)).status == 200
    ended = json.loads((await finished(bench.store, target.id, Finish())).json)
    stored = hashlib.sha256(b"".join(text + b"\n" for text in texts)).hexdigest()
    assert f"what is stored of it {stored[:12]}…" in ended["reasons"][0]["detail"]

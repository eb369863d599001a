"""Messages of protocol 1.0, and how a test of that time sent them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from tests.support.waiting import wait_until
from tests.support.wire import Job, Json, closed

TRACE = ['  File "/app/load.py", line 9, in load\n    rows()\n']


def exception(message: str, **members: Any) -> Json:
    return closed(exception={"name": "RuntimeError", "message": message, "stack": TRACE, **members})


def ledger(messages: Sequence[Json], /, **wrong: Any) -> Json:
    """A `closed` with the ledger of itself and what comes before it."""
    digest = hashlib.sha256(b"".join(json.dumps(message).encode() + b"\n" for message in messages))
    methods: dict[str, int] = {"closed": 1}
    for message in messages:
        methods[message["method"]] = methods.get(message["method"], 0) + 1
    count = len(messages) + 1
    told = {"messages": count, "last_seq": count, "by_method": methods, "sha256": digest.hexdigest(), "dropped_logs": 0}
    return closed(ledger={**told, **wrong})


def numbered(job: Job, messages: Sequence[Json], *, producer: str = "worker", first: int = 1, sent: int = 0) -> None:
    headers = {"Standpipe-Numbered": str(sent)} if sent else None
    answer = job.append(messages, producer=producer, first_seq=first, headers=headers)
    assert answer.status_code in (200, 207), answer.text


def wait_for(job: Job, verdict: str | None) -> None:
    def ended() -> bool:
        found: str | None = job.read()["verdict"]
        return found is not None and verdict in (None, found)

    wait_until(ended, what=f"{job.id} to end")

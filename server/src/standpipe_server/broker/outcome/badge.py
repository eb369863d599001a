"""The one word that a list shows of an invocation: the worst of verdict, checks and completeness; and its family.

A failed check is no verdict, but a green invocation in which an ERROR check failed must not look green.
"""

from __future__ import annotations

import hashlib
import json
from typing import Literal, TypeAlias

Badge: TypeAlias = Literal[
    "registered",
    "running",
    "cancelling",
    "succeeded",
    "warned",
    "check-failed",
    "failed",
    "cancelled",
    "lost",
    "incomplete",
]
BADGES: tuple[str, ...] = Badge.__args__


def badge_of(*, status: str, verdict: str | None, cancel_requested: bool, failed: int, warned: int) -> str:
    """`failed` and `warned` count the checks that did not pass, by severity."""
    if verdict is not None and verdict != "succeeded":
        return verdict
    if failed:
        return "check-failed"
    if verdict is None:
        return "cancelling" if cancel_requested else status
    return "warned" if warned else verdict


def family_of(*, job_name: str | None, asset_keys: str) -> int | None:
    """A number for the same job on the same assets (`asset_keys` as they are stored); None where neither is named."""
    if job_name is None and asset_keys == "[]":
        return None
    digest = hashlib.sha256(json.dumps([job_name, asset_keys]).encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)

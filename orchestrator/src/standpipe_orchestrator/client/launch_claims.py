"""Decides once which process launches the work of an invocation: the broker stores the first claim among its events.

A claim is a log message under an idempotency key of its own. The invariant: of all claims of one invocation, made from
any process on any machine, one is stored, for ever; only the process that made it may launch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonObject, JsonValue

LAUNCH_KEY = "standpipe-launch"
KEY_TAG = "standpipe.key"
"""The tag by which an invocation that was registered under a key is found again."""
LONGEST_KEY = 255

CLAIM, LAUNCHED = "launch", "launched"
EARLY_EVENTS = 100
"""A claim comes before the work, so it is among the first; so many log messages are looked through."""


def claim_message(facts: Mapping[str, JsonValue]) -> JsonObject:
    """The claim, as a message to be stored."""
    claimant = ", ".join(f"{name} {value}" for name, value in facts.items() if name in ("host", "pid"))
    return {
        "method": "log",
        "params": {"message": f"The launch was claimed{f' by {claimant}' if claimant else ''}.", "level": "DEBUG"},
        "details": {CLAIM: dict(facts)},
    }


def launch_facts(events: Sequence[Event]) -> Mapping[str, JsonValue] | None:
    """What is known of the launch: the claim, or what `report_launched` noted; None when there is neither."""
    for name in (CLAIM, LAUNCHED):
        for event in events:
            facts = (event.details or {}).get(name)
            if isinstance(facts, dict):
                return facts
    return None


def require_key(key: str) -> None:
    """Raises:
    ValueError: the key cannot be one.
    """
    if not 1 <= len(key) <= LONGEST_KEY or not key.isascii() or not key.isprintable():
        raise ValueError(f"The key is {key!r}; expected 1 to {LONGEST_KEY} printable ASCII characters.")
    if key.startswith("inv_") or key != key.strip():
        raise ValueError(f"The key is {key!r}; expected one that looks like no invocation's id and has no blank ends.")

"""The broker's receipt against what was taken here: the rule that lets a green invocation be green.

Pure. A receipt may say more than this version knows; what it does say has to agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from standpipe_protocol.invocation import Event, Invocation
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import METHODS

_OTHER = "other"
"""What the broker counts messages of unknown methods under."""


@dataclass(slots=True)
class Tally:
    """What was taken of one invocation's events, counted as the broker counts them."""

    events: int = 0
    rejected: int = 0
    by_method: Counter[str] = field(default_factory=Counter[str])
    by_producer: Counter[str] = field(default_factory=Counter[str])

    def count(self, event: Event) -> None:
        self.events += 1
        self.rejected += event.rejected
        self.by_method[event.method if event.method in METHODS else _OTHER] += 1
        self.by_producer[event.producer] += 1


def disagreements(invocation: Invocation, tally: Tally) -> tuple[str, ...]:
    """What an ended invocation's receipt has and the tally has not, or the other way round; empty when both agree."""
    if tally.events != invocation.last_position:
        return (f"{invocation.last_position} events are stored and {tally.events} were read",)
    receipt = invocation.receipt
    if receipt is None:
        return ("the broker gave no receipt of what it stored",)
    return tuple(_of_receipt(receipt, tally))


def superseded_producers(invocation: Invocation) -> frozenset[str]:
    """The producers of older attempts, as far as the broker names them."""
    listed = (invocation.receipt or {}).get("producers")
    producers = [*invocation.producers, *(listed if isinstance(listed, list) else [])]
    return frozenset(
        str(producer.get("producer"))
        for producer in producers
        if isinstance(producer, dict) and producer.get("superseded") is True
    )


def _of_receipt(receipt: Mapping[str, JsonValue], tally: Tally) -> Iterator[str]:
    # A receipt without the member is one of an earlier server, which left nothing out.
    if receipt.get("whole", True) is not True:
        yield f"the broker's receipt says of itself that it is not whole ({_described(receipt)})"
    for name, read in (("events", tally.events), ("rejected", tally.rejected)):
        if receipt.get(name) != read:
            yield f"the receipt has {name}: {receipt.get(name)!r}, read were {read}"
    counted = receipt.get("by_method")
    stored = counted if isinstance(counted, dict) else {}
    # A later server knows methods that here are `other`; the sum of all events has been compared.
    for method in METHODS:
        if stored.get(method, 0) != tally.by_method[method]:
            yield f"the receipt has {stored.get(method, 0)!r} of {method}, read were {tally.by_method[method]}"
    producers = receipt.get("producers")
    for producer in producers if isinstance(producers, list) else []:
        if isinstance(producer, dict):
            yield from _of_producer(producer, tally)


def _of_producer(producer: Mapping[str, JsonValue], tally: Tally) -> Iterator[str]:
    name, stored, numbered = str(producer.get("producer")), producer.get("stored"), producer.get("numbered")
    if stored != tally.by_producer[name]:
        yield f"the receipt has {stored!r} messages of producer {name}, read were {tally.by_producer[name]}"
    if producer.get("superseded") is True:
        return  # what an older attempt did not send is missed by nothing
    if isinstance(numbered, int) and isinstance(stored, int) and numbered > stored:
        yield f"producer {name} numbered {numbered} messages, and {stored} are stored"


def _described(receipt: Mapping[str, JsonValue]) -> str:
    return ", ".join(f"{name}: {value!r}" for name, value in receipt.items() if isinstance(value, str | int | None))

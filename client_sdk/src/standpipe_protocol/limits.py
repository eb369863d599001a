"""The limits a server publishes and a client obeys. All sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from standpipe_protocol.json_text import JsonValue

LONGEST_INTEGER = 100_000
"""Decimal digits of an integer that a message may hold, and that a reader calculates with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one request, one message or one context may weigh, and how many requests may come."""

    body_bytes: int = 16 * 1024 * 1024
    """A request body as it travels (compressed, if it is)."""
    decompressed_bytes: int = 64 * 1024 * 1024
    """The same body, decompressed."""
    message_bytes: int = 8 * 1024 * 1024
    """One message."""
    batch_messages: int = 10_000
    """Messages in one request."""
    control_bytes: int = 128 * 1024
    """The body of a heartbeat, a cancel, a pin, a `launch` or an `attempts`, decompressed."""
    finish_bytes: int = 1024 * 1024
    """The body of a `finish`, decompressed."""
    registration_bytes: int = 17 * 1024 * 1024
    """The body of a registration, decompressed."""
    context_bytes: int = 16 * 1024 * 1024
    """An invocation's context, extras included."""
    json_depth: int = 128
    """Nested arrays and objects."""
    integer_digits: int = LONGEST_INTEGER
    """Decimal digits of an integer in a message; those of a context have no limit."""
    name_characters: int = 512
    """What is looked up by name: asset keys, check names, partition keys, job names, run ids, tags."""

    requests_per_second: int = 1_000
    """Requests of one invocation's processes together, on average; those of ten seconds may come at once. 0: any
    number."""

    def to_wire(self) -> dict[str, JsonValue]:
        return asdict(self)

    @classmethod
    def from_wire(cls, wire: Mapping[str, JsonValue]) -> Limits:
        """Reads published limits; one that is missing or odd keeps its default: an older server is obeyed too."""
        known: dict[str, int] = {}
        for field in fields(cls):
            value = wire.get(field.name)
            least = 0 if field.name == "requests_per_second" else 1
            if isinstance(value, int) and not isinstance(value, bool) and value >= least:
                known[field.name] = value
        return cls(**known)

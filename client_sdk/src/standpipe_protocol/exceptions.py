"""Exceptions as programs report them, and the error for a message that breaks a rule.

Reading is lenient where upstream's SDKs differ from each other (`context: []`, `stack: null`); writing is strict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from standpipe_protocol.json_text import JsonValue, json_kind


class InvalidMessage(ValueError):
    """A message breaks a rule of its method.

    Attributes:
        pointer: JSON Pointer (RFC 6901) into the message, `""` for the message itself.
        expected: what should have been there, as a short phrase.
    """

    def __init__(self, *, pointer: str, expected: str, got: str) -> None:
        super().__init__(f"Expected {expected} at `{pointer or '/'}`, got {got}.")
        self.pointer = pointer
        self.expected = expected


@dataclass(frozen=True, slots=True, kw_only=True)
class PipesException:
    """An exception as it is reported; `stack` is the formatted frames, outermost first."""

    message: str
    stack: tuple[str, ...] = ()
    name: str | None = None
    cause: PipesException | None = None
    context: PipesException | None = None

    def to_wire(self) -> dict[str, JsonValue]:
        return {
            "message": self.message,
            "stack": list(self.stack),
            "name": self.name,
            "cause": self.cause.to_wire() if self.cause else None,
            "context": self.context.to_wire() if self.context else None,
        }


def parse_exception(wire: JsonValue, *, pointer: str) -> PipesException:
    if not isinstance(wire, dict):
        raise InvalidMessage(pointer=pointer, expected="an exception object or null", got=json_kind(wire))
    message, name, stack = wire.get("message"), wire.get("name"), wire.get("stack")
    if not isinstance(message, str):
        raise InvalidMessage(pointer=f"{pointer}/message", expected="a string", got=found_in(wire, "message"))
    if name is not None and not isinstance(name, str):
        raise InvalidMessage(pointer=f"{pointer}/name", expected="a string or null", got=json_kind(name))
    frames: list[str] = []
    if stack is not None:
        if not isinstance(stack, list) or not all(isinstance(frame, str) for frame in stack):
            raise InvalidMessage(pointer=f"{pointer}/stack", expected="a list of strings or null", got=json_kind(stack))
        frames = cast("list[str]", stack)
    chained: dict[str, PipesException | None] = {}
    for link in ("cause", "context"):
        linked = wire.get(link)
        # Java's SDK sends `[]` for "none".
        none = linked is None or linked in ([], {})
        chained[link] = None if none else parse_exception(linked, pointer=f"{pointer}/{link}")
    return PipesException(
        message=message, stack=tuple(frames), name=name, cause=chained["cause"], context=chained["context"]
    )


def found_in(values: Mapping[str, JsonValue], name: str) -> str:
    return json_kind(values[name]) if name in values else "nothing"

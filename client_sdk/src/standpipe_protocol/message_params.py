"""The parameters of one message, read by name and type, and reported exceptions among them. Errors name the place.

Reading is lenient where Dagster's SDKs differ from each other (`context: []`, `stack: null`); writing is strict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from standpipe_protocol.json_text import JsonValue, json_kind, json_pointer


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
        raise InvalidMessage(pointer=f"{pointer}/message", expected="a string", got=kind_in(wire, "message"))
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


def kind_in(values: Mapping[str, JsonValue], name: str) -> str:
    return json_kind(values[name]) if name in values else "nothing"


class Params:
    """The parameters of one message."""

    def __init__(self, values: Mapping[str, JsonValue]) -> None:
        self.values = values

    def string(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self._wrong(name, "a string")
        return value

    def optional_string(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self._wrong(name, "a string or null")
        return value

    def boolean(self, name: str) -> bool:
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def optional_object(self, name: str) -> Mapping[str, JsonValue] | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self._wrong(name, "an object or null")
        return value

    def one_of(self, name: str, choices: tuple[str, ...], *, default: str | None = None, any_case: bool = False) -> str:
        value = self.values.get(name, default)
        known = isinstance(value, str) and (value.upper() if any_case else value) in choices
        if not known:
            raise self._wrong(name, f"one of {', '.join(choices)}")
        return cast("str", value)

    def any(self, name: str) -> JsonValue:
        if name not in self.values:
            raise self._wrong(name, "any JSON value")
        return self.values[name]

    def optional(self, name: str) -> JsonValue:
        return self.values.get(name)

    def exception(self) -> PipesException | None:
        # Rust's SDK puts the exception's fields directly into params.
        exception = self.values.get("exception")
        if exception is None and isinstance(self.values.get("message"), str):
            return parse_exception(dict(self.values), pointer="/params")
        return None if exception is None else parse_exception(exception, pointer="/params/exception")

    def _wrong(self, name: str, expected: str) -> InvalidMessage:
        return InvalidMessage(pointer=json_pointer("params", name), expected=expected, got=kind_in(self.values, name))

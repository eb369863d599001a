"""The members of a JSON object, read by name and type; an error names the place, what was expected and what was there.

Also exceptions as programs report them. Reading is lenient where Dagster's SDKs differ from each other (`context: []`,
`stack: null`); writing is strict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, cast

from standpipe_protocol.json_text import JsonValue, json_kind, json_pointer


class InvalidMember(ValueError):
    """A member has a wrong shape: `pointer` is its JSON Pointer (RFC 6901), `""` for the object that was read itself;
    `expected` and `got` are short phrases."""

    place: ClassVar[str] = ""

    def __init__(self, pointer: str, expected: str, got: str) -> None:
        super().__init__(f"Expected {expected} at `{pointer or '/'}`{self.place}, got {got}.")
        self.pointer, self.expected, self.got = pointer, expected, got


class InvalidMessage(InvalidMember):
    """A message breaks a rule of its method; `pointer` is one into the message."""


class Members:
    """The members of the object at `pointer`; errors are of the class `error`."""

    def __init__(
        self, values: Mapping[str, JsonValue], *, pointer: str = "", error: type[InvalidMember] = InvalidMember
    ) -> None:
        self.values = values
        self._pointer = pointer
        self._error = error

    def string(self, name: str) -> str:
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self.wrong(name, "a string")
        return value

    def optional_string(self, name: str) -> str | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self.wrong(name, "a string or null")
        return value

    def boolean(self, name: str) -> bool:
        value = self.values.get(name)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def optional_integer(self, name: str, *, least: int, beyond: int) -> int | None:
        value = self.values.get(name)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or not least <= value < beyond):
            raise self.wrong(name, f"an integer from {least} to {beyond - 1}")
        return value

    def optional_object(self, name: str) -> dict[str, JsonValue] | None:
        value = self.values.get(name)
        if value is not None and not isinstance(value, dict):
            raise self.wrong(name, "an object or null")
        return value

    def one_of(self, name: str, choices: tuple[str, ...], *, default: str | None = None, any_case: bool = False) -> str:
        value = self.values.get(name, default)
        known = isinstance(value, str) and (value.upper() if any_case else value) in choices
        if not known:
            raise self.wrong(name, f"one of {', '.join(choices)}")
        return cast("str", value)

    def any(self, name: str) -> JsonValue:
        if name not in self.values:
            raise self.wrong(name, "any JSON value")
        return self.values[name]

    def exception(self) -> PipesException | None:
        # Rust's SDK puts the exception's fields directly into params.
        exception = self.values.get("exception")
        if exception is None and isinstance(self.values.get("message"), str):
            return _parse_exception(self.values, pointer=self._pointer)
        return None if exception is None else _parse_exception(exception, pointer=f"{self._pointer}/exception")

    def wrong(self, name: str, expected: str) -> InvalidMember:
        got = json_kind(self.values[name]) if name in self.values else "nothing"
        return self._error(self._pointer + json_pointer(name), expected, got)


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


def _parse_exception(wire: JsonValue | Mapping[str, JsonValue], *, pointer: str) -> PipesException:
    if not isinstance(wire, Mapping):
        raise InvalidMessage(pointer, "an exception object or null", json_kind(wire))
    members = Members(wire, pointer=pointer, error=InvalidMessage)
    stack = wire.get("stack")
    if stack is None:
        stack = []
    if not isinstance(stack, list) or not all(isinstance(frame, str) for frame in stack):
        raise members.wrong("stack", "a list of strings or null")
    links: dict[str, PipesException | None] = {}
    for name in ("cause", "context"):
        # Java's SDK sends `[]` for "none".
        link = wire.get(name)
        links[name] = None if link in (None, [], {}) else _parse_exception(link, pointer=f"{pointer}/{name}")
    return PipesException(
        message=members.string("message"),
        stack=tuple(cast("list[str]", stack)),
        name=members.optional_string("name"),
        cause=links["cause"],
        context=links["context"],
    )

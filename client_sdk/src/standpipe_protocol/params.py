"""The parameters of one message, read by name and type. Errors point at the parameter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from standpipe_protocol.exceptions import InvalidMessage, PipesException, found_in, parse_exception
from standpipe_protocol.json_text import JsonValue, json_pointer


class Params:
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
        given = self.values.get("exception")
        if given is None and isinstance(self.values.get("message"), str):
            return parse_exception(dict(self.values), pointer="/params")
        if given is None:
            return None
        return parse_exception(given, pointer="/params/exception")

    def _wrong(self, name: str, expected: str) -> InvalidMessage:
        return InvalidMessage(pointer=json_pointer("params", name), expected=expected, got=found_in(self.values, name))

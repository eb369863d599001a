"""Which events of an invocation a reader wants, told from the messages' own bytes, most of them undecoded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, cast

import msgspec

_SAME_LEVEL = {"WARN": "WARNING", "FATAL": "CRITICAL"}
# Members that say what kind of line it is; a search for a word does not mean them.
_UNSEARCHED = frozenset({"level", "stream", "severity"})
# Of the details of a log what is shown below its message.
_TRACEBACK = ("exception", "stack")


class _Params(msgspec.Struct, gc=False):
    level: Any = None
    stream: Any = None


class _Kind(msgspec.Struct, gc=False):
    params: _Params | None = None


class _Searched(msgspec.Struct, gc=False):
    params: Any = None
    details: Any = None


_decode_kind = msgspec.json.Decoder(_Kind).decode
_decode_searched = msgspec.json.Decoder(_Searched).decode


def canonical_level(level: str) -> str:
    upper = level.upper()
    return _SAME_LEVEL.get(upper, upper)


@dataclass(frozen=True, slots=True, kw_only=True)
class EventMatch:
    """All that is given must fit; nothing given fits everything."""

    text: str | None = None
    """In a string or a name within the message's parameters, or in the traceback that was logged, in any case."""
    levels: frozenset[str] = frozenset()
    """Canonical levels of logs."""
    producers: frozenset[str] = frozenset()
    stream: str | None = None
    _needle: str = field(init=False, default="", repr=False)
    _kinds: tuple[bytes, ...] = field(init=False, default=(), repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_needle", (self.text or "").lower())
        same = {name for name, level in _SAME_LEVEL.items() if level in self.levels}
        kinds = tuple(b'"%b"' % level.lower().encode() for level in sorted(self.levels | same) if level.isascii())
        object.__setattr__(self, "_kinds", kinds)

    def may_hold(self, body: bytes, *, rejected: bool = False) -> bool:
        """Whether there may be a fitting message among these bytes; False is certain.

        `rejected`: one of them broke a rule, and so may be of level ERROR without saying it.
        """
        needle = self._needle
        kinds = () if rejected and "ERROR" in self.levels else self._kinds
        if not (needle or kinds) or b"\\" in body:
            return True
        # Without escapes, what a string says is what its bytes say.
        if body.isascii():
            lower = body.lower()
            if kinds and not any(kind in lower for kind in kinds):
                return False
            return needle.isascii() and needle.encode() in lower
        # Letters beyond ASCII may become a level's in upper case, so that only the message itself tells.
        return needle in body.decode("utf-8", "surrogatepass").lower()

    def takes(self, message: bytes, *, rejected: bool = False) -> bool:
        """`rejected`: it broke a rule. A rejected log counts as level ERROR: it failed the invocation."""
        if not self.may_hold(message, rejected=rejected):
            return False
        try:
            if (self.levels or self.stream is not None) and not self._is_of_kind(message, rejected=rejected):
                return False
            return not self._needle or any(self._needle in text.lower() for text in _texts(_searched(message)))
        except (msgspec.DecodeError, RecursionError):
            # What was no message at all (it is shown as it came) holds nothing to look for.
            return False

    def _is_of_kind(self, message: bytes, *, rejected: bool) -> bool:
        if rejected and self.levels:
            return "ERROR" in self.levels and self.stream is None
        params = _decode_kind(message).params or _Params()
        if self.levels and not (isinstance(params.level, str) and canonical_level(params.level) in self.levels):
            return False
        return self.stream is None or params.stream == self.stream


def _searched(message: bytes) -> object:
    read = _decode_searched(message)
    details: object = read.details
    traceback = (
        [cast("dict[str, object]", details).get(name) for name in _TRACEBACK] if isinstance(details, dict) else []
    )
    params: object = read.params
    if isinstance(params, dict):
        named = cast("dict[str, object]", params).items()
        params = {name: value for name, value in named if name not in _UNSEARCHED}
    return [params, *traceback]


def _texts(value: object) -> Iterator[str]:
    """Every string and every name in a JSON value."""
    waiting: list[object] = [value]
    while waiting:
        value = waiting.pop()
        match value:
            case str():
                yield value
            case dict():
                members = cast("dict[str, object]", value)
                yield from members
                waiting.extend(members.values())
            case list():
                waiting.extend(cast("list[object]", value))
            case _:
                pass

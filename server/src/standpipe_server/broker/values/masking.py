"""What looks like a credential is masked wherever it would be shown or kept: one rule for names and for text.

By name (`password`, `api_key`, `authorization`) the value beside it; by shape a credential under any
name. In doubt more is masked than needed: what it is shown for is to see what was sent, not to have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from standpipe_protocol.json_text import JsonValue

_DEEPEST = 400
_PIECE_CHARACTERS = 32_768
_NAME_BEFORE_END, _LONGEST_END = 300, 80

MASK = "***"

_NAME = (
    r"pass(?:word|wd|phrase)|secret|token|(?:api|access|private)[_-]?key|credential|authori[sz]ation|cookie"
    r"|connection[_-]?string|(?<![A-Za-z])(?:pwd|dsn)(?![A-Za-z])"
)
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
_REST_OF_WORD = re.compile(r"[\w.\-]*+")
# Every repetition has a bound or gives nothing back: an odd text must not take longer than a plain one.
# After a name: the rest of its word and its quote (also one that is escaped, in JSON within a string).
_BEFORE_VALUE = re.compile(r"[\w.\-]{0,200}+\\{0,8}[\"']?\s{0,64}(?:=>|[:=])\s{0,64}")
# The value in quotes ends with a quote that something follows which may follow a value: one that is not escaped, as in
# JSON that was put together by hand, does not end it. Without quotes it ends with its line, or with what separates.
_QUOTED = re.compile(r"\\{0,8}([\"']).*?(?:\\{0,8}\1(?=\s{0,64}\\{0,8}(?:[,}\]&;]|$))|\Z)", re.DOTALL)
_PLAIN = re.compile(r"[^&,;}\]\r\n]*")
_NESTED = re.compile(r"[\[{].*", re.DOTALL)
_SHAPES = re.compile(
    r"""
      \b(?:Bearer|Basic|Negotiate)\s{1,20}[A-Za-z0-9._~+/=-]{6,}
    | \bspt_[A-Za-z0-9_-]{8,}
    | \b(?:gh[pousr]|github_pat|glpat|xox[abprs]|sk|pk|rk)[_-][A-Za-z0-9_-]{16,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{12,}
    | \bAIza[A-Za-z0-9_-]{30,}
    | \beyJ[A-Za-z0-9_-]{8,4000}+\.[A-Za-z0-9_-]*+(?:\.[A-Za-z0-9_-]*+)?
    | (?<=://)[^/\s"'@:]*+:[^/\s"'@]*+(?=@)
    | -----BEGIN[ ][A-Z ]{0,40}PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]{0,40}-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)
# Names of members whose own names are asset keys, and of members that hold names: no secrets under any name.
_BY_ASSET = frozenset({"code_version_by_asset_key", "provenance_by_asset_key"})
_OF_NAMES = frozenset({"asset_keys", "asset_key", "check_name"})


def names_secret(name: str) -> bool:
    """Whether a value of this name, or below it, is not to be shown."""
    return _SECRET_NAME.search(name) is not None


def mask_values(value: JsonValue, *, depth: int = 0) -> JsonValue:
    """The value with a mask in the place of each credential: by its name, by its shape, or as the word after an option
    (`--password hunter2` of a command that is a list)."""
    match value:
        case dict():
            return MASK if depth >= _DEEPEST else _masked_members(value, depth=depth + 1)
        case list():
            return MASK if depth >= _DEEPEST else list(_masked_items(value, depth=depth + 1))
        case str():
            return "".join(mask_text(piece) for piece in _pieces(value))
        case _:
            return value


def _masked_members(members: dict[str, JsonValue], *, depth: int) -> dict[str, JsonValue]:
    masked: dict[str, JsonValue] = {}
    # `{"name": "DB_PASSWORD", "value": …}`, as platforms write an environment.
    called = members.get("name", members.get("key"))
    for name, inner in members.items():
        if name in _OF_NAMES:
            masked[name] = inner
        elif name in _BY_ASSET and isinstance(inner, dict):
            masked[name] = {key: mask_values(one, depth=depth) for key, one in inner.items()}
        elif names_secret(name) or (name == "value" and isinstance(called, str) and names_secret(called)):
            masked[name] = None if inner is None else MASK
        else:
            masked[name] = mask_values(inner, depth=depth)
    return masked


def _masked_items(items: list[JsonValue], *, depth: int) -> Iterator[JsonValue]:
    is_secret = False
    for item in items:
        yield MASK if is_secret and not isinstance(item, dict | list) else mask_values(item, depth=depth)
        is_secret = isinstance(item, str) and item.startswith("-") and "=" not in item and names_secret(item)


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces that end between words, so that no step of its search takes long; a private key, and a name
    with its value, are not cut in two."""
    at = 0
    while at < len(text):
        end = _piece_end(text, at)
        yield text[at:end]
        at = end


def _piece_end(text: str, at: int) -> int:
    end = at + _PIECE_CHARACTERS
    if end >= len(text):
        return len(text)
    end = 1 + max(text.rfind(" ", at, end), text.rfind("\n", at, end)) or end
    if end <= at:
        end = at + _PIECE_CHARACTERS
    begun = text.rfind("-----BEGIN ", at, end)
    if begun >= 0 and text.rfind("-----END ", begun, end) < 0:
        # Whole, however long it is; what has no end has one at its text's.
        ended = text.find("-----END ", end)
        return len(text) if ended < 0 else min(len(text), ended + _LONGEST_END)
    names = [match.start() for match in _SECRET_NAME.finditer(text, end - _NAME_BEFORE_END, end)]
    return names[0] if names and names[0] > at else end


def mask_text(text: str, *, length: int | None = None) -> str:
    """The text (its first `length` characters) with a mask in the place of each credential.

    What is beyond `length` is looked at as well, so that a credential which is cut there is one all the same.
    """
    end = len(text) if length is None else min(length, len(text))
    shown: list[str] = []
    at = 0
    for first, last in sorted(_secrets(text)):
        if first >= end:
            break
        if last > at:
            shown += [text[at:first], MASK]
            at = last
    return "".join(shown) + text[at:end]


def _secrets(text: str) -> Iterator[tuple[int, int]]:
    for match in _SHAPES.finditer(text):
        yield match.span()
    at = 0
    # From value to value: each is gone through once, however many names there are in it.
    while name := _SECRET_NAME.search(text, at):
        before = _BEFORE_VALUE.match(text, name.end())
        if before is None:
            # What follows another name in the same word follows this one, too.
            rest = _REST_OF_WORD.match(text, name.end())
            at = rest.end() if rest is not None else name.end()
            continue
        first = at = before.end()
        value = _QUOTED.match(text, first) or _NESTED.match(text, first) or _PLAIN.match(text, first)
        if value is not None and value.end() > first:
            yield first, value.end()
            at = value.end()

"""What looks like a credential is masked wherever it would be shown or kept: one rule for names and for text.

By name (`password`, `api_key`, `authorization`) the value beside it; by shape what is a credential whatever it is
called. In doubt more is masked than needed: what it is shown for is to see what was sent, not to have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from standpipe_protocol.json_text import JsonValue

_DEEPEST = 400
_PIECE_CHARACTERS = 32_768

MASK = "***"

_NAME = (
    r"pass(?:word|wd|phrase)|\bpwd\b|secret|token|(?:api|access|private)[_-]?key|credential|authori[sz]ation|cookie"
    r"|connection[_-]?string|\bdsn\b"
)
_SECRET_NAME = re.compile(_NAME, re.IGNORECASE)
# A name, the rest of its word and its quote (also one that is escaped, in JSON within a string), then its value.
_NAMED = re.compile(rf"(?:{_NAME})[\w.\-]*\\*[\"']?\s*(?:[:=]|=>)\s*", re.IGNORECASE)
# The value in quotes ends with a quote that something follows which may follow a value: one that is not escaped, as in
# JSON that was put together by hand, does not end it. Without quotes it ends with its line, or with what separates.
_QUOTED = re.compile(r"\\*([\"']).*?(?:\\*\1(?=\s*\\*(?:[,}\]&;]|$))|\Z)", re.DOTALL)
_PLAIN = re.compile(r"[^&,;}\]\r\n]*")
_NESTED = re.compile(r"[\[{].*", re.DOTALL)
_SHAPES = re.compile(
    r"""
      \b(?:Bearer|Basic|Negotiate)\s+[A-Za-z0-9._~+/=-]{6,}
    | \bspt_[A-Za-z0-9_-]{8,}
    | \b(?:gh[pousr]|github_pat|glpat|xox[abprs]|sk|pk|rk)[_-][A-Za-z0-9_-]{16,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{12,}
    | \bAIza[A-Za-z0-9_-]{30,}
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*(?:\.[A-Za-z0-9_-]*)?
    | (?<=://)[^/\s"'@:]*:[^/\s"'@]*(?=@)
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)


def names_secret(name: str) -> bool:
    """Whether a value of this name, or below it, is not to be shown."""
    return _SECRET_NAME.search(name) is not None


def mask_values(value: JsonValue, *, depth: int = 0) -> JsonValue:
    """The value with a mask in the place of each credential: by its name, by its shape, or as the word after an option
    (`--password hunter2` of a command that is a list)."""
    match value:
        case dict():
            if depth >= _DEEPEST:
                return MASK
            return {
                name: MASK if inner is not None and names_secret(name) else mask_values(inner, depth=depth + 1)
                for name, inner in value.items()
            }
        case list():
            return MASK if depth >= _DEEPEST else list(_masked_items(value, depth=depth + 1))
        case str():
            return "".join(mask_text(piece) for piece in _pieces(value))
        case _:
            return value


def _masked_items(items: list[JsonValue], *, depth: int) -> Iterator[JsonValue]:
    is_secret = False
    for item in items:
        yield MASK if is_secret and isinstance(item, str) else mask_values(item, depth=depth)
        is_secret = isinstance(item, str) and item.startswith("-") and "=" not in item and names_secret(item)


def _pieces(text: str) -> Iterator[str]:
    """A long text in pieces that end between words, so that no step of its search takes long."""
    at = 0
    while at < len(text):
        end = at + _PIECE_CHARACTERS
        end = len(text) if end >= len(text) else 1 + max(text.rfind(" ", at, end), text.rfind("\n", at, end))
        end = end if end > at else at + _PIECE_CHARACTERS
        yield text[at:end]
        at = end


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
    for found in _SHAPES.finditer(text):
        yield found.span()
    at = 0
    # From value to value: each is gone through once, however many names there are in it.
    while named := _NAMED.search(text, at):
        first = at = named.end()
        value = _QUOTED.match(text, first) or _NESTED.match(text, first) or _PLAIN.match(text, first)
        if value is not None and value.end() > first:
            yield first, value.end()
            at = value.end()

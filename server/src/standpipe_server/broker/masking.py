"""What looks like a credential is masked wherever it would be shown or kept: one rule for names and for text.

By name (`password`, `api_key`, `authorization`) the value beside it; by shape what is a credential whatever it is
called. In doubt more is masked than needed: what it is shown for is to see what was sent, not to have it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

MASK = "***"

_NAME = (
    r"pass(?:word|wd|phrase)|secret|token|api[_-]?key|access[_-]?key|private[_-]?key|credential|authorization|cookie"
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
    | (?<=://)[^/\s"'@]*:[^/\s"'@]*(?=@)
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*-----|\Z)
    """,
    re.VERBOSE | re.DOTALL,
)


def names_secret(name: str) -> bool:
    """Whether a value of this name, or below it, is not to be shown."""
    return _SECRET_NAME.search(name) is not None


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
    for named in _NAMED.finditer(text):
        first = named.end()
        value = _QUOTED.match(text, first) or _NESTED.match(text, first) or _PLAIN.match(text, first)
        if value is not None and value.end() > first:
            yield first, value.end()

r"""Asset keys as text: parts joined by `/`; inside a part `\` is written `\\` and `/` is written `\/`."""

from __future__ import annotations

from collections.abc import Sequence


def escape_asset_key(parts: Sequence[str]) -> str:
    r"""The text of a key: `["pre", "a/b"]` -> `pre/a\/b`."""
    return "/".join(part.replace("\\", "\\\\").replace("/", "\\/") for part in parts)


def parse_asset_key(text: str) -> tuple[str, ...]:
    r"""The parts of a key's text: `pre/a\/b` -> `("pre", "a/b")`. An empty last part is dropped, as upstream does."""
    if "\\" not in text:
        plain = text.split("/")
        return tuple(plain if plain[-1] else plain[:-1])
    parts: list[str] = []
    current: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            current.append(next(characters, "\\"))
        elif character == "/":
            parts.append("".join(current))
            current = []
        else:
            current.append(character)
    if current:
        parts.append("".join(current))
    return tuple(parts)


def canonical_asset_key(text: str) -> str:
    """One spelling for one key: `a/b/` and `a/b` are the same."""
    return escape_asset_key(parse_asset_key(text)) if "\\" in text else text.removesuffix("/")

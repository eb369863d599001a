"""Asset keys as orchestration code writes them: one or more parts, hashable and ordered by their parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import total_ordering
from typing import TypeAlias

from standpipe_protocol.reports import escape_asset_key, parse_asset_key


@total_ordering
class AssetKey:
    """The name of an asset: `AssetKey("orders")` has one part, `AssetKey(["raw", "orders"])` two.

    A string is one part, slashes and all; `from_user_string("raw/orders")` splits it.
    """

    __slots__ = ("_parts",)
    _parts: tuple[str, ...]

    def __init__(self, path: str | Sequence[str]) -> None:
        # Neither a dictionary nor a set has parts in an order that means anything.
        parts = (path,) if isinstance(path, str) or not isinstance(path, Sequence) else tuple(path)  # pyright: ignore[reportUnnecessaryIsInstance]  callers without a type checker
        if any(not isinstance(part, str) for part in parts):  # pyright: ignore[reportUnnecessaryIsInstance]  as above
            raise TypeError(f"AssetKey was given {path!r}; expected a string or a sequence of strings.")
        self._parts = parts

    @property
    def parts(self) -> tuple[str, ...]:
        return self._parts

    @property
    def path(self) -> list[str]:
        """The parts, as a list of their own."""
        return list(self._parts)

    def to_user_string(self) -> str:
        """The parts joined by `/`, for people; two keys may look alike (see `to_escaped_user_string`)."""
        return "/".join(self._parts)

    def to_escaped_user_string(self) -> str:
        r"""The key's text on the wire, which reads back to an equal key: `AssetKey(["pre", "a/b"])` -> `pre/a\/b`."""
        return escape_asset_key(self._parts)

    def to_string(self) -> str:
        """The parts as a JSON array."""
        return json.dumps(self._parts)

    def to_python_identifier(self, suffix: str | None = None) -> str:
        """A Python name made of the parts: `AssetKey(["raw", "my-table"])` -> `raw__my_table`."""
        parts = self._parts if suffix is None else (*self._parts, suffix)
        return "__".join(parts).replace("-", "_").replace(".", "_")

    def has_prefix(self, prefix: Sequence[str]) -> bool:
        return self._parts[: len(prefix)] == tuple(prefix)

    def with_prefix(self, prefix: str | Sequence[str]) -> AssetKey:
        return AssetKey([*([prefix] if isinstance(prefix, str) else prefix), *self._parts])

    @classmethod
    def from_user_string(cls, text: str) -> AssetKey:
        """Splits at every `/`; nothing is unescaped."""
        return cls(text.split("/"))

    @classmethod
    def from_escaped_user_string(cls, text: str) -> AssetKey:
        """Reads the text that `to_escaped_user_string` writes."""
        return cls(parse_asset_key(text))

    @classmethod
    def from_coercible(cls, key: CoercibleToAssetKey) -> AssetKey:
        """The key itself, or the key that a string or a sequence of strings names."""
        return key if isinstance(key, AssetKey) else cls(key)

    def __repr__(self) -> str:
        return f"AssetKey({list(self._parts)!r})"

    def __hash__(self) -> int:
        return hash(self._parts)

    def __eq__(self, other: object) -> bool:
        return self._parts == other._parts if isinstance(other, AssetKey) else NotImplemented

    def __lt__(self, other: object) -> bool:
        return self._parts < other._parts if isinstance(other, AssetKey) else NotImplemented


CoercibleToAssetKey: TypeAlias = "AssetKey | str | Sequence[str]"

"""Refuses misspelt keyword arguments of signatures with `Unpack[TypedDict]`, which Python does not check."""

from __future__ import annotations

from collections.abc import Mapping


def require_names(call: str, given: Mapping[str, object], allowed: type) -> None:
    """Raises:
    TypeError: a name is not one of the TypedDict's, inherited ones included, as Python says it of any function.
    """
    # Its `__annotations__` are those of its parents, too.
    for name in given:
        if name not in allowed.__annotations__:
            raise TypeError(f"{call}() got an unexpected keyword argument {name!r}")

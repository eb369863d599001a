"""Which assets to run: keys, with `+` for neighbours, `*` for all of them, and groups.

`orders` that asset; `+orders` with what is directly upstream, `orders++` two steps downstream, `*orders` everything
upstream, `orders*` everything downstream, `group:raw` a group, `*` all. A comma or a second item adds up.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import cast

from standpipe_orchestrator.definitions.graph import AssetGraph
from standpipe_orchestrator.definitions.specs import keys_of
from standpipe_orchestrator.errors import InvalidSelection
from standpipe_orchestrator.values.asset_key import AssetKey

_TERM = re.compile(r"(?P<up>\*|\++)?(?P<name>.+?)(?P<down>\*|\++)?")


def select_keys(graph: AssetGraph, selection: object) -> frozenset[AssetKey]:
    """The selected assets among those that a step makes.

    Args:
        graph: what there is.
        selection: None for all; a text; or several texts, keys and assets.

    Raises:
        InvalidSelection: something is named that is not there, or nothing is left.
    """
    if selection is None:
        return frozenset(graph.maker)
    alone = isinstance(selection, (str, AssetKey)) or hasattr(selection, "specs")
    if not alone and not isinstance(selection, Iterable):
        raise InvalidSelection(f"Expected asset keys, assets or selection texts, got {selection!r}.")
    selected: set[AssetKey] = set()
    for item in [cast("object", selection)] if alone else cast("Iterable[object]", selection):
        if isinstance(item, str):
            for term in filter(None, (part.strip() for part in item.split(","))):
                selected |= _term(graph, term)
        else:
            selected |= {_known(graph, key) for key in keys_of([item])}
    selected &= set(graph.maker)
    if not selected:
        raise InvalidSelection(f"The selection {selection!r} holds no asset that a step makes.")
    return frozenset(selected)


def _term(graph: AssetGraph, term: str) -> set[AssetKey]:
    if term == "*":
        return set(graph.maker)
    match = _TERM.fullmatch(term)
    if match is None:
        raise InvalidSelection(f"Expected a key, `+key`, `key+`, `*key`, `key*`, `group:name` or `*`, got {term!r}.")
    name = match["name"]
    if name.startswith("group:"):
        start = {key for key, spec in graph.specs.items() if spec.group_name == name.removeprefix("group:")}
        if not start:
            groups = sorted({spec.group_name for spec in graph.specs.values() if spec.group_name})
            raise InvalidSelection(f"There is no group {name.removeprefix('group:')!r}; there are: {groups}.")
    else:
        start = {_known(graph, AssetKey.from_escaped_user_string(name))}
    downstream: dict[AssetKey, set[AssetKey]] = {key: set() for key in graph.specs}
    for key in graph.specs:
        for upstream in graph.upstream_keys(key):
            downstream.setdefault(upstream, set()).add(key)
    return (
        start
        | _reach(start, match["up"], lambda key: graph.upstream_keys(key) if key in graph.specs else frozenset())
        | _reach(start, match["down"], lambda key: downstream[key])
    )


def _reach(
    start: set[AssetKey], marks: str | None, neighbours: Callable[[AssetKey], Iterable[AssetKey]]
) -> set[AssetKey]:
    """What is within as many steps as there are `+`; everything for `*`."""
    reached, edge = set(start), set(start)
    steps = 0 if marks is None else len(marks)
    while edge and (marks == "*" or steps > 0):
        edge = {key for start_key in edge for key in neighbours(start_key)} - reached
        reached |= edge
        steps -= 1
    return reached


def _known(graph: AssetGraph, key: AssetKey) -> AssetKey:
    if key in graph.specs:
        return key
    names = [known.to_escaped_user_string() for known in graph.specs]
    close = difflib.get_close_matches(key.to_escaped_user_string(), names, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"there are: {', '.join(sorted(names)) or 'none'}."
    raise InvalidSelection(f"There is no asset {key.to_escaped_user_string()!r}; {hint}")

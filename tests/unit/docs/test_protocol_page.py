"""docs/protocol.md names what the code names: problems, limits, methods, reasons, notes, changes, filters, metadata.

The page is written by hand, because it is normative; these tests say when code and page have gone different ways.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import fields
from types import ModuleType

from standpipe_protocol.context import ContextData
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.limits import Limits
from standpipe_protocol.messages import METHODS
from standpipe_protocol.metadata import METADATA_TYPES
from standpipe_protocol.problems import PROBLEM_TYPES
from standpipe_protocol.process_end import CAUSE_CODES, OUTCOMES
from standpipe_server.broker.intake import batch_pass
from standpipe_server.broker.lifecycle import attempts as standing
from standpipe_server.broker.lifecycle import refusals
from standpipe_server.broker.lifecycle.launches import LAUNCH_STATES
from standpipe_server.broker.outcome import verdict
from standpipe_server.store.commands import append
from standpipe_server.store.commands import attempt_numbers as attempts
from standpipe_server.store.commands import launch as launcher
from standpipe_server.store.commands import lifecycle as commands
from standpipe_server.store.commands import refuse as store_refusals
from tests.support.processes import REPOSITORY

PAGE = (REPOSITORY / "docs" / "protocol.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    """A heading's text, up to the next heading of the same or a higher level."""
    found = re.search(rf"^(#+) (?:\d+\. )?{re.escape(title)}$", PAGE, flags=re.MULTILINE)
    assert found is not None, f"docs/protocol.md has no section {title!r}."
    rest = PAGE[found.end() :]
    following = re.search(rf"^#{{2,{len(found[1])}}} ", rest, flags=re.MULTILINE)
    return rest[: following.start()] if following else rest


def rows(text: str) -> Iterator[list[str]]:
    """The cells of a section's table rows, without heads."""
    for line in text.splitlines():
        if line.startswith("|") and not re.fullmatch(r"[|\- ]+", line):
            yield [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def names(cell: str) -> set[str]:
    return set(re.findall(r"`([a-z_-]+)`", cell))


def codes_in(module: ModuleType) -> set[str]:
    """The values of `"code": ...` in a module's dictionaries."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if isinstance(key, ast.Constant) and key.value == "code" and isinstance(value, ast.Constant):
                    found.add(str(value.value))
    return found


def changes_in(module: ModuleType) -> set[str]:
    """The kinds of change that a module writes into the history."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(inspect.getsource(module))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "add_history":
            found |= {str(c.value) for c in ast.walk(node.args[1]) if isinstance(c, ast.Constant)}
    return found


def test_the_table_of_problems_is_the_registry() -> None:
    told = {cells[0].strip("`"): int(cells[1]) for cells in rows(section("Errors")) if cells[1].isdigit()}
    assert told == {kind.name: kind.status for kind in PROBLEM_TYPES.values()}


def test_the_table_of_problems_names_their_members() -> None:
    told = {cells[0].strip("`"): names(cells[2]) for cells in rows(section("Errors")) if cells[1].isdigit()}
    assert told == {kind.name: set(kind.members) for kind in PROBLEM_TYPES.values()}


def test_the_table_of_limits_is_the_limits() -> None:
    told = {cells[0].strip("`") for cells in rows(section("Limits"))} - {"name"}
    assert told == {field.name for field in fields(Limits)}


def test_the_table_of_messages_is_the_methods() -> None:
    table = section("Messages").partition("### ")[0]
    assert {cells[0].strip("`") for cells in rows(table)} - {"method"} == set(METHODS)


def test_the_verdicts_codes_are_the_brokers() -> None:
    told: set[str] = set()
    for cells in rows(section("End and verdict")):
        if len(cells) == 3:
            told |= names(cells[2])
    notes = {name for cells in rows(section("Notes")) for name in names(cells[0])}
    codes = codes_in(verdict) | codes_in(refusals)
    assert told | notes | {"more"} == codes
    guide = (REPOSITORY / "docs" / "how-to" / "what-a-verdict-means.md").read_text(encoding="utf-8")
    explained = codes | set(CAUSE_CODES)
    assert explained <= names(guide), "docs/how-to/what-a-verdict-means.md does not explain every code."


def test_the_causes_and_outcomes_are_named() -> None:
    text = section("The other calls about one invocation")
    assert set(CAUSE_CODES) | set(OUTCOMES) | set(LAUNCH_STATES) <= set(re.findall(r"[`\"]([a-z-]+)[`\"]", text))


def test_the_notes_are_the_brokers() -> None:
    told = {name for cells in rows(section("What is accepted")) for name in re.findall(r"note `([a-z-]+)`", cells[1])}
    assert told == codes_in(batch_pass) | codes_in(standing)


def test_the_changes_in_the_history_are_the_stores() -> None:
    text = section("The other calls about one invocation")
    told = names("".join(re.findall(r"`change` in the history.+?More\s+may\s+come", text, flags=re.DOTALL)))
    modules = (commands, append, launcher, attempts, store_refusals)
    assert told - {"change"} == set[str]().union(*map(changes_in, modules))


def test_every_metadata_type_is_named() -> None:
    assert names(section("Metadata")) >= METADATA_TYPES


def test_every_field_of_context_and_invocation_is_named() -> None:
    assert {field.name for field in fields(ContextData)} <= names(section("The context"))
    told = names(section("`GET /invocations/{id}`")) | names(section("12. Lists and cursors"))
    assert {field.name for field in fields(Invocation)} <= told


def operations() -> Iterator[tuple[str, str, set[str]]]:
    """Method, path and query parameters of every call that the server describes."""
    document = json.loads((REPOSITORY / "docs" / "reference" / "openapi.json").read_text(encoding="utf-8"))
    for path, calls in document["paths"].items():
        for method, call in calls.items():
            query = {each["name"] for each in call.get("parameters", []) if each["in"] == "query"}
            yield method.upper(), path.removeprefix("/api/v1").replace("{invocation_id}", "{id}"), query


def test_every_call_of_the_server_is_named() -> None:
    missing = [f"{method} {path}" for method, path, _ in operations() if f"{method} {path}" not in PAGE]
    assert missing == []


def test_every_query_parameter_is_named() -> None:
    everywhere = {"limit", "cursor"}
    missing = {path: query - names(PAGE) - everywhere for _, path, query in operations()}
    assert {path: query for path, query in missing.items() if query - {"force"}} == {}
    assert "?force=true" in PAGE

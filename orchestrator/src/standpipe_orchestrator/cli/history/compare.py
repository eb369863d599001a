"""`standpipe compare ID [ID…]`: in what invocations differ, and nothing of what is the same.

With one id it is compared with the last good one before it. What differs, which one is good and which values are
masked is the server's answer; this module prints it.
"""

from __future__ import annotations

import argparse
import string
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from standpipe_orchestrator.cli.command_line.answering import context_text, print_json, run_seconds, state
from standpipe_orchestrator.cli.command_line.arguments import add_id, add_json
from standpipe_orchestrator.cli.words.event_lines import log_style, plain_table
from standpipe_orchestrator.cli.words.text import as_json, duration, local_time, one_line, visible
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.reading.log_lines import LEVELS
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue
from standpipe_protocol.words import counted

_MOST = 20
"""Invocations at once; more than that fit no terminal."""
_TEMPLATES_SHOWN = 30
_CELL = 60

# A member of the server's answer, as it came: its shape is the protocol's, section 12.
_Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same in all of them.

    Attributes:
        path: what it is, from the general to the particular: `("context", "extras", "rate")`.
        values: of each invocation, in their order; None too where there is none.
        missing: the numbers of those that have none.
        marked: of metadata, the numbers of those with a value that does not fit its reported type.
    """

    path: tuple[str, ...]
    values: tuple[JsonValue, ...]
    missing: tuple[int, ...] = ()
    marked: tuple[int, ...] = ()


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Shows in what invocations differ: context, extras, tags, what was reported with its metadata, checks, how "
        "long they took, which kinds of log lines are new or gone. The first is what the others are compared with."
    )
    add_id(parser, several=True, help="invocations; with one it is compared with the last good one before it")
    parser.add_argument("--all-logs", action="store_true", help=f"all kinds of log lines, not {_TEMPLATES_SHOWN}")
    add_json(parser, "one JSON object: invocations, differences, log_templates")


def misuse(args: argparse.Namespace) -> str | None:
    return None if len(args.ids) <= _MOST else f"at most {_MOST} invocations at once, got {len(args.ids)}."


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    invocations = [client.invocations.get(one, mask=True) for one in dict.fromkeys(args.ids)]
    if len(invocations) == 1:
        good = client.invocations.last_good(invocations[0].id, mask=True)
        if good is None:
            print(  # noqa: T201
                f"standpipe compare: before {visible(invocations[0].id)} no invocation of the same job and assets "
                "succeeded. Name the one to compare it with.",
                file=sys.stderr,
            )
            return 1
        invocations.insert(0, good)
    comparison = client.invocations.compare([invocation.id for invocation in invocations])
    differences = list(differences_of(comparison, invocations))
    if args.json:
        print_json(console, _wire(invocations, differences, comparison))
        return 0
    _print(console, invocations, differences, comparison, most_templates=None if args.all_logs else _TEMPLATES_SHOWN)
    return 0


def differences_of(answer: JsonObject, invocations: Sequence[Invocation]) -> Iterator[Difference]:
    """What came out, what went in, what was reported, in this order. An older server compares less."""
    rows = defaultdict[str, list[_Row]](list, cast("dict[str, list[_Row]]", answer))
    yield from _leaves(rows["outcome"])
    seconds = tuple(run_seconds(invocation) for invocation in invocations)
    if len(set(seconds)) > 1:
        yield Difference(("seconds",), seconds)
    for row in rows["context"]:
        if row["name"] != "run_id":  # no two launches have one
            yield _difference(("context", row["name"]), row["values"])
    yield from _leaves(rows["extras"], "context", "extras")
    for group in ("tags", "expected", "launcher"):
        yield from _leaves(rows[group], group)
    for row in rows["materializations"]:
        yield from _materialization(row)
    for row in rows["metadata"]:
        yield from _metadata(row, "materialization", row["asset_key"])
    for row in rows["checks"]:
        yield _difference(("check", row["asset_key"], row["check_name"]), [_passed(value) for value in row["values"]])
    for row in rows["check_metadata"]:
        yield from _metadata(row, "check", row["asset_key"], row["check_name"])
    yield from _leaves(rows["custom_messages"], "custom message")
    yield from _leaves(rows["counts"], "events")


def _difference(path: tuple[str, ...], values: Sequence[JsonValue]) -> Difference:
    return Difference(path, tuple(values), tuple(number for number, value in enumerate(values) if value is None))


def _leaves(rows: Sequence[_Row], *group: str) -> Iterator[Difference]:
    for row in rows:
        pointer = cast("str", row["path"])
        names = (name.replace("~1", "/").replace("~0", "~") for name in pointer.split("/")[1:])
        missing = tuple(number for number, absent in enumerate(row["absent"]) if absent)
        yield Difference((*group, *names), tuple(row["values"]), missing)


def _materialization(row: _Row) -> Iterator[Difference]:
    path = ("materialization", row["asset_key"])
    values: list[_Row | None] = row["values"]
    if None in values:
        yield _difference(path, [None if value is None else "reported" for value in values])
    versions = [None if value is None else value["data_version"] for value in values]
    if len(set(versions)) > 1:
        yield _difference((*path, "data_version"), versions)


def _metadata(row: _Row, *path: str) -> Iterator[Difference]:
    label = (*path, "metadata", row["label"])
    marked = tuple(number for number, entry in enumerate(row["values"]) if entry is not None and entry.get("problem"))
    if None in row["values"] or not row.get("parts"):
        raw = [None if entry is None else entry["raw_value"] for entry in row["values"]]
        yield replace(_difference(label, raw), marked=marked)
    else:
        yield from (replace(leaf, marked=marked) for leaf in _leaves(row["parts"], *label))


def _passed(value: _Row | None) -> JsonValue:
    if value is None:
        return None
    failed = "failed (warning)" if value["severity"] == "WARN" else "failed"
    return "passed" if value["passed"] else failed


def _wire(invocations: Sequence[Invocation], differences: Sequence[Difference], answer: JsonObject) -> JsonValue:
    return {
        "invocations": [invocation.id for invocation in invocations],
        "differences": [
            {"path": list(one.path), "values": list(one.values), "missing": list(one.missing)} for one in differences
        ],
        "log_templates": [
            {"level": kind["level"], "text": kind["template"], "counts": kind["counts"]} for kind in _templates(answer)
        ],
        "whole": _is_whole(answer),
    }


def _is_whole(answer: JsonObject) -> bool:
    flags = (*cast("list[bool]", answer["logs_complete"]), *cast("list[bool]", answer.get("values_complete", [])))
    return all(flags)


def _templates(answer: JsonObject) -> list[_Row]:
    """Severe ones first, then frequent ones."""
    return sorted(
        cast("list[_Row]", answer["logs"]), key=lambda kind: (-_severity(kind["level"]), -max(kind["counts"]))
    )


def _severity(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else -1


def _print(
    console: Console,
    invocations: Sequence[Invocation],
    differences: Sequence[Difference],
    answer: JsonObject,
    *,
    most_templates: int | None,
) -> None:
    letters = string.ascii_uppercase[: len(invocations)]
    console.print(_heads(invocations, letters))
    console.print()
    if differences:
        table = plain_table(["", *letters])
        for one in differences:
            table.add_row(Text(_name(one), style="cyan"), *_cells(one))
        console.print(table)
    else:
        console.print("No differences.")
    templates = _templates(answer)
    if templates:
        console.print()
        console.print(_template_table(templates[:most_templates], letters))
        left = len(templates[most_templates:]) if most_templates is not None else 0
        if left:
            console.print(Text(f"… {counted(left, 'more kind')} of log lines: --all-logs shows them", style="dim"))
    if not _is_whole(answer):
        console.print(Text("An invocation holds more than is compared; the rest was left out.", style="yellow"))


def _heads(invocations: Sequence[Invocation], letters: str) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for letter, invocation in zip(letters, invocations, strict=True):
        seconds = run_seconds(invocation)
        grid.add_row(
            Text(letter, style="bold"),
            Text(visible(invocation.id)),
            state(invocation),
            Text(local_time(invocation.created_at), style="dim"),
            Text("" if seconds is None else duration(seconds), style="dim"),
            Text(context_text(invocation, "job_name"), style="dim"),
        )
    return grid


def _cells(one: Difference) -> list[Text]:
    base, *others = one.values
    shown = [_cell(one, 0)]
    for number, value in enumerate(others, start=1):
        cell = _cell(one, number)
        if number not in one.missing and (change := _change(base, value)):
            cell.append(f"  {change}", style="dim")
        shown.append(cell)
    return shown


def _cell(one: Difference, number: int) -> Text:
    if number in one.missing:
        return Text("-", style="dim")
    value = one.values[number]
    text = value if isinstance(value, str) else as_json(value)
    return Text(one_line(text, at_most=_CELL) + (" (wrong shape)" if number in one.marked else ""))


def _change(base: JsonValue, value: JsonValue) -> str:
    """`+20 (+12.5 %)` for two numbers."""
    if isinstance(base, bool) or isinstance(value, bool):
        return ""
    if not isinstance(base, int | float) or not isinstance(value, int | float) or base == value:
        return ""
    try:
        difference = value - base
        return f"{difference:+,g}" + (f" ({100 * difference / abs(base):+,.1f} %)" if base else "")
    except OverflowError:
        return ""


def _name(one: Difference) -> str:
    return " › ".join(one_line(part, at_most=_CELL) for part in one.path)


def _template_table(templates: Sequence[_Row], letters: str) -> Table:
    table = plain_table(["log lines", *letters, ""])
    for one in templates:
        style = log_style(one["level"])
        counts = (Text(f"{count:,}" if count else "-", style="" if count else "dim") for count in one["counts"])
        text = Text(one_line(one["template"], at_most=100), style=style)
        table.add_row(Text(one["level"].lower(), style=style), *counts, text)
    return table

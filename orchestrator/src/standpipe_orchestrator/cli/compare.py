"""`standpipe compare ID [ID…]`: in what invocations differ, and nothing of what is the same.

With one id it is compared with the last succeeded invocation of the same job and assets that was registered before it:
what has changed since the last good one.
"""

from __future__ import annotations

import argparse
import itertools
import json
import string
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from standpipe_orchestrator.cli.arguments import add_id, add_json
from standpipe_orchestrator.cli.history import answering, context_text, print_json, seconds_taken, state
from standpipe_orchestrator.cli.reported import log_style, plain_table
from standpipe_orchestrator.cli.text import counted, duration, local_time, one_line, visible
from standpipe_orchestrator.client import BrokerClient
from standpipe_orchestrator.comparison import Comparison, Difference, Side, TemplateDifference, compare
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonValue

_MOST = 20
"""Invocations at once; more than that fit no terminal."""
_LOOKED_AT = 500
"""Invocations among which the last good one is looked for."""
_TEMPLATES_SHOWN = 30
_CELL = 60


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Shows in what invocations differ: context, extras, tags, what was reported with its metadata, checks, how "
        "long they took, which kinds of log lines are new or gone. The first is what the others are compared with."
    )
    add_id(parser, several=True, told="invocations; with one it is compared with the last good one before it")
    parser.add_argument("--all-logs", action="store_true", help=f"all kinds of log lines, not {_TEMPLATES_SHOWN}")
    add_json(parser, "one JSON object: invocations, differences, log_templates")


def run(args: argparse.Namespace) -> int:
    given: Sequence[str] = args.ids
    if len(given) > _MOST:
        print(f"standpipe compare: at most {_MOST} invocations at once, got {len(given)}.", file=sys.stderr)  # noqa: T201
        return 2
    return answering("compare", lambda client, console: _compare(client, console, args))


def _compare(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    invocations = [client.invocations.get(one) for one in dict.fromkeys(args.ids)]
    if len(invocations) == 1:
        good = last_good_before(client, invocations[0])
        if good is None:
            print(  # noqa: T201
                f"standpipe compare: before {visible(invocations[0].id)} no invocation of the same job and assets "
                "succeeded. Name the one to compare it with.",
                file=sys.stderr,
            )
            return 1
        invocations.insert(0, good)
    sides = [Side.of(invocation, client.events.iterate(invocation.id)) for invocation in invocations]
    comparison = compare(sides)
    if args.json:
        print_json(console, _wire(invocations, comparison))
        return 0
    _print(console, invocations, comparison, most_templates=None if args.all_logs else _TEMPLATES_SHOWN)
    return 0


def last_good_before(client: BrokerClient, invocation: Invocation) -> Invocation | None:
    """The last succeeded one of the same job and assets that was registered earlier, for whichever partition."""
    job, keys = invocation.context.get("job_name"), invocation.context.get("asset_keys")
    first = keys[0] if isinstance(keys, list) and keys else None
    if not isinstance(job, str) and not isinstance(first, str):
        return None
    earlier = client.invocations.iterate(
        verdict="succeeded",
        job_name=job if isinstance(job, str) else None,
        asset_key=first if isinstance(first, str) else None,
        until=invocation.created_at,
    )
    for other in itertools.islice(earlier, _LOOKED_AT):
        if other.context.get("asset_keys") == keys and other.context.get("job_name") == job:
            return other
    return None


def _wire(invocations: Sequence[Invocation], comparison: Comparison) -> JsonValue:
    return {
        "invocations": [invocation.id for invocation in invocations],
        "differences": [
            {"path": list(one.path), "values": list(one.values), "missing": list(one.missing)}
            for one in comparison.differences
        ],
        "log_templates": [
            {"level": one.level, "text": one.text, "counts": list(one.counts)} for one in comparison.log_templates
        ],
        "whole": comparison.whole,
    }


def _print(
    console: Console, invocations: Sequence[Invocation], comparison: Comparison, *, most_templates: int | None
) -> None:
    letters = string.ascii_uppercase[: len(invocations)]
    console.print(_heads(invocations, letters))
    console.print()
    if comparison.differences:
        table = plain_table(["", *letters])
        for one in comparison.differences:
            table.add_row(Text(_name(one), style="cyan"), *_cells(one))
        console.print(table)
    else:
        console.print("No differences.")
    if comparison.log_templates:
        console.print()
        console.print(_templates(comparison.log_templates[:most_templates], letters))
        left = len(comparison.log_templates[most_templates:]) if most_templates is not None else 0
        if left:
            console.print(Text(f"… {counted(left, 'more kind')} of log lines: --all-logs shows them", style="dim"))
    if not comparison.whole:
        console.print(Text("An invocation holds more than is compared; the rest was left out.", style="yellow"))


def _heads(invocations: Sequence[Invocation], letters: str) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for letter, invocation in zip(letters, invocations, strict=True):
        seconds = seconds_taken(invocation)
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
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return Text(one_line(text, at_most=_CELL))


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


def _templates(templates: Sequence[TemplateDifference], letters: str) -> Table:
    table = plain_table(["log lines", *letters, ""])
    for one in templates:
        style = log_style(one.level)
        counts = (Text(f"{count:,}" if count else "-", style="" if count else "dim") for count in one.counts)
        table.add_row(Text(one.level.lower(), style=style), *counts, Text(one_line(one.text, at_most=100), style=style))
    return table

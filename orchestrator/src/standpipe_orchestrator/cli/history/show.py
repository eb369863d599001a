"""`standpipe show ID`: one invocation and everything it reported, in the order in which it came."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from standpipe_orchestrator.cli.command_line.answering import (
    asset_keys,
    context_text,
    print_json,
    run_seconds,
    state,
)
from standpipe_orchestrator.cli.command_line.arguments import add_id, add_json
from standpipe_orchestrator.cli.words.delivery import delivery, superseded_producers
from standpipe_orchestrator.cli.words.event_lines import print_event
from standpipe_orchestrator.cli.words.standing import end_lines, place_lines, with_changes
from standpipe_orchestrator.cli.words.text import as_json, duration, in_line, listed, local_time, one_line, visible
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.words import attempt_words, counted


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Shows one invocation and everything it reported."
    add_id(parser)
    parser.add_argument(
        "--unmasked", action="store_true", help="with what looks like a credential and is *** otherwise"
    )
    add_json(parser, "the invocation, then each event, as JSON lines")


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    invocation = client.invocations.get(args.id, mask=not args.unmasked)
    events = client.events.iterate(invocation.id)
    if args.json:
        print_json(console, invocation)
        for event in events:
            print_json(console, event)
        return 0
    console.print(_head(invocation))
    superseded = superseded_producers(invocation)
    for one in with_changes(events, client.invocations.history(invocation.id, mask=not args.unmasked)):
        if isinstance(one, Text):
            console.print(one, soft_wrap=True)
        else:
            print_event(console, one, superseded=superseded)
    return 0


def _head(invocation: Invocation) -> RenderableType:
    seconds = run_seconds(invocation)
    verdict = state(invocation)
    if seconds is not None:
        verdict.append(f" after {duration(seconds)}" if invocation.ended else f" for {duration(seconds)}", style="dim")
    lines = {
        "Invocation": Text(invocation.id, style="bold"),
        "Verdict" if invocation.ended else "Status": verdict,
        "Registered": Text(local_time(invocation.created_at)),
        "Job": Text(context_text(invocation, "job_name")),
        "Run": Text(context_text(invocation, "run_id")),
        "Assets": Text(listed(asset_keys(invocation))),
        "Partition": Text(context_text(invocation, "partition_key")),
        "Extras": Text(_extras(invocation)),
        "Tags": Text(listed(in_line(f"{name}={value}") for name, value in invocation.tags.items())),
        "Retry of": Text(visible(invocation.retry_of or "")),
    }
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, text in lines.items():
        if text.plain:
            grid.add_row(Text(name, style="dim"), text)
    for name, text in itertools.chain(
        place_lines(invocation), _attempts(invocation), delivery(invocation), end_lines(invocation)
    ):
        grid.add_row(Text(name, style="dim"), text)
    return Padding(grid, (0, 0, 1, 0))


def _attempts(invocation: Invocation) -> Iterator[tuple[str, Text]]:
    """Which attempts there were, newest first; each is a run of the same work that the platform started."""
    for index, one in enumerate(invocation.attempts):
        names = one.get("names")
        named = listed(one_line(str(name), at_most=128) for name in names) if isinstance(names, list) else ""
        count = one.get("producers")
        words = f"{attempt_words(one.get('attempt'))}{f' ({named})' if named else ''}"
        words += f": {counted(count, 'process', 'processes')}" if isinstance(count, int) else ""
        superseded = one.get("superseded") is True
        yield "" if index else "Attempts", Text(f"{words}, superseded" if superseded else words, "dim" * superseded)


def _extras(invocation: Invocation) -> str:
    extras = invocation.context.get("extras")
    return one_line(as_json(extras), at_most=200) if extras else ""

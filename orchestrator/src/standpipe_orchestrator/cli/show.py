"""`standpipe show ID`: one invocation and everything it reported, in the order in which it came."""

from __future__ import annotations

import argparse
import json

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from standpipe_orchestrator.cli.arguments import add_id, add_json
from standpipe_orchestrator.cli.delivery import delivery
from standpipe_orchestrator.cli.history import answering, asset_keys, context_text, print_json, seconds_taken, state
from standpipe_orchestrator.cli.reported import print_event
from standpipe_orchestrator.cli.text import duration, listed, local_time, one_line, visible
from standpipe_orchestrator.client import BrokerClient
from standpipe_orchestrator.verdicts import explained
from standpipe_protocol.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Shows one invocation and everything it reported."
    add_id(parser)
    add_json(parser, "the invocation, then each event, as JSON lines")


def run(args: argparse.Namespace) -> int:
    return answering("show", lambda client, console: _show(client, console, args))


def _show(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    invocation = client.invocations.get(args.id)
    events = client.events.iterate(invocation.id)
    if args.json:
        print_json(console, invocation)
        for event in events:
            print_json(console, event)
        return 0
    console.print(_head(invocation))
    for event in events:
        print_event(console, event)
    return 0


def _head(invocation: Invocation) -> RenderableType:
    seconds = seconds_taken(invocation)
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
        "Tags": Text(listed(visible(f"{name}={value}") for name, value in invocation.tags.items())),
        "Retry of": Text(visible(invocation.retry_of or "")),
    }
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, text in lines.items():
        if text.plain:
            grid.add_row(Text(name, style="dim"), text)
    for name, text in delivery(invocation):
        grid.add_row(Text(name, style="dim"), text)
    why, left_open = explained(invocation)
    for name, style, reasons in (("Because", "yellow", why), ("Left undone", "dim", left_open)):
        for reason in reasons:
            grid.add_row(Text(name, style="dim"), Text(visible(reason.detail.strip()), style=style))
    return Padding(grid, (0, 0, 1, 0))


def _extras(invocation: Invocation) -> str:
    extras = invocation.context.get("extras")
    return one_line(json.dumps(extras, ensure_ascii=False), at_most=200) if extras else ""

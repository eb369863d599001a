"""`standpipe tail ID`: the last events of an invocation, and with `-f` those that come, until it has ended.

Exit code 0 for any verdict; with `--exit-status` 1 for any but `succeeded`.
"""

from __future__ import annotations

import argparse
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rich.console import Console
from rich.text import Text

from standpipe_orchestrator.cli.command_line.answering import print_json, run_seconds, state
from standpipe_orchestrator.cli.command_line.arguments import add_id, add_json, whole
from standpipe_orchestrator.cli.words.delivery import superseded_producers
from standpipe_orchestrator.cli.words.event_lines import print_event
from standpipe_orchestrator.cli.words.standing import end_lines
from standpipe_orchestrator.cli.words.text import duration, visible
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_protocol.invocation import Event, Invocation
from standpipe_protocol.messages import METHODS


@dataclass(frozen=True, slots=True)
class Latest:
    """The last events there were, and the position after which to go on."""

    events: Sequence[Event]
    position: int


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Shows the last events of an invocation; with -f those that come, until it has ended."
    add_id(parser)
    add_following(parser, "events")
    parser.add_argument(
        "--method",
        action="append",
        choices=[*sorted(METHODS), "rejected"],
        help="only these messages, or rejected ones; may be given several times",
    )
    add_json(parser, "one event a line; with -f the invocation as it ended comes last")


def add_following(parser: argparse.ArgumentParser, what: str) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the invocation has ended")
    parser.add_argument("-n", type=whole, metavar="N", help=f"begin with the last N {what}")
    parser.add_argument(
        "--exit-status", action="store_true", help="exit 1 unless the invocation has ended and is succeeded"
    )


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    invocation = client.invocations.get(args.id, mask=True)
    show = print_json if args.json else partial(print_event, superseded=superseded_producers(invocation).named)
    count: int = 20 if args.n is None else args.n
    latest = latest_events(client, invocation, count, methods=args.method)
    for event in latest.events:
        show(console, event)
    if args.follow:
        if not args.json and invocation.waiting and invocation.description:
            console.print(Text(visible(invocation.description), style="blue"), soft_wrap=True)
        tail = client.events.stream(invocation.id, after=latest.position, methods=args.method, mask=True)
        for event in tail:
            show(console, event)
        invocation = tail.invocation or invocation
        if args.json:
            print_json(console, invocation)
        else:
            print_end(console, invocation)
    return exit_code(invocation, args)


def latest_events(
    client: BrokerClient, invocation: Invocation, count: int, *, methods: Sequence[str] | None = None
) -> Latest:
    """The last `count` events of some methods that are there now."""
    # Without a filter the positions say where they begin; with one they must be read.
    after = 0 if methods else max(0, invocation.last_position - count)
    position = invocation.last_position
    events: deque[Event] = deque(maxlen=count)
    if count:
        for event in client.events.iterate(invocation.id, after=after, methods=methods):
            events.append(event)
            position = max(position, event.position)
    return Latest(events, position)


def print_end(console: Console, invocation: Invocation) -> None:
    """How it ended, and why."""
    seconds = run_seconds(invocation)
    took = "" if seconds is None else f" after {duration(seconds)}"
    console.print(state(invocation).append(took, style="dim"))
    for _, line in end_lines(invocation):
        console.print(line, soft_wrap=True)


def exit_code(invocation: Invocation, args: argparse.Namespace) -> int:
    return 1 if args.exit_status and invocation.verdict != "succeeded" else 0

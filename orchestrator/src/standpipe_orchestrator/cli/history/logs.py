"""`standpipe logs ID`: log messages and captured output of an invocation as lines of text, and nothing else."""

from __future__ import annotations

import argparse
import heapq
import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.text import Text

from standpipe_orchestrator.cli.command_line.answering import print_json
from standpipe_orchestrator.cli.command_line.arguments import add_id
from standpipe_orchestrator.cli.history.tail import add_following, exit_code
from standpipe_orchestrator.cli.words.event_lines import log_style
from standpipe_orchestrator.cli.words.text import local_time, visible
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.reading.log_lines import LEVELS, SOURCES, LineSelection, LogLine, LogLines, normal_level
from standpipe_protocol.invocation import Event, Invocation

_INDENT = 19
_LONGEST_SOUGHT = 512
"""Characters that the broker looks for; the lines that come are looked through in full."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Shows the log messages and the captured output of an invocation."
    add_id(parser)
    add_following(parser, "lines (default: all)")
    parser.add_argument(
        "--source", action="append", choices=SOURCES, help="only this; may be given several times (default: all)"
    )
    parser.add_argument(
        "--level",
        type=normal_level,
        choices=LEVELS,
        help="only log messages of this level or above; no captured output",
    )
    parser.add_argument("--text", metavar="WORDS", help="only lines that hold this, in any case")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--raw", action="store_true", help="the text as it came, control characters too, and no more")
    form.add_argument("--json", action="store_true", help="one JSON object a line")


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    invocation = client.invocations.get(args.id)
    selection = LineSelection(sources=frozenset(args.source or SOURCES), level=args.level, text=args.text)
    show = _shown_as(console, args)
    lines = LogLines()

    def selected(events: Iterable[Event]) -> Iterator[LogLine]:
        for event in events:
            yield from filter(selection, lines.take(event))

    there = selected(_stored(client, invocation, selection))
    if not args.follow:
        there = itertools.chain(there, filter(selection, lines.rest()))
    for line in there if args.n is None else deque(there, maxlen=args.n):
        show(line)
    if args.follow:
        after = invocation.last_position
        tail = client.events.stream(invocation.id, after=after, methods=selection.methods, levels=selection.levels)
        for line in selected(tail):
            show(line)
        for line in filter(selection, lines.rest()):
            show(line)
        invocation = tail.invocation or invocation
    return exit_code(invocation, args)


def _stored(client: BrokerClient, invocation: Invocation, selection: LineSelection) -> Iterator[Event]:
    """The events of such lines up to the invocation's last position; the broker looks for what it can.

    It looks for text in messages, not in lines: a line of captured output may begin in one message and end in the
    next, so of that all is asked for.
    """
    for_log = selection.text is not None and "log" in selection.methods
    reads = (
        [
            client.events.iterate(
                invocation.id,
                methods=[method],
                levels=selection.levels,
                text=(selection.text or "")[:_LONGEST_SOUGHT] if method == "log" else None,
            )
            for method in selection.methods
        ]
        if for_log
        else [client.events.iterate(invocation.id, methods=selection.methods, levels=selection.levels)]
    )
    # The reads are not of one moment, so each ends where the invocation stood before all of them.
    until = [itertools.takewhile(lambda event: event.position <= invocation.last_position, read) for read in reads]
    return heapq.merge(*until, key=lambda event: event.position)


def _shown_as(console: Console, args: argparse.Namespace) -> Callable[[LogLine], None]:
    if args.json:
        return lambda line: print_json(console, line)
    if args.raw:
        return lambda line: _write(line.text)
    if not console.is_terminal:
        # Without colours there is nothing to lay out, and of 50,000 lines that is most of the time.
        return lambda line: _write(_line(line).plain)
    return lambda line: console.print(_line(line), soft_wrap=True)


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _line(line: LogLine) -> Text:
    word = "rejected" if line.rejected else (line.level or line.source).lower()
    text = visible(line.text.rstrip()).replace("\n", "\n" + " " * _INDENT)
    style = log_style(line.level) if line.level is not None else ""
    return Text.assemble((f"{local_time(line.at)[11:]}  {word:<8} ", style or "dim"), (text, style))

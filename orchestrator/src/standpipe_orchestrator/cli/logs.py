"""`standpipe logs ID`: log messages and captured output of an invocation as lines of text, and nothing else."""

from __future__ import annotations

import argparse
import itertools
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console
from rich.text import Text

from standpipe_orchestrator.cli.arguments import add_id
from standpipe_orchestrator.cli.history import answering, print_json
from standpipe_orchestrator.cli.reported import log_style
from standpipe_orchestrator.cli.tail import add_following, exit_code
from standpipe_orchestrator.cli.text import local_time, visible
from standpipe_orchestrator.client import BrokerClient
from standpipe_orchestrator.log_lines import LEVELS, LOG_METHODS, SOURCES, LogLine, LogLines, Wanted, normal_level
from standpipe_protocol.invocation import Event

_INDENT = 19


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


def run(args: argparse.Namespace) -> int:
    return answering("logs", lambda client, console: _logs(client, console, args))


def _logs(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    invocation = client.invocations.get(args.id)
    wanted = Wanted(sources=frozenset(args.source or SOURCES), level=args.level, text=args.text)
    show = _shown_as(console, args)
    lines, position = LogLines(), 0

    def taken(events: Iterable[Event]) -> Iterator[LogLine]:
        nonlocal position
        for event in events:
            position = event.position
            yield from filter(wanted, lines.take(event))

    there = taken(client.events.iterate(invocation.id, methods=LOG_METHODS))
    if not args.follow:
        there = itertools.chain(there, filter(wanted, lines.rest()))
    for line in there if args.n is None else deque(there, maxlen=args.n):
        show(line)
    if args.follow:
        tail = client.events.stream(invocation.id, after=position, methods=LOG_METHODS)
        for line in taken(tail):
            show(line)
        for line in filter(wanted, lines.rest()):
            show(line)
        invocation = tail.invocation or invocation
    return exit_code(invocation, args)


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

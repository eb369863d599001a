"""`standpipe replay INV|FILE`: what a session would have given, rebuilt from stored events.

0: every event could be replayed, for any verdict. 1: not.
"""

from __future__ import annotations

import argparse
import json

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from standpipe_orchestrator.archives.replay import replay
from standpipe_orchestrator.cli.command_line.answering import answer_on_console, print_json
from standpipe_orchestrator.cli.command_line.arguments import add_json, invocation_ids, suggest
from standpipe_orchestrator.cli.history.tail import print_end
from standpipe_orchestrator.cli.words.event_lines import metadata_grid, result_line
from standpipe_orchestrator.values.metadata_conversion import metadata_to_wire
from standpipe_orchestrator.values.results import MaterializeResult, PipesResult
from standpipe_protocol.json_text import JsonObject
from standpipe_protocol.words import counted


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Rebuilds the results of an invocation from its stored events; launches nothing."
    source = parser.add_argument(
        "source", metavar="ID|FILE", help="an invocation's id or key, or what `standpipe export` wrote"
    )
    suggest(source, invocation_ids)
    parser.add_argument(
        "--speed", type=_speed, metavar="TIMES", help="1 for the time it took, 10 for a tenth of it (default: at once)"
    )
    parser.add_argument("--stdio", action="store_true", help="print what was captured of stdout and stderr too")
    add_json(parser, "one result a line, then the invocation")


def run(args: argparse.Namespace) -> int:
    return answer_on_console("replay", lambda console: _replay(console, args))


def _replay(console: Console, args: argparse.Namespace) -> int:
    replayed = replay(args.source, speed=args.speed, forward_stdio=args.stdio)
    for result in replayed:
        if args.json:
            console.out(json.dumps(_wire(result), default=str), highlight=False)
            continue
        line = result_line(result)
        if isinstance(result, MaterializeResult) and result.implicit:
            line.append("  (implicit: nothing was reported)", style="dim")
        console.print(line, soft_wrap=True)
        for grid in metadata_grid(result.metadata):
            console.print(Padding(grid, (0, 0, 0, 2)))
    if args.json:
        print_json(console, replayed.invocation)
    else:
        others = counted(sum(1 for _ in replayed.iterate_custom_messages()), "custom message")
        if observed := sum(1 for _ in replayed.iterate_observations()):
            others += f", {counted(observed, 'observation')}"
        console.print(Text(others, style="dim"), soft_wrap=True)
        print_end(console, replayed.invocation)
    return 0


def _wire(result: PipesResult) -> JsonObject:
    key = None if result.asset_key is None else result.asset_key.to_escaped_user_string()
    metadata = metadata_to_wire(result.metadata)
    if isinstance(result, MaterializeResult):
        version = None if result.data_version is None else str(result.data_version)
        return {"materialization": key, "data_version": version, "implicit": result.implicit, "metadata": metadata}
    return {
        "check": result.check_name,
        "asset_key": key,
        "passed": result.passed,
        "severity": result.severity.value,
        "metadata": metadata,
    }


def _speed(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value

"""`standpipe ls`: invocations, newest first."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from standpipe_orchestrator.cli.command_line.answering import (
    asset_keys,
    brief_state,
    context_text,
    print_json,
    run_seconds,
    state,
)
from standpipe_orchestrator.cli.command_line.arguments import (
    add_json,
    add_span,
    asset_key_texts,
    invocation_ids,
    positive,
    suggest,
)
from standpipe_orchestrator.cli.words.lists import cell, print_rows
from standpipe_orchestrator.cli.words.standing import seconds_in
from standpipe_orchestrator.cli.words.text import duration, listed, local_time, visible
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.invocation_operations import FILTERS
from standpipe_protocol.invocation import STATUSES, VERDICTS, Invocation

_BADGES = (*STATUSES[:2], "cancelling", "succeeded", "warned", "check-failed", *VERDICTS[1:])
_ENOUGH, _SCANT = 120, 76
"""Columns for everything, and for when it was; a narrower terminal gets less."""
_NUMBERS = ("Queued", "Took", "Events")
_FLEXIBLE_WIDTH = 12
"""Columns that those which are cut have at least together; where they had fewer the state is shown in brief."""
_FLEXIBLE = ("Job", "Partition", "Assets")
"""What is cut where the terminal is too narrow. The rest is shown whole: an id is what one copies."""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Lists invocations, newest first. Of several filters all must fit."
    parser.add_argument("-n", "--limit", type=positive, default=20, metavar="N", help="at most so many (default 20)")
    asset = parser.add_argument(
        "--asset", dest="asset_key", metavar="KEY", help="that target or reported on this asset (escaped key text)"
    )
    suggest(asset, asset_key_texts)
    either = "may be given several times: one must fit"
    parser.add_argument("--status", action="append", choices=STATUSES, help=f"that are at this point; {either}")
    parser.add_argument("--verdict", action="append", choices=VERDICTS, help=f"that ended like this; {either}")
    parser.add_argument(
        "--badge",
        action="append",
        choices=_BADGES,
        help=f"by the worst of verdict and checks; {either}",
    )
    parser.add_argument(
        "--failed-checks",
        action="store_const",
        const="true",
        help="with a check that did not pass, and any verdict",
    )
    parser.add_argument("--pinned", action="store_const", const="true", help="that are pinned")
    parser.add_argument("--job", dest="job_name", metavar="NAME", help="of this job")
    parser.add_argument("--run", dest="run_id", metavar="ID", help="of this run")
    parser.add_argument("--partition", dest="partition_key", metavar="KEY", help="for this partition")
    parser.add_argument(
        "--tag", action="append", metavar="NAME[=VALUE]", help="with this tag; may be given several times"
    )
    retries = parser.add_argument("--retry-of", metavar="ID", help="that are retries of this invocation")
    suggest(retries, invocation_ids)
    add_span(parser, "registered")
    parser.add_argument("--text", metavar="WORDS", help="in which these words occur")
    add_json(parser, "one JSON object a line")


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    filters = {name: getattr(args, name) for name in FILTERS if getattr(args, name)}
    limit: int = args.limit
    invocations = itertools.islice(client.invocations.iterate(page_size=min(limit, 100), mask=True, **filters), limit)
    if args.json:
        for invocation in invocations:
            print_json(console, invocation)
        return 0
    listed_invocations = list(invocations)
    if not listed_invocations:
        console.print("No invocations" + (" that fit." if filters else " yet."))
        return 0
    if console.is_terminal:
        console.print(listing(listed_invocations, width=console.width))
        return 0
    rows = [_row(invocation, width=console.width, brief=False) for invocation in listed_invocations]
    print_rows(console, tuple(rows[0]), [tuple(row.values()) for row in rows], flexible=_FLEXIBLE)
    return 0


def listing(invocations: Sequence[Invocation], *, width: int) -> Table:
    """A row and a line an invocation, in a table for a terminal of that many columns."""
    rows = [_row(invocation, width=width, brief=False) for invocation in invocations]
    is_brief = _rigid_width(rows) + _FLEXIBLE_WIDTH > width
    if is_brief:
        rows = [_row(invocation, width=width, brief=True) for invocation in invocations]
    if not any(row["Queued"].plain for row in rows if "Queued" in row):
        for row in rows:
            row.pop("Queued", None)
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold", pad_edge=False)
    for name in rows[0]:
        # rich shrinks only columns that it may wrap. That a cell stays on one line is said by the cell's text.
        table.add_column(name, justify="right" if name in _NUMBERS else "left", no_wrap=name not in _FLEXIBLE)
    for row in rows:
        table.add_row(*row.values())
    if is_brief and (judges := sorted({visible(invocation.judge) for invocation in invocations if invocation.judge})):
        table.caption = Text(f"* {' or '.join(judges)}: no process reported")
        table.caption_justify = "left"
    return table


def _rigid_width(rows: Sequence[Mapping[str, Text]]) -> int:
    """How many columns those take that are shown whole."""
    names = [name for name in rows[0] if name not in _FLEXIBLE]
    return sum(max(len(name), *(row[name].cell_len for row in rows)) + 2 for name in names)


def _row(invocation: Invocation, *, width: int, brief: bool) -> dict[str, Text]:
    took, queued = run_seconds(invocation), seconds_in(invocation, "queued")
    row = {"Invocation": Text(invocation.id), "Verdict": brief_state(invocation) if brief else state(invocation)}
    if width >= _SCANT:
        row["Registered"] = Text(local_time(invocation.created_at, seconds=width >= _ENOUGH))
    if width >= _ENOUGH:
        row |= {
            "Queued": Text("" if queued is None else duration(queued)),
            "Took": Text("" if took is None else duration(took)),
            "Events": Text(f"{invocation.last_position:,}"),
            "Job": cell(context_text(invocation, "job_name")),
            "Partition": cell(context_text(invocation, "partition_key")),
        }
    row["Assets"] = cell(listed(asset_keys(invocation)))
    return row

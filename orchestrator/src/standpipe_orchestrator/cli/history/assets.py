"""`standpipe assets`: what was reported for assets, across invocations.

Without a key the assets there are; with one its latest state and its materializations, or what was observed of it, or
what its checks reported.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

from rich.console import Console
from rich.padding import Padding
from rich.text import Text

from standpipe_orchestrator.cli.command_line.answering import print_json
from standpipe_orchestrator.cli.command_line.arguments import (
    add_json,
    add_span,
    asset_key,
    asset_key_texts,
    positive,
    suggest,
)
from standpipe_orchestrator.cli.words.event_lines import metadata_grid
from standpipe_orchestrator.cli.words.lists import cell, print_rows
from standpipe_orchestrator.cli.words.text import local_time, metadata_line, one_line, visible
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.pages import Page, all_items
from standpipe_orchestrator.values.metadata_conversion import metadata_from_history
from standpipe_protocol.json_text import JsonObject, JsonValue

_PAGE = 100
_FLEXIBLE = ("Asset", "Partition", "Latest check", "Check", "Metadata")
_HISTORY = {"check_name": "--check", "partition_key": "--partition", "since": "--since", "until": "--until"}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Lists the assets on which something was reported; with a KEY what was reported on it, newest first."
    )
    key = parser.add_argument(
        "key", metavar="KEY", type=asset_key, nargs="?", help="an asset (escaped key text, as the list has it)"
    )
    suggest(key, asset_key_texts)
    parser.add_argument("-n", "--limit", type=positive, default=20, metavar="N", help="at most so many (default 20)")
    parser.add_argument("--text", metavar="WORDS", help="without KEY: only assets with this in their key")
    parser.add_argument("--checks", action="store_true", help="with KEY: what its checks reported")
    parser.add_argument("--observations", action="store_true", help="with KEY: what was observed of it")
    parser.add_argument("--check", dest="check_name", metavar="NAME", help="with KEY: what this check reported")
    parser.add_argument("--partition", dest="partition_key", metavar="KEY", help="with KEY: only for this partition")
    add_span(parser, "with KEY: received")
    add_json(parser, "one asset, materialization, observation or check a line, as the protocol has them")


def misuse(args: argparse.Namespace) -> str | None:
    if args.key is not None:
        return "--text chooses among assets, and KEY has chosen one: leave one of them out." if args.text else None
    options = [option for name, option in _HISTORY.items() if getattr(args, name) is not None]
    options += [option for option in ("--checks", "--observations") if getattr(args, option.removeprefix("--"))]
    return f"{', '.join(options)} needs the KEY of an asset." if options else None


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    if args.key is None:
        return _list(console, _items(args, partial(client.assets.list, text=args.text)), args)
    reports, row = client.assets.materializations, _materialization_row
    if args.checks or args.check_name is not None:
        reports, row = partial(client.assets.checks, check_name=args.check_name), _check_row
    elif args.observations:
        reports, row = client.assets.observations, _observation_row
    elif not args.json and not (args.partition_key or args.since or args.until):
        _print_latest(console, client.assets.get(args.key))
    page = partial(reports, args.key, partition_key=args.partition_key, since=args.since, until=args.until)
    return _reports(console, _items(args, page), args, row=row)


def _items(args: argparse.Namespace, page: Callable[..., Page[JsonObject]]) -> Iterator[JsonObject]:
    limit: int = args.limit
    return itertools.islice(all_items(partial(page, limit=min(limit, _PAGE))), limit)


def _list(console: Console, items: Iterator[JsonObject], args: argparse.Namespace) -> int:
    rows: list[Sequence[Text]] = []
    for item in items:
        if args.json:
            print_json(console, item)
            continue
        last, check = _object(item.get("last_materialization")), _object(item.get("last_check"))
        rows.append(
            (
                cell(_text(item, "asset_key")),
                Text(_when(last) if last else "never", style="" if last else "dim"),
                cell(_text(last, "partition_key")),
                _check_cell(check),
                Text(_text(last or check, "invocation_id"), style="dim"),
            )
        )
    if rows:
        columns = ("Asset", "Materialized", "Partition", "Latest check", "Invocation")
        print_rows(console, columns, rows, flexible=_FLEXIBLE)
    elif not args.json:
        console.print("No assets" + (" that fit." if args.text else " yet: nothing was reported on any."))
    return 0


def _reports(
    console: Console,
    items: Iterator[JsonObject],
    args: argparse.Namespace,
    *,
    row: Callable[[JsonObject], Mapping[str, Text]],
) -> int:
    rows: list[Mapping[str, Text]] = []
    for item in items:
        if args.json:
            print_json(console, item)
        else:
            rows.append(row(item))
    if rows:
        print_rows(console, tuple(rows[0]), [tuple(cells.values()) for cells in rows], flexible=_FLEXIBLE)
    elif not args.json:
        console.print("Nothing that fits.")
    return 0


def _print_latest(console: Console, asset: JsonObject) -> None:
    """The asset's latest materialization with all its metadata, when it was observed, and where each check stands."""
    last, checks = _object(asset.get("last_materialization")), asset.get("checks")
    seen = _object(asset.get("last_observation"))
    console.print(Text(_text(asset, "asset_key"), style="bold"), soft_wrap=True)
    if last:
        for grid in metadata_grid(metadata_from_history(_object(last.get("metadata")))):
            console.print(Padding(grid, (0, 0, 0, 2)))
    if seen:
        version = f", data version {_text(seen, 'data_version')}" if seen.get("data_version") else ""
        console.print(Text(f"  observed{version}  ").append(_when(seen), style="dim"), soft_wrap=True)
    for check in map(_object, checks if isinstance(checks, list) else []):
        line = Text("  check ").append(_text(check, "check_name")).append(" ").append_text(_check_state(check))
        console.print(line.append(f"  {_when(check)}", style="dim"), soft_wrap=True)
    console.print()


def _materialization_row(item: JsonObject) -> Mapping[str, Text]:
    return {"Materialized": Text(_when(item)), **_version_cells(item)}


def _observation_row(item: JsonObject) -> Mapping[str, Text]:
    return {"Observed": Text(_when(item)), **_version_cells(item)}


def _version_cells(item: JsonObject) -> Mapping[str, Text]:
    return {
        "Partition": cell(_text(item, "partition_key")),
        "Version": Text(one_line(_text(item, "data_version"), at_most=16)),
        "Metadata": _metadata_cell(item),
        "Invocation": Text(_text(item, "invocation_id"), style="dim"),
    }


def _check_row(item: JsonObject) -> Mapping[str, Text]:
    return {
        "Checked": Text(_when(item)),
        "Check": cell(_text(item, "check_name")),
        "Result": _check_state(item),
        "Partition": cell(_text(item, "partition_key")),
        "Metadata": _metadata_cell(item),
        "Invocation": Text(_text(item, "invocation_id"), style="dim"),
    }


def _metadata_cell(item: JsonObject) -> Text:
    line = metadata_line(metadata_from_history(_object(item.get("metadata"))))
    return cell(line)


def _check_state(check: Mapping[str, JsonValue]) -> Text:
    if check.get("passed") is True:
        return Text("passed", style="green")
    warns = check.get("severity") == "WARN"
    return Text("failed (warning)" if warns else "failed", style="yellow" if warns else "red")


def _check_cell(check: Mapping[str, JsonValue]) -> Text:
    if not check:
        return Text("")
    name = cell(f" {_text(check, 'check_name')}", style="default")
    return Text("", no_wrap=True, overflow="ellipsis").append_text(_check_state(check)).append_text(name)


def _when(item: Mapping[str, JsonValue]) -> str:
    return local_time(_text(item, "sent_at") or _text(item, "received_at"))


def _text(item: Mapping[str, JsonValue], name: str) -> str:
    value = item.get(name)
    return visible(value) if isinstance(value, str) else ""


def _object(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}

"""`standpipe show ID`: one invocation and everything it reported, in the order in which it came."""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator, Mapping

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from standpipe_orchestrator.cli.delivery import delivery
from standpipe_orchestrator.cli.history import answering, asset_keys, context_text, seconds_taken, state
from standpipe_orchestrator.cli.text import (
    briefly,
    check_word,
    duration,
    key_of,
    listed,
    local_time,
    one_line,
    visible,
)
from standpipe_orchestrator.client import BrokerClient
from standpipe_orchestrator.collected import CollectedResults
from standpipe_orchestrator.definitions.outcomes import is_red
from standpipe_orchestrator.metadata import (
    JsonMetadataValue,
    MarkdownMetadataValue,
    MetadataValue,
    TableColumnLineageMetadataValue,
    TableMetadataValue,
    TableSchemaMetadataValue,
)
from standpipe_orchestrator.results import AssetCheckResult, MaterializeResult
from standpipe_orchestrator.tables import TableSchema
from standpipe_protocol.invocation import Event, Invocation
from standpipe_protocol.messages import (
    Closed,
    InvalidMessage,
    Log,
    LogExternalStream,
    Opened,
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportCustomMessage,
    parse_message,
)

_ROWS_SHOWN = 20
_INDENT = 17


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Shows one invocation and everything it reported."
    parser.add_argument("id", metavar="ID", type=_id, help="the invocation's id, as `standpipe ls` lists it")
    parser.add_argument("--json", action="store_true", help="the invocation, then each event, as JSON lines")


def run(args: argparse.Namespace) -> int:
    return answering("show", lambda client, console: _show(client, console, args))


def _id(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected an invocation's id, as `standpipe ls` lists it, got an empty text")
    return text


def _show(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    invocation = client.invocations.get(args.id)
    events = client.events.iterate(invocation.id)
    if args.json:
        console.out(json.dumps(dataclasses.asdict(invocation)), highlight=False)
        for event in events:
            console.out(json.dumps(dataclasses.asdict(event)), highlight=False)
        return 0
    console.print(_head(invocation))
    for event in events:
        for line in _event(event):
            console.print(line, soft_wrap=isinstance(line, Text))
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
    for reason in invocation.reasons:
        grid.add_row(Text("Because", style="dim"), Text(visible(reason.detail.strip()), style="yellow"))
    return Padding(grid, (0, 0, 1, 0))


def _extras(invocation: Invocation) -> str:
    extras = invocation.context.get("extras")
    return one_line(json.dumps(extras, ensure_ascii=False), at_most=200) if extras else ""


def _event(event: Event) -> Iterator[RenderableType]:
    when = local_time(event.sent_at or event.received_at)[11:]
    line = Text.assemble((f"{event.position:>5}  {when}  ", "dim"))
    if event.problem is not None:
        detail = visible(str(event.problem.get("detail", "")))
        yield line.append(f"rejected {visible(event.method or '?')}: {detail}", style="red")
        return
    details: list[RenderableType] = []
    try:
        message = parse_message({"method": event.method, "params": event.params, "details": dict(event.details or {})})
    except InvalidMessage as error:
        yield line.append(f"{visible(event.method or '?')}, which this version cannot read: {visible(str(error))}")
        return
    match message:
        case ReportAssetMaterialization() | ReportAssetCheck():
            result = CollectedResults(None).add(message)
            if result is not None:
                line.append_text(_result(result))
                details += _metadata(result.metadata)
        case ReportCustomMessage():
            line.append(f"custom message  {one_line(json.dumps(message.payload, ensure_ascii=False), at_most=160)}")
        case Log():
            line.append(f"{visible(message.level.lower())}: {_block(message.message)}", style=_log_style(message.level))
        case LogExternalStream():
            line.append(f"{message.stream}  ", style="dim").append(_block(message.text))
        case Closed():
            line.append("closed")
            if message.exception is not None:
                text = "".join(message.exception.stack) + message.exception.message
                line.append(_block(f" with an exception\n{text}"), style="red")
        case Opened():
            line.append("opened")
    for note in event.notes:
        line.append(f"  ({visible(str(note.get('detail', '')))})", style="yellow")
    yield line
    yield from (Padding(detail, (0, 0, 0, _INDENT)) for detail in details)


def _block(text: str) -> str:
    """Visible text whose further lines stand below the first."""
    return visible(text.rstrip()).replace("\n", "\n" + " " * _INDENT)


def _result(result: MaterializeResult | AssetCheckResult) -> Text:
    if isinstance(result, MaterializeResult):
        version = "" if result.data_version is None else f", data version {one_line(result.data_version)}"
        return Text(f"{key_of(result)} materialized{version}", style="green")
    style = "green" if result.passed else "red" if is_red(result) else "yellow"
    return Text(f"check {visible(result.check_name or '')} on {key_of(result)} {check_word(result)}", style=style)


def _metadata(metadata: Mapping[str, MetadataValue]) -> list[RenderableType]:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, value in metadata.items():
        grid.add_row(Text(one_line(name, at_most=40), style="cyan"), _value(value))
    return [grid] if metadata else []


def _value(value: MetadataValue) -> RenderableType:
    """A metadata value at full length; of a table the first rows."""
    match value:
        case TableMetadataValue():
            table = _plain_table(column.name for column in value.schema.columns)
            names = [column.name for column in value.schema.columns]
            for record in value.records[:_ROWS_SHOWN]:
                table.add_row(*(Text(one_line(str(record.data.get(name, "")), at_most=40)) for name in names))
            if len(value.records) > _ROWS_SHOWN:
                table.add_row(Text(f"… {len(value.records) - _ROWS_SHOWN:,} more", style="dim"))
            return table
        case TableSchemaMetadataValue():
            return _schema(value.schema)
        case TableColumnLineageMetadataValue():
            table = _plain_table(["column", "from"])
            for column, deps in value.column_lineage.deps_by_column.items():
                sources = listed(f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps)
                table.add_row(Text(visible(column)), Text(visible(sources)))
            return table
        case MarkdownMetadataValue():
            return Text(visible(value.md_str))
        case JsonMetadataValue():
            short = json.dumps(value.data, ensure_ascii=False)
            return Text(visible(short if len(short) <= 80 else json.dumps(value.data, ensure_ascii=False, indent=2)))
        case _:
            return Text(briefly(value) if not isinstance(value.value, str) else visible(value.value))


def _schema(schema: TableSchema) -> Table:
    table = _plain_table(["column", "type", "constraints", "description"])
    for column in schema.columns:
        constraints = [] if column.constraints.nullable else ["not null"]
        constraints += ["unique"] if column.constraints.unique else []
        words = (column.name, column.type, listed([*constraints, *column.constraints.other]), column.description or "")
        table.add_row(*(Text(visible(word)) for word in words))
    return table


def _plain_table(columns: Iterator[str] | list[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim underline", pad_edge=False)
    for column in columns:
        table.add_column(Text(visible(column)))
    return table


def _log_style(level: str) -> str:
    return {"WARN": "yellow", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "FATAL": "red"}.get(
        level.upper(), ""
    )

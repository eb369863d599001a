"""How what was reported looks on a terminal: a line an event, and its metadata below.

Shared by the verbs that show events. Text from outside has its control characters written out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from standpipe_orchestrator.cli.text import briefly, check_word, key_of, listed, local_time, one_line, visible
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
from standpipe_protocol.invocation import Event
from standpipe_protocol.messages import (
    Closed,
    InvalidMessage,
    Log,
    LogExternalStream,
    Opened,
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportCustomMessage,
    ReportProcessEnd,
    parse_message,
)

_ROWS_SHOWN = 20
_INDENT = 17


def print_event(console: Console, event: Event) -> None:
    for line in event_lines(event):
        console.print(line, soft_wrap=isinstance(line, Text))


def event_lines(event: Event) -> Iterator[RenderableType]:
    """A line for the event, and below it what it carries: metadata as a grid, tables as tables."""
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
                line.append_text(result_line(result))
                details += metadata_grid(result.metadata)
        case ReportCustomMessage():
            line.append(f"custom message  {one_line(json.dumps(message.payload, ensure_ascii=False), at_most=160)}")
        case Log():
            line.append(f"{visible(message.level.lower())}: {_below(message.message)}", style=log_style(message.level))
        case LogExternalStream():
            line.append(f"{message.stream}  ", style="dim").append(_below(message.text))
        case Closed():
            line.append("closed")
            if message.exception is not None:
                text = "".join(message.exception.stack) + message.exception.message
                line.append(_below(f" with an exception\n{text}"), style="red")
        case Opened():
            line.append("opened")
        case ReportProcessEnd():
            end = ", ".join(f"{name} {value}" for name, value in message.described().items())
            line.append(f"the process ended: {_below(end)}")
    for note in event.notes:
        line.append(f"  ({visible(str(note.get('detail', '')))})", style="yellow")
    yield line
    yield from (Padding(detail, (0, 0, 0, _INDENT)) for detail in details)


def _below(text: str) -> str:
    """Visible text whose further lines stand below the first."""
    return visible(text.rstrip()).replace("\n", "\n" + " " * _INDENT)


def result_line(result: MaterializeResult | AssetCheckResult) -> Text:
    if isinstance(result, MaterializeResult):
        version = "" if result.data_version is None else f", data version {one_line(result.data_version)}"
        return Text(f"{key_of(result)} materialized{version}", style="green")
    style = "green" if result.passed else "red" if is_red(result) else "yellow"
    return Text(f"check {visible(result.check_name or '')} on {key_of(result)} {check_word(result)}", style=style)


def metadata_grid(metadata: Mapping[str, MetadataValue]) -> list[RenderableType]:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, value in metadata.items():
        grid.add_row(Text(one_line(name, at_most=40), style="cyan"), metadata_value(value))
    return [grid] if metadata else []


def metadata_value(value: MetadataValue) -> RenderableType:
    """A metadata value at full length; of a table the first rows."""
    match value:
        case TableMetadataValue():
            table = plain_table(column.name for column in value.schema.columns)
            names = [column.name for column in value.schema.columns]
            for record in value.records[:_ROWS_SHOWN]:
                table.add_row(*(Text(one_line(str(record.data.get(name, "")), at_most=40)) for name in names))
            if len(value.records) > _ROWS_SHOWN:
                table.add_row(Text(f"… {len(value.records) - _ROWS_SHOWN:,} more", style="dim"))
            return table
        case TableSchemaMetadataValue():
            return _schema(value.schema)
        case TableColumnLineageMetadataValue():
            table = plain_table(["column", "from"])
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
    table = plain_table(["column", "type", "constraints", "description"])
    for column in schema.columns:
        constraints = [] if column.constraints.nullable else ["not null"]
        constraints += ["unique"] if column.constraints.unique else []
        words = (column.name, column.type, listed([*constraints, *column.constraints.other]), column.description or "")
        table.add_row(*(Text(visible(word)) for word in words))
    return table


def plain_table(columns: Iterable[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim underline", pad_edge=False)
    for column in columns:
        table.add_column(Text(visible(column)))
    return table


def log_style(level: str) -> str:
    return {"WARN": "yellow", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "FATAL": "red"}.get(
        level.upper(), ""
    )

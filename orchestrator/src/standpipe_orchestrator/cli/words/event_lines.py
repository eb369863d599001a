"""How what was reported looks on a terminal: a line an event, and its metadata below.

Shared by the verbs that show events. Text from outside has its control characters written out.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from standpipe_orchestrator.cli.words.text import (
    as_json,
    briefly,
    check_word,
    in_line,
    key_of,
    listed,
    local_time,
    one_line,
    visible,
)
from standpipe_orchestrator.reading.log_lines import LOG_METHODS, last_states, with_traceback
from standpipe_orchestrator.values import metadata_values
from standpipe_orchestrator.values.from_events import observation_of, result_of
from standpipe_orchestrator.values.results import AssetCheckResult, AssetObservation, MaterializeResult, is_red
from standpipe_orchestrator.values.tables import TableSchema
from standpipe_protocol import messages
from standpipe_protocol.invocation import Event
from standpipe_protocol.members import InvalidMessage
from standpipe_protocol.words import attempt_words, end_details, end_words

_ROWS_SHOWN = 20
_COLUMNS_SHOWN = 20
_QUIET_NOTES = frozenset({"superseded", "replaces"})
"""Remarks that tell of attempts; the others are of something odd."""
_INDENT = 17


def print_event(console: Console, event: Event, *, superseded: Container[str] = ()) -> None:
    for line in event_lines(event, superseded=superseded):
        console.print(line, soft_wrap=isinstance(line, Text))


def event_lines(event: Event, *, superseded: Container[str] = ()) -> Iterator[RenderableType]:
    """A line for the event, and below it what it carries: metadata as a grid, tables as tables.

    Args:
        superseded: producers of older attempts; what they report makes nothing red.
    """
    when = local_time(event.sent_at or event.received_at)[11:]
    line = Text.assemble((f"{event.position:>5}  {when}  ", "dim"))
    is_outdated = event.producer in superseded or any(note.get("code") == "superseded" for note in event.notes)
    bad = "dim" if is_outdated else "red"
    if event.problem is not None:
        detail = visible(str(event.problem.get("detail", "")))
        line.append(f"rejected {visible(event.method or '?')}: {detail}", style=bad)
        yield line.append("  (of an older attempt)" if is_outdated else "", style="dim")
        return
    details: list[RenderableType] = []
    try:
        message = messages.parse_message(
            {"method": event.method, "params": event.params, "details": dict(event.details or {})}
        )
    except InvalidMessage as error:
        yield line.append(f"{visible(event.method or '?')}, which this version cannot read: {visible(str(error))}")
        return
    match message:
        case messages.ReportAssetMaterialization() | messages.ReportAssetCheck():
            result = result_of(message)
            summary = result_line(result)
            line.append(summary.plain, style="dim" if is_outdated else summary.style)
            details += metadata_grid(result.metadata)
        case messages.ReportAssetObservation():
            observation = observation_of(message)
            line.append(observation_line(observation))
            details += metadata_grid(observation.metadata)
        case messages.ReportCustomMessage():
            line.append(f"custom message  {one_line(as_json(message.payload), at_most=160)}")
        case messages.Log():
            text = with_traceback(message.message, event.details)
            line.append(f"{visible(message.level.lower())}: {_below(text)}", style=log_style(message.level))
        case messages.LogExternalStream():
            line.append(f"{message.stream}  ", style="dim").append(_below(last_states(message.text)))
        case messages.Closed():
            line.append(f"closed because of {one_line(message.signal)}" if message.signal else "closed")
            if message.exception is not None:
                text = "".join(message.exception.stack) + message.exception.message
                line.append(_below(f" with an exception\n{text}"), style=bad)
        case messages.Opened():
            line.append("opened").append(_origin(message), style="dim")
        case messages.ReportProcessEnd():
            end = event.params if isinstance(event.params, dict) else {}
            words = ": ".join(one_line(text, at_most=400) for text in (end_words(end), *end_details(end)) if text)
            line.append(
                f"the process ended: {words or 'how is not known'}", style=bad if _tells_failure(message) else ""
            )
    for note in event.notes:
        style = "dim" if note.get("code") in _QUIET_NOTES else "yellow"
        line.append(f"  ({visible(str(note.get('detail', '')))})", style=style)
    if is_outdated and not event.notes and event.method not in LOG_METHODS:
        line.append("  (of an older attempt)", style="dim")
    yield line
    yield from (Padding(detail, (0, 0, 0, _INDENT)) for detail in details)


def _origin(opened: messages.Opened) -> str:
    """What an opening says of where the process comes from: its role, its rank and its attempt."""
    extras = opened.extras
    words = ["supervisor"] if extras.get("role") == "supervisor" else []
    words += [f"rank {one_line(str(extras['rank']), at_most=40)}"] if extras.get("rank") is not None else []
    for name in ("attempt", "rank_attempt"):
        if isinstance(number := extras.get(name), list):
            words.append(f"{name.replace('_', ' ')} {attempt_words(number)}")
    if isinstance(name := extras.get("attempt_name"), str):
        words.append(f"attempt {one_line(name, at_most=128)}")
    return f"  ({listed(words)})" if words else ""


def _tells_failure(end: messages.ReportProcessEnd) -> bool:
    return end.outcome == "failed" or end.exit_code not in (None, 0)


def _below(text: str) -> str:
    """Visible text, its further lines indented below the first."""
    return visible(text.rstrip()).replace("\n", "\n" + " " * _INDENT)


def result_line(result: MaterializeResult | AssetCheckResult) -> Text:
    if isinstance(result, MaterializeResult):
        version = "" if result.data_version is None else f", data version {one_line(result.data_version)}"
        return Text(f"{key_of(result)} materialized{version}", style="green")
    style = "green" if result.passed else "red" if is_red(result) else "yellow"
    return Text(
        f"check {in_line(result.check_name or '')} on {key_of(result)} {check_word(result)}",
        style=style,
    )


def observation_line(observation: AssetObservation) -> str:
    words = [f"{key_of(observation)} observed"]
    words += [] if observation.partition is None else [f"partition {one_line(observation.partition)}"]
    words += [] if observation.data_version is None else [f"data version {one_line(observation.data_version)}"]
    words += [f"{in_line(name)}={in_line(text)}" for name, text in observation.tags.items()]
    return ", ".join(words)


def metadata_grid(metadata: Mapping[str, metadata_values.MetadataValue]) -> list[RenderableType]:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for name, value in metadata.items():
        grid.add_row(Text(one_line(name, at_most=40), style="cyan"), metadata_value(value))
    return [grid] if metadata else []


def metadata_value(value: metadata_values.MetadataValue) -> RenderableType:
    """A metadata value at full length; of a table the first rows."""
    match value:
        case metadata_values.TableMetadataValue():
            names = [column.name for column in value.schema.columns[:_COLUMNS_SHOWN]]
            left_out = len(value.schema.columns) - len(names)
            table = plain_table([*names, *([f"… {left_out:,} more columns"] if left_out else [])])
            for record in value.records[:_ROWS_SHOWN]:
                table.add_row(*(Text(one_line(str(record.data.get(name, "")), at_most=40)) for name in names))
            if len(value.records) > _ROWS_SHOWN:
                table.add_row(Text(f"… {len(value.records) - _ROWS_SHOWN:,} more", style="dim"))
            return table
        case metadata_values.TableSchemaMetadataValue():
            return _schema(value.schema)
        case metadata_values.TableColumnLineageMetadataValue():
            table = plain_table(["column", "from"])
            for column, deps in value.column_lineage.deps_by_column.items():
                sources = listed(f"{dep.asset_key.to_user_string()}.{dep.column_name}" for dep in deps)
                table.add_row(Text(in_line(column)), Text(in_line(sources)))
            return table
        case metadata_values.MarkdownMetadataValue():
            return Text(visible(value.md_str))
        case metadata_values.JsonMetadataValue():
            short = as_json(value.data)
            text = Text(visible(short if len(short) <= 80 else as_json(value.data, indent=2)))
            if value.problem is not None:
                text.append(f"  (kept as JSON: {visible(value.problem)})", style="yellow")
            return text
        case _:
            return Text(briefly(value) if not isinstance(value.value, str) else visible(value.value))


def _schema(schema: TableSchema) -> Table:
    table = plain_table(["column", "type", "constraints", "description"])
    for column in schema.columns:
        constraints = [] if column.constraints.nullable else ["not null"]
        constraints += ["unique"] if column.constraints.unique else []
        words = (
            column.name,
            column.type,
            listed([*constraints, *column.constraints.other]),
            column.description or "",
        )
        table.add_row(*(Text(in_line(word)) for word in words))
    return table


def plain_table(columns: Iterable[str]) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim underline", pad_edge=False)
    for column in columns:
        table.add_column(Text(in_line(column)))
    return table


def log_style(level: str) -> str:
    return {"WARN": "yellow", "WARNING": "yellow", "ERROR": "red", "CRITICAL": "red", "FATAL": "red"}.get(
        level.upper(), ""
    )

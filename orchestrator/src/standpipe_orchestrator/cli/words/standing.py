"""How an invocation stands, where its work is, why it ended and what changed, as lines of the terminal.

The sentences are the server's; what an older one does not say is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime

from rich.text import Text

from standpipe_orchestrator.cli.words.text import (
    duration,
    instant,
    listed,
    local_time,
    one_line,
    seconds_between,
    visible,
)
from standpipe_orchestrator.reading.execution_errors import explained
from standpipe_protocol.invocation import Event, Invocation
from standpipe_protocol.json_text import JsonObject, JsonValue

_PLACES = {"platform": "", "job_id": "job ", "node": "node ", "image": "image ", "url": ""}
_SHOWN_ELSEWHERE = frozenset({"registered", "opened", "ended", "pinned", "unpinned"})
"""Events and the head of the invocation show these changes, or they are no part of the work."""
_STYLES = {"lease-expired": "yellow", "refused": "yellow", "cancel-requested": "yellow"}


def seconds_in(invocation: Invocation, name: str) -> float | None:
    """How long it was `queued`, `starting` or `running`; None where that is not known."""
    return next((_stage_seconds(stage) for stage in invocation.stages if stage.get("name") == name), None)


def place_lines(invocation: Invocation) -> Iterator[tuple[str, Text]]:
    """Lines with their names: where it is, and how long it waited and ran."""
    places = ((word, (invocation.platform or {}).get(name)) for name, word in _PLACES.items())
    if place := listed(f"{word}{one_line(value, at_most=200)}" for word, value in places if isinstance(value, str)):
        yield "Platform", Text(place)
    for stage in invocation.stages:
        since = "" if stage.get("end") else f" since {local_time(str(stage.get('begin')))[11:]}"
        yield str(stage.get("name")).capitalize(), Text(duration(_stage_seconds(stage))).append(since, style="dim")


def end_lines(invocation: Invocation) -> Iterator[tuple[str, Text]]:
    """Lines with their names: what the verdict rests on, the launcher's word, the reasons with what they explain, and
    what made nothing red."""
    if invocation.judge is not None:
        yield "Judged", Text(f"{visible(invocation.judge)}: no process reported, and none had to", style="yellow")
    if end := end_line(invocation, None):
        yield "Launcher", Text(end)
    why, left_open = explained(invocation)
    for name, style, reasons in (("Because", "yellow", why), ("Left undone", "dim", left_open)):
        for reason in reasons:
            yield name, Text(visible(reason.detail.strip()), style=style)
            for detail in reason.details:
                yield "", Text(f"explained by it: {visible(str(detail.get('detail', '')).strip())}", style="dim")
    for note in invocation.notes:
        yield "Note", Text(visible(str(note.get("detail", ""))), style="dim")


def end_line(invocation: Invocation, producer: str | None) -> str:
    """What a supervisor, or the launcher (None), said of the end, in one line; empty where it said nothing."""
    for end in invocation.ends:
        if end.get("producer") == producer:
            texts = (str(end.get(name, "")) for name in ("description", "detail"))
            return ": ".join(one_line(text, at_most=400) for text in texts if text)
    return ""


def change_words(change: Mapping[str, JsonValue]) -> str:
    """A change of state in one line, with the reason for it or the start of what was refused."""
    more = change.get("more")
    details = [more.get(name) for name in ("reason", "start", "verdict")] if isinstance(more, dict) else []
    texts = [change.get("description") or change.get("change"), *details]
    return ": ".join(one_line(text, at_most=200) for text in texts if isinstance(text, str) and text)


def with_changes(events: Iterable[Event], changes: Iterable[JsonObject]) -> Iterator[Event | Text]:
    """Events with lines for the changes between them, in the order of the server's clock."""
    lines = ((instant(str(one.get("at"))), _line(one)) for one in changes if one.get("change") not in _SHOWN_ELSEWHERE)
    waiting = next(lines, None)
    for event in events:
        received = instant(event.received_at)
        while waiting is not None and (waiting[0] is None or (received is not None and waiting[0] < received)):
            yield waiting[1]
            waiting = next(lines, None)
        yield event
    if waiting is not None:
        yield waiting[1]
    yield from (line for _, line in lines)


def _line(change: JsonObject) -> Text:
    when = local_time(str(change.get("at")))[11:]
    style = _STYLES.get(str(change.get("change")), "dim")
    return Text.assemble((f"       {when}  ", "dim"), (change_words(change), style))


def _stage_seconds(stage: Mapping[str, JsonValue]) -> float:
    end = str(stage.get("end") or datetime.now(UTC).isoformat())
    return max(0.0, seconds_between(str(stage.get("begin")), end) or 0.0)

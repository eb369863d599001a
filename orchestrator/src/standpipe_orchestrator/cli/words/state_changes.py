"""Changes of an invocation's state, in words: those of which no event tells. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from rich.text import Text

from standpipe_orchestrator.cli.words.launch_stages import place_words
from standpipe_orchestrator.cli.words.process_ends import attempt_number, end_words
from standpipe_orchestrator.cli.words.text import counted, instant, listed, local_time, one_line
from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonObject, JsonValue

_NAMED = 10
_TOLD_ELSEWHERE = frozenset({"registered", "opened", "ended", "pinned", "unpinned"})
"""Events and the head of the invocation tell of these, or they are no part of the work."""
_STYLES = {"lease-expired": "yellow", "refused": "yellow", "cancel-requested": "yellow"}


def among(events: Iterable[Event], changes: Iterable[JsonObject]) -> Iterator[Event | Text]:
    """Events with lines for the changes between them, in the order of the server's clock."""
    lines = ((instant(str(change.get("at"))), _line(change)) for change in changes if _is_told(change))
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


def change_words(change: str, detail: Mapping[str, JsonValue]) -> str:
    """`queued on slurm, job 4711`, `attempt 1 begins`, `superseded: 2 processes, a, b`, …"""
    reason = detail.get("reason")
    because = f": {one_line(reason, at_most=200)}" if isinstance(reason, str) and reason else ""
    match change:
        case "launch":
            return _launch_words(detail)
        case "attempt":
            named, number = detail.get("name"), attempt_number(detail.get("attempt"))
            return f"{one_line(named)} is attempt {number}" if isinstance(named, str) else f"attempt {number} begins"
        case "superseded":
            return _superseded_words(detail)
        case "finished":
            return f"the launcher says that it is over{f': {words}' if (words := end_words(detail)) else ''}"
        case "cancel-requested":
            return f"asked to stop{because}"
        case "lease-expired":
            return "the lease ran out"
        case "revived":
            return "heard of again, and running again"
        case "revised":
            return f"judged again: {one_line(str(detail.get('verdict')))}"
        case "refused":
            return _refused_words(detail)
        case "refusal-taken-back":
            standing = detail.get("standing")
            left = f", {standing} more are not" if isinstance(standing, int) and standing else ""
            return f"what had been refused is stored{left}"
        case _:
            return f"{one_line(change.replace('-', ' '))}{because}"


def _launch_words(detail: Mapping[str, JsonValue]) -> str:
    state = one_line(str(detail.get("state")))
    place = place_words(detail)
    attempt = f" (attempt {attempt_number(detail['attempt'])})" if "attempt" in detail else ""
    return f"{state}{attempt}{f': {place}' if place else ''}"


def _refused_words(detail: Mapping[str, JsonValue]) -> str:
    more, status, length = detail.get("more"), detail.get("status"), detail.get("length")
    if isinstance(more, int):
        return f"refused: {counted(more, 'more request')}"
    known = f" ({status})" if isinstance(status, int) else ""
    size = f", {counted(length, 'byte')}" if isinstance(length, int) else ""
    start = detail.get("start")
    begins = f": {one_line(start, at_most=200)}" if isinstance(start, str) and start else ""
    return f"a request was refused, {one_line(str(detail.get('problem')))}{known}{size}{begins}"


def _superseded_words(detail: Mapping[str, JsonValue]) -> str:
    producers, count = detail.get("producers"), detail.get("count")
    names = [one_line(str(name), at_most=40) for name in producers] if isinstance(producers, list) else []
    number = count if isinstance(count, int) else len(names)
    more = f" and {number - _NAMED} more" if number > _NAMED else ""
    return f"superseded by a newer attempt: {counted(number, 'process', 'processes')}, {listed(names[:_NAMED])}{more}"


def _is_told(change: JsonObject) -> bool:
    return str(change.get("change")) not in _TOLD_ELSEWHERE


def _line(change: JsonObject) -> Text:
    kind, detail = str(change.get("change")), change.get("detail")
    when = local_time(str(change.get("at")))[11:]
    words = change_words(kind, detail if isinstance(detail, dict) else {})
    return Text.assemble((f"       {when}  ", "dim"), (words, _STYLES.get(kind, "dim")))

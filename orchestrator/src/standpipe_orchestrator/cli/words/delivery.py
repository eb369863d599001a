"""What `standpipe show` says of the delivery: the receipt, how far the expected has come, who writes and who is silent.

Reads what the broker sends with the invocation; what an older or newer one leaves out is left out here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from rich.text import Text

from standpipe_orchestrator.cli.words.standing import end_line
from standpipe_orchestrator.cli.words.text import duration, listed, local_time, one_line, seconds_between, visible
from standpipe_protocol.invocation import Invocation
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.words import attempt_words, counted

_PRODUCERS_SHOWN = 40
_LISTED = 100
"""Producers that a server lists."""
_MISSING_SHOWN = 10


def delivery(invocation: Invocation) -> Iterator[tuple[str, Text]]:
    """Lines with their names, of which an empty one belongs to the line above it."""
    receipt = invocation.receipt or {}
    if isinstance(summary := receipt.get("summary"), str):
        yield "Receipt", Text(visible(summary), style="green" if receipt.get("whole") is True else "yellow")
    if invocation.expected_progress is not None:
        yield "Expected", _expected(invocation.expected_progress)
    # What a newer attempt has replaced comes last.
    producers = sorted(invocation.producers, key=_is_superseded)
    for number, producer in enumerate(producers[:_PRODUCERS_SHOWN]):
        yield "" if number else "Producers", _producer(producer, invocation)
    if (rest := len(invocation.producers) - _PRODUCERS_SHOWN) > 0:
        yield "", Text(f"… {rest} more", style="dim")


@dataclass(frozen=True, slots=True)
class SupersededProducers:
    """Those that belong to an older attempt: what they reported makes nothing red."""

    named: frozenset[str]
    current: frozenset[str] | None
    """Where not all are listed, those that count: all others are superseded."""

    def __contains__(self, producer: object) -> bool:
        return producer in self.named or (self.current is not None and producer not in self.current)


def superseded_producers(invocation: Invocation) -> SupersededProducers:
    """Of at most a hundred that are listed the superseded ones come last: with one of them all that count are known."""
    named = frozenset(str(one.get("producer")) for one in invocation.producers if _is_superseded(one))
    listed = frozenset(str(one.get("producer")) for one in invocation.producers)
    is_cut = len(invocation.producers) >= _LISTED and bool(named)
    return SupersededProducers(named, listed - named if is_cut else None)


def _expected(progress: Mapping[str, JsonValue]) -> Text:
    assets, checks = _members(progress, "asset_keys"), _members(progress, "checks")
    custom = _members(progress, "custom_messages")
    came = len(_list(assets, "reported")) + len(_list(checks, "reported"))
    missing = [str(key) for key in _list(assets, "missing")]
    missing += [
        f"check {check.get('check_name')} on {check.get('asset_key')}"
        for check in _list(checks, "missing")
        if isinstance(check, dict)
    ]
    reports = f"{came} of {counted(came + len(missing), 'report')}" if came or missing else ""
    reported, expected = custom.get("reported"), custom.get("expected")
    messages = f"{reported} of {expected} custom messages" if expected else ""
    text = Text(listed(filter(None, (reports, messages))), style="green" if progress.get("complete") is True else "")
    if missing:
        shown = listed(visible(name) for name in missing[:_MISSING_SHOWN])
        more = f" and {len(missing) - _MISSING_SHOWN} more" if len(missing) > _MISSING_SHOWN else ""
        text.append(f"; missing: {shown}{more}", style="yellow")
    return text


def _producer(producer: Mapping[str, JsonValue], invocation: Invocation) -> Text:
    ended = invocation.ended
    closed, opened = producer.get("closed") is True, producer.get("opened") is True
    state = "closed" if closed else "open" if opened else "not opened"
    process = _members(producer, "process")
    words = [f"{name.replace('_', ' ')} {one_line(str(value), at_most=40)}" for name, value in process.items()]
    words += _origin(producer)
    words += [state, f"{counted(_count(producer.get('stored')), 'message')} stored"]
    last = producer.get("last_word_at")
    if isinstance(last, str):
        silent = seconds_between(last, datetime.now(UTC).isoformat())
        ago = "" if ended or closed or silent is None else f", {duration(max(silent, 0))} ago"
        words.append(f"last word {local_time(last)[11:]}{ago}")
    if end := end_line(invocation, str(producer.get("producer"))):
        words.append(f"its process ended: {end}")
    name = one_line(str(producer.get("producer")), at_most=40)
    if _is_superseded(producer):
        return Text(f"{name}: superseded, {listed(words)}", style="dim")
    return Text(f"{name}: {listed(words)}", style="yellow" if opened and not closed and ended else "")


def _origin(producer: Mapping[str, JsonValue]) -> Iterator[str]:
    """Which attempt it belongs to, and whether it only watches over the work."""
    if producer.get("role") == "supervisor":
        yield "supervisor"
    name = producer.get("attempt_name")
    named = one_line(name, at_most=40) if isinstance(name, str) else ""
    if isinstance(attempt := producer.get("attempt"), list):
        yield f"attempt {attempt_words(attempt)}{f' ({named})' if named else ''}"
    elif named:
        yield f"attempt {named}"


def _is_superseded(producer: Mapping[str, JsonValue]) -> bool:
    return producer.get("superseded") is True


def _members(of: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    value = of.get(name)
    return value if isinstance(value, dict) else {}


def _list(of: Mapping[str, JsonValue], name: str) -> Sequence[JsonValue]:
    value = of.get(name)
    return value if isinstance(value, list) else ()


def _count(value: JsonValue) -> int:
    return value if isinstance(value, int) else 0

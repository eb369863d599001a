"""In what invocations differ: what they were told, what they reported, what their logs say.

Pure: invocations and events in, differences out. What differs between any two launches by nature (ids, the run's id,
times of day) is left out, and everything that is counted or kept has a bound.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias, cast

from standpipe_orchestrator.log_lines import LEVELS, LogLine, LogLines
from standpipe_protocol.invocation import Event, Invocation
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import (
    Closed,
    InvalidMessage,
    ReportAssetCheck,
    ReportAssetMaterialization,
    ReportCustomMessage,
    parse_message,
)
from standpipe_protocol.metadata import normalise_metadata

Path: TypeAlias = tuple[str, ...]

_GROUPS = (
    "verdict",
    "reason",
    "exception",
    "seconds",
    "context",
    "tags",
    "expected",
    "launcher",
    "materialization",
    "check",
    "custom message",
    "events",
)
"""What a path begins with, in the order in which one asks: what came out, what went in, what was reported."""

_MOST_FACTS, _MOST_TEMPLATES, _MOST_CUSTOM_MESSAGES = 100_000, 5_000, 100
_DEEPEST = 8
_TEMPLATE_CHARACTERS = 300
_VARIES = re.compile(
    r"(?P<id>\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b)"
    r"|(?P<time>\b\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:[.,]\d+)?)?(?:Z|[+-]\d\d:?\d\d)?)?"
    r"|\b\d\d:\d\d:\d\d(?:[.,]\d+)?\b)"
    r"|(?P<hex>\b0x[0-9a-f]+\b|\b(?=[0-9a-f]*\d)(?=\d*[a-f])[0-9a-f]{8,}\b)"
    r"|(?P<n>(?<![\w.])[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not the same in all of them.

    Attributes:
        path: what it is, from the general to the particular: `("context", "extras", "rate")`.
        values: of each invocation, in their order; None too where there is none.
        missing: the numbers of those that have none.
    """

    path: Path
    values: tuple[JsonValue, ...]
    missing: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TemplateDifference:
    """A kind of log line that some have and some have not.

    Attributes:
        level: of a log message; `stdout` or `stderr` for captured output.
        text: with `<n>`, `<time>`, `<hex>` and `<id>` for what varies from line to line.
        counts: how often, of each invocation.
    """

    level: str
    text: str
    counts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`whole` is false where an invocation had more than is compared."""

    differences: tuple[Difference, ...]
    log_templates: tuple[TemplateDifference, ...]
    whole: bool


@dataclass(slots=True)
class Side:
    """What is compared of one invocation; made by taking its events one after the other."""

    invocation: Invocation
    facts: dict[Path, JsonValue] = field(default_factory=dict[Path, JsonValue])
    templates: Counter[tuple[str, str]] = field(default_factory=Counter[tuple[str, str]])
    whole: bool = True
    _lines: LogLines = field(default_factory=LogLines)
    _custom_messages: int = 0

    @classmethod
    def of(cls, invocation: Invocation, events: Iterable[Event]) -> Side:
        side = cls(invocation)
        side._registered()
        for event in events:
            side._take(event)
        for line in side._lines.rest():
            side._log(line)
        return side

    def _registered(self) -> None:
        invocation = self.invocation
        self._fact(("verdict",), invocation.verdict or invocation.status)
        for reason in invocation.reasons:
            self.facts.setdefault(("reason", reason.code), reason.detail)
        if (seconds := _seconds(invocation)) is not None:
            self._fact(("seconds",), seconds)
        context = {name: value for name, value in invocation.context.items() if name != "run_id"}
        for name, value in (
            ("context", context),
            ("tags", dict(invocation.tags)),
            ("expected", dict(invocation.expected or {})),
            ("launcher", invocation.launcher),
        ):
            self._facts((name,), cast("JsonValue", value))

    def _take(self, event: Event) -> None:
        counted = ("events", "rejected" if event.rejected else event.method or "rejected")
        self._fact(counted, cast("int", self.facts.get(counted, 0)) + 1)
        if event.rejected or event.method in ("log", "log_external_stream"):
            for line in self._lines.take(event):
                self._log(line)
            return
        try:
            message = parse_message({"method": event.method, "params": event.params})
        except InvalidMessage:
            return
        match message:
            case ReportAssetMaterialization():
                path: Path = ("materialization", message.asset_key)
                self._fact(path, "reported")
                if message.data_version is not None:
                    self._fact((*path, "data_version"), message.data_version)
                self._metadata(path, message.metadata)
            case ReportAssetCheck():
                path = ("check", message.asset_key, message.check_name)
                failed = "failed (warning)" if message.severity == "WARN" else "failed"
                self._fact(path, "passed" if message.passed else failed)
                self._metadata(path, message.metadata)
            case ReportCustomMessage():
                self._custom_messages += 1
                if self._custom_messages <= _MOST_CUSTOM_MESSAGES:
                    self._facts(("custom message", str(self._custom_messages)), message.payload)
                else:
                    self.whole = False
            case Closed() if message.exception is not None:
                name = message.exception.name
                text = message.exception.message.strip()
                self._fact(("exception",), f"{name}: {text}" if name and not text.startswith(name) else text)
            case _:
                return

    def _metadata(self, path: Path, metadata: Mapping[str, JsonValue] | None) -> None:
        for name, entry in normalise_metadata(metadata).items():
            self._facts((*path, "metadata", name), entry.raw_value)

    def _facts(self, path: Path, value: JsonValue, *, depth: int = 0) -> None:
        parts = _parts(value) if depth < _DEEPEST else None
        if not parts:
            self._fact(path, value)
            return
        for name, part in parts.items():
            self._facts((*path, name), part, depth=depth + 1)

    def _fact(self, path: Path, value: JsonValue) -> None:
        if path in self.facts or len(self.facts) < _MOST_FACTS:
            self.facts[path] = value
        else:
            self.whole = False

    def _log(self, line: LogLine) -> None:
        key = (line.level or line.source, template(line.text))
        if key in self.templates or len(self.templates) < _MOST_TEMPLATES:
            self.templates[key] += 1
        else:
            self.whole = False


def compare(sides: Sequence[Side]) -> Comparison:
    """What is not the same on all sides, group by group and there in the order in which it is met."""
    return Comparison(
        differences=tuple(_differences(sides)),
        log_templates=tuple(sorted(_template_differences(sides), key=_weight)),
        whole=all(side.whole for side in sides),
    )


def template(text: str) -> str:
    """The first line of a log message, with what varies between lines of its kind replaced."""
    lines = text.strip().splitlines()
    return _VARIES.sub(lambda found: f"<{found.lastgroup}>", lines[0][:_TEMPLATE_CHARACTERS]) if lines else ""


def _differences(sides: Sequence[Side]) -> Iterator[Difference]:
    met = dict.fromkeys(path for side in sides for path in side.facts)
    for path in sorted(met, key=lambda path: _GROUPS.index(path[0])):
        values = tuple(side.facts.get(path) for side in sides)
        missing = tuple(number for number, side in enumerate(sides) if path not in side.facts)
        if missing or any(not _same(value, values[0]) for value in values):
            yield Difference(path, values, missing)


def _template_differences(sides: Sequence[Side]) -> Iterator[TemplateDifference]:
    for level, text in dict.fromkeys(key for side in sides for key in side.templates):
        counts = tuple(side.templates[level, text] for side in sides)
        if not all(counts):
            yield TemplateDifference(level, text, counts)


def _weight(difference: TemplateDifference) -> tuple[int, int]:
    """Severe ones first, then frequent ones."""
    level = LEVELS.index(difference.level) if difference.level in LEVELS else -1
    return -level, -max(difference.counts)


def _same(one: JsonValue, other: JsonValue) -> bool:
    # To Python 1 == True and 1 == 1.0; a switch that became a number is a difference, and 1.0 is not.
    return one == other and (isinstance(one, bool) is isinstance(other, bool))


def _parts(value: JsonValue) -> Mapping[str, JsonValue] | None:
    """What an object or a list of named objects (columns of a schema) is made of; None for what is one value."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list) and value:
        named = {
            item["name"]: cast("JsonValue", item)
            for item in value
            if isinstance(item, dict) and isinstance(item.get("name"), str)
        }
        return cast("Mapping[str, JsonValue]", named) if len(named) == len(value) else None
    return None


def _seconds(invocation: Invocation) -> float | None:
    start, end = invocation.opened_at or invocation.created_at, invocation.ended_at
    if start is None or end is None:
        return None
    return round((datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds(), 3)

"""Lines of a log, made of log messages and of captured output. Pure.

Captured output comes in pieces that end anywhere; a line is given when it is whole, and what is left at the end as it
is. Of a line that carriage returns have redrawn the last state is given, as a terminal shows it. The invariant: all
other text of all events comes out, each piece once and in its order within its stream.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from standpipe_protocol.invocation import Event
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.members import InvalidMessage
from standpipe_protocol.messages import Log, LogExternalStream, parse_message

Source: TypeAlias = Literal["log", "stdout", "stderr"]
SOURCES: tuple[Source, ...] = ("log", "stdout", "stderr")
LOG_METHODS = ("log", "log_external_stream")
LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_ALSO = {"WARN": "WARNING", "FATAL": "CRITICAL"}
_LONGEST = 64 * 1024
"""Characters of a line that has not ended after which it is given all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One line of captured output, or one log message, which may have several.

    Attributes:
        position: of the event that ended it.
        at: when it was sent, RFC 3339.
        level: of a log message, one of `LEVELS`; None for captured output.
        rejected: the message broke a rule, and this is as much of its text as there is.
    """

    position: int
    at: str
    producer: str
    source: Source
    level: str | None
    text: str
    rejected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LineSelection:
    """Which lines are shown. A level leaves out captured output, which has none."""

    sources: frozenset[Source] = frozenset(SOURCES)
    level: str | None = None
    text: str | None = None

    @property
    def methods(self) -> tuple[str, ...]:
        """The messages of which such lines are made."""
        if "log" not in self.sources:
            return ("log_external_stream",)
        return ("log",) if self.level is not None or len(self.sources) == 1 else LOG_METHODS

    @property
    def levels(self) -> tuple[str, ...] | None:
        return None if self.level is None else LEVELS[LEVELS.index(self.level) :]

    def __call__(self, line: LogLine) -> bool:
        if line.source not in self.sources:
            return False
        if self.level is not None and (line.level is None or LEVELS.index(line.level) < LEVELS.index(self.level)):
            return False
        return self.text is None or self.text.casefold() in line.text.casefold()


@dataclass(slots=True)
class LogLines:
    """Takes the events of an invocation one after the other."""

    _begun: dict[tuple[str, Source], LogLine] = field(default_factory=dict[tuple[str, Source], LogLine])

    def take(self, event: Event) -> Iterator[LogLine]:
        at = event.sent_at or event.received_at
        try:
            message = parse_message({"method": event.method, "params": event.params})
        except InvalidMessage:
            # As any rejected message it makes the verdict `failed`, so it is the one that must not be missing here.
            yield LogLine(
                position=event.position,
                at=at,
                producer=event.producer,
                source="log",
                level="ERROR",
                text=_text_of(event),
                rejected=True,
            )
            return
        match message:
            case Log():
                yield LogLine(
                    position=event.position,
                    at=at,
                    producer=event.producer,
                    source="log",
                    level=normal_level(message.level),
                    text=with_traceback(message.message, event.details),
                )
            case LogExternalStream():
                yield from self._captured(event, at, "stdout" if message.stream == "stdout" else "stderr", message.text)
            case _:
                return

    def rest(self) -> Iterator[LogLine]:
        """Lines that began and did not end."""
        yield from (replace(line, text=last_state(line.text)) for line in self._begun.values())
        self._begun.clear()

    def _captured(self, event: Event, at: str, source: Source, text: str) -> Iterator[LogLine]:
        key = (event.producer, source)
        begun = self._begun.pop(key, None)
        *whole, open_end = ((begun.text if begun is not None else "") + text).split("\n")

        def line(text: str) -> LogLine:
            return LogLine(
                position=event.position, at=at, producer=event.producer, source=source, level=None, text=text
            )

        for ended in whole:
            yield line(last_state(ended))
        open_end = last_state_so_far(open_end)
        if len(open_end) > _LONGEST:
            yield line(open_end)
        elif open_end:
            self._begun[key] = line(open_end)


def with_traceback(message: str, details: Mapping[str, JsonValue] | None) -> str:
    """What a log message says, with the exception and the stack that were logged with it."""
    parts = [message]
    for name in ("exception", "stack"):
        text = (details or {}).get(name)
        # A formatter of the sender's own may have written it into the message.
        if isinstance(text, str) and text.strip() and text.strip() not in message:
            parts.append(text.rstrip("\n"))
    return "\n".join(parts)


def normal_level(level: str) -> str:
    upper = level.upper()
    return _ALSO.get(upper, upper)


def _text_of(event: Event) -> str:
    params = event.params if isinstance(event.params, dict) else {}
    text = params.get("message", params.get("text"))
    return text if isinstance(text, str) else str((event.problem or {}).get("detail", ""))


def last_state(line: str) -> str:
    """What is left of one line, without the carriage returns at its end."""
    shown = line.rstrip("\r")
    return shown[shown.rfind("\r") + 1 :]


def last_state_so_far(line: str) -> str:
    """A line that has not ended without the states that are certainly over; what comes next may go on with it."""
    shown = line.rstrip("\r")
    return line[shown.rfind("\r") + 1 :]


def last_states(text: str) -> str:
    """The same of each line of a text."""
    return "\n".join(map(last_state, text.split("\n"))) if "\r" in text else text

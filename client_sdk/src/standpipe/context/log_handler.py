"""Logging: `context.log`, and `StandpipeHandler` for the program's own loggers.

A record holds objects of user code: message, arguments, extra fields. An object without a readable text loses neither
its siblings nor the line. The invariant: a record that was logged while sending is never reported, or each report would
make the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from standpipe.context import open_contexts
from standpipe.errors import DagsterPipesError
from standpipe.runtime.clock import rfc3339, utc_now
from standpipe.runtime.text import text_by, text_of
from standpipe.runtime.threads import in_sending_thread
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import Log

if TYPE_CHECKING:
    from standpipe.context.open_contexts import OpenContext

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_OWN_LOGGERS = "standpipe"
_STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_FORMATTER = logging.Formatter()
LONGEST_FIELD = 10_000
LONGEST_TRACE = 256 * 1024
LONGEST_MESSAGE = 64 * 1024 * 1024
"""More than any server takes: the outbox cuts a message to what its server does."""
MOST_FIELDS = 500
_LONGEST_INTEGER_BITS = 2000


class StandpipeHandler(logging.Handler):
    """Reports log records to the invocation of this process.

    ```python
    logging.getLogger().addHandler(StandpipeHandler(level=logging.INFO))
    ```

    Without `context` it uses the one of the task or thread that logs; one that belongs to none uses the only open one.
    While there is none, and after it is closed, records are left to the other handlers. So are those of threads that
    belong to none while several are open; the first of these is an error that says so.
    """

    def __init__(self, context: OpenContext | None = None, *, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._context = context
        self._has_warned = False

    def emit(self, record: logging.LogRecord) -> None:
        if _made_by_sending(record):
            return
        try:
            context = self._context or open_contexts.resolve("StandpipeHandler.emit")
            if context is None or context.is_closed:
                return
            context._send(self._message(record))  # pyright: ignore[reportPrivateUsage]  logs are the context's own
        except open_contexts.SeveralContexts:
            # Once: libraries log on threads of their own without end.
            if not self._has_warned:
                self._has_warned = True
                self.handleError(record)
        except Exception:
            self.handleError(record)

    def _message(self, record: logging.LogRecord) -> Log:
        return Log(message=self._text(record), level=nearest_level(record.levelno), details=_details(record))

    def _text(self, record: logging.LogRecord) -> str:
        try:
            text = self.format(record) if self.formatter else record.getMessage()
            if type(text) is str:
                return text
        except Exception as error:
            return _without_formatting(record, error)
        return text_of(text, most=LONGEST_MESSAGE)


class _ContextHandler(StandpipeHandler):
    """The handler of `context.log`: using it after the end is an error, as in Dagster."""

    def emit(self, record: logging.LogRecord) -> None:
        context = self._context
        if context is not None and context.is_closed:
            raise DagsterPipesError("Cannot send message after pipes context is closed.")
        super().emit(record)


def context_logger(context: OpenContext) -> logging.Logger:
    """A logger of its own, outside of the tree of loggers: its records go to the server and nowhere else."""
    logger = logging.Logger("standpipe")
    logger.addHandler(_ContextHandler(context))
    return logger


@lru_cache(maxsize=256)
def nearest_level(number: int) -> str:
    """The known level nearest to a number, the lower of two: 25 -> INFO, 35 -> WARNING, 5 -> DEBUG."""
    return min(LEVELS, key=lambda name: (abs(LEVELS[name] - number), LEVELS[name]))


def _made_by_sending(record: logging.LogRecord) -> bool:
    # By thread, not by name: what a program's own httpx calls log is the program's to report.
    return in_sending_thread() or text_of(record.name, most=20).startswith(f"{_OWN_LOGGERS}.")


def _details(record: logging.LogRecord) -> Mapping[str, JsonValue]:
    level = nearest_level(record.levelno)
    details: dict[str, JsonValue] = {
        "logger": _field(record.name),
        "time": _time(record),
        "thread": _field(record.threadName),
        "source": f"{_field(record.filename)}:{_field(record.lineno)}",
    }
    if record.levelname != level:
        details["level"] = _field(record.levelname)
    if (raised := record.exc_info) and raised[0] is not None:
        details["exception"] = text_by(lambda: _FORMATTER.formatException(raised), raised[1], most=LONGEST_TRACE)
    if record.stack_info:
        details["stack"] = text_of(record.stack_info, most=LONGEST_TRACE)
    extra = [name for name in record.__dict__ if name not in _STANDARD_FIELDS]
    if extra:
        fields = {text_of(name, most=LONGEST_FIELD): _field(record.__dict__[name]) for name in extra[:MOST_FIELDS]}
        details["fields"] = {name: fields[name] for name in sorted(fields)}
        if len(extra) > MOST_FIELDS:
            details["fields_left_out"] = len(extra) - MOST_FIELDS
    return details


def _field(value: object) -> JsonValue:
    """A field as JSON: plain values as they are, anything else as its text."""
    if value is None or isinstance(value, (bool, float)):
        return value
    if isinstance(value, int):
        # Readers and servers refuse very long ones, and with them the line.
        bits = int.bit_length(value)
        return value if bits <= _LONGEST_INTEGER_BITS else f"an integer of {bits} bits"
    return text_of(value, most=LONGEST_FIELD)


def _time(record: logging.LogRecord) -> str:
    try:
        return rfc3339(record.created)
    except (TypeError, ValueError, OverflowError, OSError):
        return utc_now()


def _without_formatting(record: logging.LogRecord, error: Exception) -> str:
    """The text of a message after formatting raised: its template, each argument by itself, and the error."""
    template = text_of(record.msg, most=LONGEST_MESSAGE)
    args: object = record.args
    arguments = args if isinstance(args, tuple) else (args,)
    listed = ", ".join(text_of(one, most=LONGEST_FIELD) for one in arguments[:MOST_FIELDS])
    return f"{template} (cannot be formatted: {type(error).__name__}; arguments: {listed or 'none'})"

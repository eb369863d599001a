"""Logging: `context.log`, and `StandpipeHandler` for everybody's own loggers.

The invariant: a record that was made while sending is never reported, or each report would make the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING

from standpipe import open_contexts
from standpipe.errors import DagsterPipesError
from standpipe.sender_threads import in_sender_thread
from standpipe.times import rfc3339
from standpipe_protocol.json_text import JsonValue
from standpipe_protocol.messages import Log

if TYPE_CHECKING:
    from standpipe.context import PipesContext

LEVELS = {"DEBUG": 10, "INFO": 20, "WARNING": 30, "ERROR": 40, "CRITICAL": 50}
_OWN_LOGGERS = "standpipe"
_STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}
_FORMATTER = logging.Formatter()
LONGEST_FIELD = 10_000


class StandpipeHandler(logging.Handler):
    """Reports log records to the invocation of this process.

    ```python
    logging.getLogger().addHandler(StandpipeHandler(level=logging.INFO))
    ```

    Without a context given it uses the one of the task or thread that logs, in one that belongs to none the only one
    that is open. While there is none, and after it was closed, records are left to the other handlers. So are those of
    threads that belong to none while several are open; the first of these is an error that says so.
    """

    def __init__(self, context: PipesContext | None = None, *, level: int | str = logging.NOTSET) -> None:
        super().__init__(level)
        self._context = context
        self._has_warned = False

    def emit(self, record: logging.LogRecord) -> None:
        if _made_by_sending(record):
            return
        try:
            context = self._context or open_contexts.answer("StandpipeHandler.emit")
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
        return Log(
            message=self.format(record) if self.formatter else record.getMessage(),
            level=nearest_level(record.levelno),
            details=_details(record),
        )


class _ContextHandler(StandpipeHandler):
    """The handler of `context.log`: using it after the end is a mistake that is told, as upstream does."""

    def emit(self, record: logging.LogRecord) -> None:
        context = self._context
        if context is not None and context.is_closed:
            raise DagsterPipesError("Cannot send message after pipes context is closed.")
        super().emit(record)


def context_logger(context: PipesContext) -> logging.Logger:
    """A logger of its own, outside of the tree of loggers: what it is given goes to the server and nowhere else."""
    logger = logging.Logger("standpipe")
    logger.addHandler(_ContextHandler(context))
    return logger


@lru_cache(maxsize=256)
def nearest_level(number: int) -> str:
    """The known level nearest to a number, the lower of two: 25 -> INFO, 35 -> WARNING, 5 -> DEBUG."""
    return min(LEVELS, key=lambda name: (abs(LEVELS[name] - number), LEVELS[name]))


def _made_by_sending(record: logging.LogRecord) -> bool:
    # By thread, not by name: what a program's own httpx calls log is the program's to report.
    return in_sender_thread() or record.name.startswith(f"{_OWN_LOGGERS}.")


def _details(record: logging.LogRecord) -> Mapping[str, JsonValue]:
    level = nearest_level(record.levelno)
    details: dict[str, JsonValue] = {
        "logger": record.name,
        "time": rfc3339(record.created),
        "thread": record.threadName,
        "source": f"{record.filename}:{record.lineno}",
    }
    if record.levelname != level:
        details["level"] = record.levelname
    if record.exc_info and record.exc_info[0] is not None:
        details["exception"] = _FORMATTER.formatException(record.exc_info)
    if record.stack_info:
        details["stack"] = record.stack_info
    if extra := record.__dict__.keys() - _STANDARD_FIELDS:
        details["fields"] = {name: _field(record.__dict__[name]) for name in sorted(extra)}
    return details


def _field(value: object) -> JsonValue:
    """A field as JSON: plain values as they are, anything else as its text."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)[:LONGEST_FIELD]

"""What each event means to the orchestrator: a result, a log record, a line to print. Runs on the reader's thread.

A rejected message is logged as a warning and makes no result. `EventReader` records what raises here: a result that
cannot be made is never passed over.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from standpipe_orchestrator.reading.forwarded_output import forward_text, print_error_line
from standpipe_orchestrator.reading.log_lines import with_traceback
from standpipe_orchestrator.reading.result_collection import ResultCollection
from standpipe_orchestrator.values.from_events import CUSTOM_MESSAGES, OBSERVATIONS, RESULTS, is_superseded, message_of
from standpipe_orchestrator.values.metadata_conversion import wrong_shapes
from standpipe_orchestrator.values.results import AssetObservation, PipesResult
from standpipe_protocol import messages
from standpipe_protocol.invocation import Event
from standpipe_protocol.members import InvalidMessage, PipesException

_LEVELS: Mapping[str, int] = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARN": logging.WARNING,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
    "FATAL": logging.CRITICAL,
}

_TAIL_CHARACTERS = 4096

_ASKED_FOR = frozenset({*RESULTS, *CUSTOM_MESSAGES, *OBSERVATIONS})
"""What callers ask for: one that cannot be read must not look as if it had not been reported."""


class EventDispatch:
    """Hands the events of one invocation on.

    Args:
        own_producer: of the launcher itself; what it captured was forwarded when it was captured.
        on_result: called with each result as it comes.
        on_opened: called once, when the first process has opened.
        cancelled: whether the work was asked to stop: then it is no error that it closes with an exception.

    Attributes:
        stderr_tail: the end of what was captured of the work's stderr.
        printed: whether output of the work, or a line about it, was forwarded, by the launcher or here.
    """

    def __init__(
        self,
        *,
        collected: ResultCollection,
        log: logging.Logger,
        own_producer: str,
        forward_stdio: bool,
        on_result: Callable[[PipesResult], None] | None = None,
        on_opened: Callable[[], None] = lambda: None,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._collected = collected
        self._log = log
        self._own_producer = own_producer
        self._forward_stdio = forward_stdio
        self._on_result = on_result
        self._on_opened = on_opened
        self._cancelled = cancelled
        self._opened = False
        self.stderr_tail = ""
        self.printed = False

    def handle(self, event: Event) -> None:
        if event.rejected:
            detail = (event.problem or {}).get("detail", "")
            self._write(
                logging.WARNING, "[pipes] message %d (%s) was rejected: %s", event.position, event.method, detail
            )
            return
        try:
            message = message_of(event)
        except InvalidMessage as error:
            if event.method in _ASKED_FOR:
                raise
            # A later server's method, or a parameter that this version does not know how to read.
            self._write(logging.WARNING, "[pipes] event %d cannot be read by this version: %s", event.position, error)
            return
        match message:
            case (
                messages.ReportAssetMaterialization()
                | messages.ReportAssetCheck()
                | messages.ReportAssetObservation()
                | messages.ReportCustomMessage()
            ):
                made = self._collected.add(event, message)
                if made is not None:
                    self._warn_of_wrong_shapes(event, made)
                if isinstance(made, PipesResult):
                    self._notify(made)
            case messages.Log():
                if event.producer != self._own_producer:
                    text = with_traceback(message.message, event.details)
                    self._write(_LEVELS[message.level.upper()], "%s", text)
            case messages.LogExternalStream():
                if message.stream == "stderr":
                    self.stderr_tail = (self.stderr_tail + message.text)[-_TAIL_CHARACTERS:]
                self.printed = self.printed or self._forward_stdio
                if self._forward_stdio and event.producer != self._own_producer:
                    forward_text(message.stream, message.text)
            case messages.Opened():
                # A supervisor is not the work: it only reports how that ended.
                if not self._opened and message.extras.get("role") != "supervisor":
                    self._opened = True
                    self._on_opened()
                    self._write(logging.INFO, "[pipes] external process successfully opened dagster pipes.")
            case messages.Closed(exception=PipesException() as exception):
                level = logging.INFO if self._cancelled() or is_superseded(event) else logging.ERROR
                self._write(level, "[pipes] external process pipes closed with exception\n%s", _traceback(exception))
            case messages.Closed():
                self._write(logging.DEBUG, "[pipes] external process closed pipes.")
            case messages.ReportProcessEnd():
                end = ", ".join(f"{name} {value}" for name, value in message.described().items())
                self._write(logging.INFO, "[pipes] the supervisor of the external process reported its end: %s", end)

    def _warn_of_wrong_shapes(self, event: Event, result: PipesResult | AssetObservation) -> None:
        for name, problem in wrong_shapes(result.metadata).items():
            self._write(
                logging.WARNING,
                "[pipes] metadata value %r of message %d (%s) is kept as JSON: %s",
                name,
                event.position,
                event.method,
                problem,
            )

    def _write(self, level: int, message: str, *args: object) -> None:
        """Logs. Where no handler is set, Python would print warnings itself, and wait for the terminal."""
        if self._log.hasHandlers() or self._log.filters or type(self._log) is not logging.Logger:
            self._log.log(level, message, *args)
        elif level >= logging.WARNING and self._log.isEnabledFor(level):
            self.printed = True
            print_error_line(message % args if args else message)

    def _notify(self, result: PipesResult) -> None:
        if self._on_result is not None:
            try:
                self._on_result(result)
            except Exception:
                # The result is collected already; a callback that only watches must not stop the reading.
                self._log.exception("[pipes] the context's `result_reported` failed for %r", result)


def _traceback(exception: PipesException) -> str:
    """The exception as Python prints it: the cause first."""
    parts: list[str] = []
    if exception.cause is not None:
        parts += [_traceback(exception.cause), "The above exception was the direct cause of the following exception:\n"]
    elif exception.context is not None:
        parts += [
            _traceback(exception.context),
            "During handling of the above exception, another exception occurred:\n",
        ]
    parts += ["".join(exception.stack) + exception.message.rstrip("\n") + "\n"]
    return "\n".join(parts)

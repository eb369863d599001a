"""What a run looks like while it runs: what started, what was reported, which checks are green, how long it took."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import traceback
from collections.abc import Generator, Sequence
from datetime import UTC, datetime
from itertools import cycle

from rich.console import Console
from rich.text import Text

from standpipe_orchestrator import definitions
from standpipe_orchestrator.cli.launching.live_screen import Screen
from standpipe_orchestrator.cli.launching.platform_watch import LaunchWatch
from standpipe_orchestrator.cli.words.text import (
    check_word,
    duration,
    in_line,
    key_of,
    metadata_line,
    one_line,
    seconds_between,
    visible,
)
from standpipe_orchestrator.errors import StandpipeError
from standpipe_orchestrator.reading.execution_errors import PipesExecutionError
from standpipe_orchestrator.values.metadata_conversion import wrong_shapes
from standpipe_orchestrator.values.results import AssetCheckResult, MaterializeResult, is_red
from standpipe_protocol.words import counted

_UNICODE = {"run": "▶", "made": "◆", "ok": "✔", "bad": "✘", "warn": "▲", "skip": "○", "dot": "·"}
_ASCII = {"run": ">", "made": "*", "ok": "+", "bad": "x", "warn": "!", "skip": "-", "dot": "|"}
_COLOURS = {"run": "bold cyan", "made": "green", "ok": "green", "bad": "bold red", "warn": "yellow", "skip": "dim"}
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


class Progress:
    """Shows a run's events as they come. May be called from any thread.

    Args:
        title: what runs, for the first line.
        console: where to; stderr by default.
    """

    def __init__(self, *, title: str, console: Console | None = None) -> None:
        self.screen = Screen(status=self._status, console=console)
        self._watch = LaunchWatch(tell=lambda words: self._line("", f"  {words}", "dim"))
        self._ascii = self.screen.console.options.ascii_only
        self._marks = _ASCII if self._ascii else _UNICODE
        self._spinner = cycle("|/-\\" if self._ascii else _SPINNER)
        self._title = title
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._running: tuple[str, float] | None = None
        self._errors_before = 0
        self._steps = 0
        self._ended: list[definitions.StepOutcome] = []
        self._wrong_shapes = False
        self._shown_results: set[tuple[str, object, str]] = set()

    def __call__(self, event: definitions.RunEvent) -> None:
        match event:
            case definitions.RunStarted():
                self._steps = len(event.plan.steps)
                slice_ = "" if event.plan.partition_key is None else f", partition {in_line(event.plan.partition_key)}"
                self._line("", f"Run {event.run_id} of {self._title}{slice_}: {counted(self._steps, 'step')}", "bold")
            case definitions.StepStarted():
                self._running = (event.step, time.monotonic())
                self._errors_before = self.screen.errors_forwarded
                self._line("run", in_line(event.step), "bold")
            case definitions.InvocationRegistered():
                self._line("", f"  {event.invocation_id}", "dim")
                self._watch.begin(event.invocation_id)
            case definitions.Reported():
                with self._lock:
                    self._shown_results.add(_result_key(event))
                self._result(event.result)
            case definitions.Recorded():
                # What was reported has been shown when it came.
                with self._lock:
                    shown = _result_key(event) in self._shown_results
                if not shown:
                    self._result(event.result)
            case definitions.StepEnded():
                self._running = None
                with self._lock:
                    self._shown_results.clear()
                self._watch.end()
                self._step_ended(event.outcome)
            case _:
                pass

    def _result(self, result: MaterializeResult | AssetCheckResult) -> None:
        if isinstance(result, MaterializeResult):
            note = " (nothing reported)" if result.implicit else ""
            mark, text = "made", f"{key_of(result)} materialized{note}"
        else:
            mark = "ok" if result.passed else "bad" if is_red(result) else "warn"
            text = f"{_check(result)} {check_word(result)}"
        self._wrong_shapes = self._wrong_shapes or bool(wrong_shapes(result.metadata))
        described = metadata_line(result.metadata, columns=self.screen.columns_after(f"  {mark[0]} {text}  "))
        self._line(mark, text, tail=f"  {described}" if described else "", indent=2)

    def _step_ended(self, outcome: definitions.StepOutcome) -> None:
        self._ended.append(outcome)
        match outcome.status:
            case "succeeded":
                self._line("ok", in_line(outcome.name), tail=f"  {duration(outcome.seconds)}")
            case "skipped":
                self._line("skip", f"{in_line(outcome.name)} skipped: {visible(outcome.reason or '')}")
            case "failed":
                self._line("bad", f"{in_line(outcome.name)} failed", tail=f"  {duration(outcome.seconds)}")
                stderr_shown = self.screen.errors_forwarded > self._errors_before
                for line in _explained(outcome.error, without_stderr=stderr_shown):
                    self._line("", f"  {visible(line)}", "red")

    @contextlib.contextmanager
    def running(self) -> Generator[None]:
        """While the block runs the changing line is kept up to date, and platforms are asked about."""
        with self.screen.running():
            try:
                yield
            finally:
                self._watch.close()

    def summary(self, *, interrupted: bool = False) -> None:
        """The last lines: how it ended, what is red, how long it took, where to look."""
        outcomes = self._ended
        checks = [check for outcome in outcomes for check in outcome.checks]
        red, yellow = [c for c in checks if is_red(c)], [c for c in checks if not c.passed and not is_red(c)]
        failed = [outcome for outcome in outcomes if outcome.status == "failed"]
        skipped = [outcome for outcome in outcomes if outcome.status == "skipped" and not outcome.excused]
        excused = [outcome for outcome in outcomes if outcome.excused]
        parts = [
            f"{sum(outcome.status == 'succeeded' for outcome in outcomes)} of {counted(self._steps, 'step')}"
            + (f" ({len(excused)} did not have to run)" if excused else ""),
            counted(sum(len(outcome.materializations) for outcome in outcomes), "asset") + " materialized",
        ]
        if checks:
            parts.append(f"{sum(check.passed for check in checks)} of {counted(len(checks), 'check')} passed")
        parts.append(duration(time.monotonic() - self._began))
        for outcome in failed:
            self._line("bad", f"{in_line(outcome.name)}: {one_line(_first_line(outcome.reason), at_most=160)}")
        for check in red:
            self._line("bad", f"{_check(check)} failed")
        if interrupted:
            mark, word = "bad", "Interrupted"
        elif failed or skipped or red:
            mark, word = "bad", "Not green"
        else:
            mark, word = "ok", "Green, with a warning" if yellow or self._wrong_shapes else "All green"
        dot = f" {self._marks['dot']} "
        self._line(mark, f"{word}: {dot.join(parts)}", _COLOURS[mark])
        self.screen.flush()

    def log(self, record: logging.LogRecord) -> None:
        """A log record of a step, or of its external process."""
        style = "red" if record.levelno >= logging.ERROR else "yellow" if record.levelno >= logging.WARNING else "dim"
        text = record.getMessage()
        if record.exc_info and record.exc_info[0] is not None:
            text += "\n" + "".join(traceback.format_exception(*record.exc_info))
        first, *more = visible(text).splitlines() or [""]
        self._line("", f"  {record.levelname.lower()}: {first}", style)
        for line in more:
            self._line("", f"    {line}", style)

    def handler(self) -> logging.Handler:
        """A log handler that shows records here."""
        return _ProgressHandler(self)

    def _line(self, mark: str, text: str, style: str = "", *, tail: str = "", indent: int = 0) -> None:
        line = Text(" " * indent)
        if mark:
            line.append(f"{self._marks[mark]} ", style=_COLOURS[mark])
        line.append(text, style=style).append(tail, style="dim")
        self.screen.line(line)

    def _status(self) -> Text | None:
        running = self._running
        if running is None:
            return None
        step, since = running
        total = duration(time.monotonic() - self._began)
        took, stage = f"  {duration(time.monotonic() - since)}", self._watch.stage
        if stage is not None:
            waited = seconds_between(stage.since, datetime.now(UTC).isoformat())
            took = f"  {stage.state}" if waited is None else f"  {stage.state} {duration(max(waited, 0.0))}"
        return Text.assemble(
            (f"{next(self._spinner)} ", "cyan"),
            f"{in_line(step)}{took}",
            (f"   step {min(len(self._ended) + 1, self._steps)} of {self._steps}, {total} in all", "dim"),
        )


class _ProgressHandler(logging.Handler):
    def __init__(self, progress: Progress) -> None:
        super().__init__()
        self._progress = progress

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._progress.log(record)
        except Exception:
            self.handleError(record)


def run_logger() -> logging.Logger:
    return logging.getLogger(definitions.RUN_LOGGER)


def _result_key(event: definitions.Reported | definitions.Recorded) -> tuple[str, object, str]:
    result = event.result
    return event.step, result.asset_key, (result.check_name or "") if isinstance(result, AssetCheckResult) else ""


def _check(result: AssetCheckResult) -> str:
    return f"check {in_line(result.check_name or '')} on {key_of(result)}"


def _first_line(text: str | None) -> str:
    return (text or "").partition("\n")[0].rstrip(":")


def _explained(error: BaseException | None, *, without_stderr: bool) -> Sequence[str]:
    """An error of this project is a sentence; of any other error the frames of the user's own code are shown.

    Args:
        error: what the step raised.
        without_stderr: the external process's stderr stands above already.
    """
    if error is None:
        return []
    if isinstance(error, PipesExecutionError) and without_stderr and error.stderr_tail.strip():
        return str(error).removesuffix(f"The end of its stderr:\n{error.stderr_tail.strip()}").splitlines()
    if isinstance(error, StandpipeError):
        return str(error).splitlines()
    return own_frames(error).splitlines()


def own_frames(error: BaseException) -> str:
    """A traceback without the frames of this package, and of the import machinery by which it loads a file."""
    package = __name__.partition(".")[0]
    shown = traceback.TracebackException.from_exception(error)
    own = [frame for frame in shown.stack if package not in frame.filename and "importlib" not in frame.filename]
    if own or isinstance(error, SyntaxError):
        # A syntax error says itself where it is.
        shown.stack = traceback.StackSummary.from_list(own)
    return "".join(shown.format())

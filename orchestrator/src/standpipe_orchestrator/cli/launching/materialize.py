"""`standpipe materialize FILE`: runs the definitions of a file and says with its exit code whether all is green.

0: every step succeeded and no check of severity ERROR failed. 1: something is not green. 2: the command, the file, the
selection or the partition is not as it must be, and nothing ran. 130: interrupted (143: told to
terminate, 129: its terminal was closed).
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from types import FrameType

from standpipe_orchestrator.cli.launching.step_progress import Progress, own_frames, run_logger
from standpipe_orchestrator.cli.words.text import visible
from standpipe_orchestrator.definitions import Definitions, materialize
from standpipe_orchestrator.definitions.files import load_definitions
from standpipe_orchestrator.errors import DefinitionError

GREEN, NOT_GREEN, USAGE, INTERRUPTED = 0, 1, 2, 130


class _Stopped(KeyboardInterrupt):
    """SIGTERM or SIGHUP, taken like Ctrl-C: steps stop their external processes, and nothing is left running."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Runs the assets and checks of a file of definitions, in dependency order."
    parser.epilog = (
        "Selection: KEY, +KEY (and what is directly upstream), KEY+ (downstream), *KEY and KEY* (all of it), "
        "group:NAME, several with commas."
    )
    parser.add_argument("file", metavar="FILE", type=Path, help="a Python file that holds one Definitions")
    parser.add_argument(
        "--select", metavar="SELECTION", action="append", help="run these assets only, and their checks"
    )
    parser.add_argument("--partition", metavar="KEY", help="the slice that partitioned assets make")
    parser.add_argument(
        "--run-id",
        metavar="ID",
        type=_run_id,
        help="the run's id: the same again takes up launches that have keys of it",
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="show debug messages too")


def run(args: argparse.Namespace) -> int:
    file: Path = args.file
    try:
        definitions = load_definitions(file)
    except DefinitionError as error:
        return _complain(str(error))
    except Exception as error:
        return _complain(f"{str(file)!r} could not be loaded:\n{own_frames(error)}")
    with _signals_interrupt():
        return _materialize(definitions, args)


def _run_id(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a run's id, got an empty text")
    return text


def _materialize(definitions: Definitions, args: argparse.Namespace) -> int:
    file: Path = args.file
    progress = Progress(title=visible(file.name))
    green: bool | None = None
    try:
        with progress.running(), _logs_to(progress, verbose=args.verbose):
            result = materialize(
                definitions,
                selection=args.select,
                partition_key=args.partition,
                raise_on_error=False,
                run_id=args.run_id,
                job_name=file.stem,
                on_event=progress,
            )
            green = result.success
    except DefinitionError as error:
        return _complain(str(error))
    except KeyboardInterrupt as interrupt:
        # The terminal may be what has gone.
        with contextlib.suppress(OSError):
            progress.summary(interrupted=True)
        return interrupt.exit_code if isinstance(interrupt, _Stopped) else INTERRUPTED
    progress.summary()
    return GREEN if green else NOT_GREEN


def _complain(sentence: str) -> int:
    print(f"standpipe materialize: {visible(sentence)}", file=sys.stderr)  # noqa: T201
    return USAGE


@contextlib.contextmanager
def _logs_to(progress: Progress, *, verbose: bool) -> Generator[None]:
    logger, handler = run_logger(), progress.handler()
    if not verbose:
        # That a process opened and closed goes without saying here.
        handler.addFilter(lambda record: record.levelno >= logging.WARNING or not _of_pipes(record))
    before = (logger.level, logger.propagate)
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


def _of_pipes(record: logging.LogRecord) -> bool:
    return record.getMessage().startswith("[pipes] ")


@contextlib.contextmanager
def _signals_interrupt() -> Generator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped(number)

    numbers = [signal.SIGTERM]
    # `nohup` has it ignored, and means it. Windows has none.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) == signal.SIG_DFL:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""`standpipe deliver`: sends what processes could not deliver from their spool files, and prints each outcome."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from standpipe.runtime import clock
from standpipe.spool.delivery import DEFAULT_TRIES, FileOutcome, deliver_file, numbers, waiting_files
from standpipe.spool.marks import tidy_marks
from standpipe.spool.set_aside import SET_ASIDE_DAYS, set_aside_files, tidy
from standpipe.spool.spool_file import spool_folder

help = "deliver what processes on this machine could not, from their spool files"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "spool", nargs="*", type=Path, help="spool files, or folders of them (default: those of this home)"
    )
    parser.add_argument("--list", action="store_true", help="say which files wait or were set aside, send nothing")
    parser.add_argument(
        "--tries", type=int, default=DEFAULT_TRIES, help="tries in a row before a server is given up (default: 5)"
    )


def run(arguments: argparse.Namespace) -> int:
    """Exit code 0 when everything is delivered, 1 when something is not."""
    folder = spool_folder(os.environ)
    paths: Sequence[Path] = arguments.spool
    files = [file for path in paths for file in (waiting_files(path) if path.is_dir() else [path])]
    if not paths:
        files = waiting_files(folder)
    if arguments.list:
        sys.stdout.writelines(f"{path} ({path.stat().st_size} bytes)\n" for path in files)
        sys.stdout.writelines(f"{path} was set aside: {reason}\n" for path, reason in set_aside_files(folder))
        return 0
    if not paths:
        tidy_marks(environment=os.environ, now=clock.wall())
        for path in tidy(folder, now=clock.wall()):
            sys.stderr.write(f"{path}: was set aside {SET_ASIDE_DAYS} days ago or longer, and is deleted.\n")
    left = 0
    for path in files:
        outcome = deliver_file(path, environment=os.environ, tries=arguments.tries)
        _print(outcome)
        left += outcome.error is not None
    if not files:
        sys.stdout.write(f"Nothing waits in {folder}.\n")
    return 1 if left else 0


def _print(outcome: FileOutcome) -> None:
    rejected = f", {len(outcome.rejected)} of them rejected" if outcome.rejected else ""
    noted = f" (with a note in the place of {numbers(outcome.damaged)})" if outcome.damaged else ""
    sys.stdout.write(f"{outcome.path.name}: {outcome.delivered} messages delivered{rejected}{noted}\n")
    if outcome.torn:
        sys.stderr.write(f"{outcome.path}: the last message was cut when its process was killed; it is lost.\n")
    if outcome.error is not None:
        where = f" The file is now {outcome.set_aside}." if outcome.set_aside is not None else ""
        sys.stderr.write(f"{outcome.path}: {outcome.error.rstrip('.')}.{where}\n")

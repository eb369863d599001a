"""`standpipe import FILE`: stores an exported invocation as a new one, and says where the verdict differs.

0: the broker says of it what the first one said. 1: it says something else, or the import failed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console
from rich.text import Text

from standpipe_orchestrator.archives.archive_import import import_archive
from standpipe_orchestrator.cli.command_line.answering import print_json, state
from standpipe_orchestrator.cli.command_line.arguments import add_json
from standpipe_orchestrator.cli.words.text import visible
from standpipe_orchestrator.client.archive_operations import ArchiveReader
from standpipe_orchestrator.client.broker_client import BrokerClient


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Stores an exported invocation as a new one; the broker judges it anew."
    parser.epilog = "The same file again goes on where an import was interrupted, and stores nothing twice."
    parser.add_argument("file", metavar="FILE", help="what `standpipe export` wrote; - for stdin")
    add_json(parser, "the new invocation, as one line")


@contextmanager
def _lines(file: str) -> Generator[TextIO]:
    if file == "-":
        yield sys.stdin
        return
    with Path(file).open(encoding="utf-8") as lines:
        yield lines


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    try:
        with _lines(args.file) as lines:
            imported = import_archive(client.archives, ArchiveReader(lines, name=args.file))
    except (OSError, UnicodeDecodeError) as error:
        print(f"standpipe import: {visible(str(error))}", file=sys.stderr)  # noqa: T201
        return 1
    if args.json:
        print_json(console, client.invocations.get(imported.invocation.id, mask=True))
    else:
        console.print(Text.assemble(visible(imported.invocation.id), "  ", state(imported.invocation)), soft_wrap=True)
    for difference in imported.differences:
        print(f"standpipe import: {visible(difference)}", file=sys.stderr)  # noqa: T201
    return 1 if imported.differences else 0

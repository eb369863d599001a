"""`standpipe export ID`: one invocation with everything that was reported, as lines of JSON for a file."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from standpipe_orchestrator.cli.command_line.arguments import add_id
from standpipe_orchestrator.cli.words.text import visible
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.sessions.opening import find_invocation
from standpipe_protocol.json_text import encode_json


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Writes one invocation, its events and its history, as lines of JSON."
    parser.epilog = "`standpipe import` stores it on another server, `standpipe replay` rebuilds its results."
    add_id(parser, help="the invocation's id or key")
    parser.add_argument("-o", "--output", metavar="FILE", type=Path, help="write to this file, not to stdout")


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    invocation = find_invocation(client, args.id)
    try:
        with _target(args.output) as write:
            for line in client.archives.export(invocation.id):
                write(encode_json(line) + b"\n")
    except BrokenPipeError:
        raise
    except OSError as error:
        print(f"standpipe export: {visible(str(error))}", file=sys.stderr)  # noqa: T201
        return 1
    return 0


@contextmanager
def _target(path: Path | None) -> Generator[Callable[[bytes], object]]:
    if path is None:
        yield sys.stdout.buffer.write
        sys.stdout.buffer.flush()
        return
    # Under its name it is whole, or not there.
    part = path.with_name(path.name + ".part")
    try:
        with part.open("wb") as file:
            yield file.write
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)

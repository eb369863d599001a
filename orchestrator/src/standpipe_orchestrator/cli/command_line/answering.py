"""What the verbs that ask a broker share: the broker, the console to answer on, the words for how something stands."""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Protocol, cast

from rich.console import Console
from rich.text import Text

from standpipe_orchestrator.cli.words.standing import seconds_in
from standpipe_orchestrator.cli.words.text import in_line, seconds_between, visible
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.client.discovery import default_client, find_broker
from standpipe_orchestrator.errors import BrokerNotFound, StandpipeError
from standpipe_protocol.invocation import STATUSES, Invocation

_COLOURS = {
    "succeeded": "green",
    "failed": "red",
    "check-failed": "red",
    "running": "cyan",
    "registered": "dim",
    "submitted": "blue",
    "queued": "blue",
    "starting": "cyan",
}
_WIDE = 240
"""Columns where stdout is no terminal: what reads it wants whole values."""


class Verb(Protocol):
    """A module of a verb that the broker answers."""

    __name__: str

    def answer(self, client: BrokerClient, console: Console, args: argparse.Namespace) -> int: ...


def answer_with_broker(verb: Verb, args: argparse.Namespace) -> int:
    """Runs a verb that the broker answers. Exit code 2: its arguments do not fit together."""
    name = verb.__name__.rpartition(".")[2].rstrip("_")
    misuse: Callable[[argparse.Namespace], str | None] = getattr(verb, "misuse", lambda _: None)
    if (complaint := misuse(args)) is not None:
        print(f"standpipe {name}: {complaint}", file=sys.stderr)  # noqa: T201
        return 2
    return answer_on_console(name, lambda console: verb.answer(default_client(), console, args))


def answer_on_console(verb: str, answer: Callable[[Console], int]) -> int:
    """Runs a verb; what goes wrong is a sentence on stderr and exit code 1."""
    # A terminal that cannot show a character shows its escape instead of ending the command.
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]  asked just above
    if sys.stdout.isatty():
        console: Console = _Console(highlight=False)
    else:
        console = _Console(highlight=False, width=_WIDE, file=cast("IO[str]", _WithoutPadding(sys.stdout)))
    try:
        return answer(console)
    except StandpipeError as error:
        print(f"standpipe {verb}: {visible(str(error))}", file=sys.stderr)  # noqa: T201
        return 1
    except BrokenPipeError:
        # `standpipe ls | head`: the reader has seen enough. Python must not complain at exit either.
        sys.stdout = None
        return 0
    except KeyboardInterrupt:
        return 130


@contextmanager
def broker_at_hand() -> Generator[BrokerClient]:
    """The broker that runs already, asked once: for completion and progress, which start nothing.

    Raises:
        BrokerNotFound: none does.
    """
    credentials = find_broker()
    if credentials is None:
        raise BrokerNotFound("No broker runs, so there is nothing to suggest.")
    with BrokerClient(credentials.url, api_key=credentials.api_key, retry_seconds=0.0) as client:
        yield client


class _Console(Console):
    """A console that raises when its reader has gone; rich would end the process with 1."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


class _WithoutPadding:
    """A text stream that leaves out the spaces at the ends of lines, which rich fills up to the width."""

    def __init__(self, target: IO[str]) -> None:
        self._target = target

    def write(self, text: str) -> int:
        return self._target.write(re.sub(r" +$", "", text, flags=re.MULTILINE))

    def flush(self) -> None:
        self._target.flush()


def print_json(console: Console, value: object) -> None:
    """One line of JSON; dataclasses by their members."""
    members = dataclasses.asdict(value) if dataclasses.is_dataclass(value) and not isinstance(value, type) else value
    console.out(json.dumps(members, default=str), highlight=False)


def state(invocation: Invocation) -> Text:
    """The badge (the worst of verdict and checks) with who judged, or how far it is where there is no verdict yet."""
    word = _word(invocation)
    text = Text(word, style=_COLOURS.get(word, "yellow"))
    if invocation.judge:
        text.append(f" · {visible(invocation.judge)}", style="yellow")
    return text


def brief_state(invocation: Invocation) -> Text:
    """The state where there is little room: a star stands for a verdict that the launcher's word alone is."""
    word = _word(invocation)
    mark = "*" if invocation.judged_by is not None else ""
    return Text(word + mark, style=_COLOURS.get(word, "yellow"))


def standing(invocation: Invocation) -> str:
    """The same as plain words."""
    return state(invocation).plain


def _word(invocation: Invocation) -> str:
    badge = invocation.badge if invocation.badge not in STATUSES else None
    waiting = invocation.waiting
    if waiting == "running":
        waiting = "running" if invocation.pipes == "optional" else "not opened"
    return visible(badge or invocation.verdict or waiting or invocation.status)


def asset_keys(invocation: Invocation) -> list[str]:
    keys = invocation.context.get("asset_keys")
    return [in_line(str(key)) for key in keys] if isinstance(keys, list) else []


def context_text(invocation: Invocation, name: str) -> str:
    value = invocation.context.get(name)
    return "" if value is None else in_line(str(value))


def run_seconds(invocation: Invocation) -> float | None:
    """How long it ran, to the end or to now; where its launcher did not report that, from the registration on."""
    if invocation.platform is not None:
        return seconds_in(invocation, "running")
    end = invocation.ended_at or (None if invocation.ended else datetime.now(UTC).isoformat())
    return seconds_between(invocation.created_at, end)

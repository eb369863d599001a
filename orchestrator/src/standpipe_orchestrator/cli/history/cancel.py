"""`standpipe cancel ID…`: asks external processes to stop, and with `--wait` sees how they end.

0: each was asked (and with `--wait` has ended). 1: one was not there, had ended before, or runs on.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from standpipe_orchestrator.cli.command_line.answering import print_json, standing, state
from standpipe_orchestrator.cli.command_line.arguments import add_id, add_json, seconds
from standpipe_orchestrator.cli.words.text import visible
from standpipe_orchestrator.client.broker_client import BrokerClient
from standpipe_orchestrator.errors import BrokerUnreachable, StandpipeError, Unauthorized
from standpipe_protocol.invocation import Invocation


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Asks the processes of invocations to stop. They hear it with their next report or heartbeat."
    add_id(parser, several=True)
    parser.add_argument("--reason", metavar="WORDS", help="why; kept in the history of each")
    parser.add_argument(
        "--wait", type=seconds, metavar="SECONDS", help="wait so long for them to end, and say with which verdict"
    )
    add_json(parser, "each invocation as it stands then, one a line")


def answer(client: BrokerClient, console: Console, args: argparse.Namespace) -> int:
    ids: Sequence[str] = args.ids
    asked = [
        invocation for one in dict.fromkeys(ids) if (invocation := _ask(client, one, reason=args.reason)) is not None
    ]
    good = len(asked) == len(set(ids))
    deadline = None if args.wait is None else time.monotonic() + args.wait
    for invocation in asked:
        latest = invocation if deadline is None else _wait(client, invocation, deadline)
        good = good and (deadline is None or latest.ended)
        if args.json:
            print_json(console, latest)
        else:
            console.print(Text.assemble(visible(latest.id), "  ", _state_text(latest)), soft_wrap=True)
    return 0 if good else 1


def _ask(client: BrokerClient, invocation_id: str, *, reason: str | None) -> Invocation | None:
    try:
        before = client.invocations.get(invocation_id)
        if not before.ended:
            return client.invocations.cancel(invocation_id, reason=reason, mask=True)
        complaint = f"{invocation_id} had ended before: {standing(before)}."
    except (BrokerUnreachable, Unauthorized):
        # The same would come of the others.
        raise
    except StandpipeError as error:
        complaint = str(error)
    print(f"standpipe cancel: {visible(complaint)}", file=sys.stderr)  # noqa: T201
    return None


def _wait(client: BrokerClient, invocation: Invocation, deadline: float) -> Invocation:
    tail = client.events.stream(invocation.id, after=invocation.last_position, mask=True)
    alarm = threading.Timer(max(0.0, deadline - time.monotonic()), tail.stop)
    alarm.daemon = True
    alarm.start()
    try:
        for _ in tail:
            pass
    finally:
        alarm.cancel()
    return tail.invocation or client.invocations.get(invocation.id, mask=True)


def _state_text(invocation: Invocation) -> Text:
    if invocation.ended:
        return state(invocation)
    return Text("asked to stop", style="yellow").append(f", {visible(invocation.status)}", style="dim")

"""The orchestrator's verbs of the `standpipe` command: one that launches, and those that look at history.

Each is an object with `help`, `configure(parser)` and `run(args) -> exit code`; nothing else is loaded until it runs.
Progress and complaints go to stderr, what was asked for goes to stdout. Text from outside is shown with its control
characters written out, so that nothing reported can move a cursor; forwarded output of external processes stays as is.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from standpipe_protocol.limits import LONGEST_INTEGER


@dataclass(frozen=True, slots=True)
class Command:
    """One verb, implemented by a module that is loaded when the verb is used.

    The module has `configure(parser)`, and either `run(args) -> exit code` or, where the broker answers,
    `answer(client, console, args) -> exit code`, with `misuse(args) -> sentence or None` where arguments may not fit.
    """

    help: str
    module: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        configure: Callable[[argparse.ArgumentParser], None] = importlib.import_module(self.module).configure
        configure(parser)

    def run(self, args: argparse.Namespace) -> int:
        _let_long_integers_be_shown()
        module = importlib.import_module(self.module)
        if hasattr(module, "run"):
            return cast("int", module.run(args))
        from standpipe_orchestrator.cli.command_line.answering import Verb, answer_with_broker

        return answer_with_broker(cast("Verb", module), args)


def _let_long_integers_be_shown() -> None:
    """Python refuses to write integers that a message may hold; longer ones come as text."""
    shown, at_most = LONGEST_INTEGER + 1, sys.get_int_max_str_digits()
    if 0 < at_most < shown:
        sys.set_int_max_str_digits(shown)


MATERIALIZE = Command(
    help="run the assets and checks of a file of definitions", module="standpipe_orchestrator.cli.launching.materialize"
)
LS = Command(help="list invocations, newest first", module="standpipe_orchestrator.cli.history.ls")
SHOW = Command(help="show one invocation and everything it reported", module="standpipe_orchestrator.cli.history.show")
TAIL = Command(
    help="show the last events of an invocation, or follow it", module="standpipe_orchestrator.cli.history.tail"
)
LOGS = Command(
    help="show log messages and captured output of an invocation", module="standpipe_orchestrator.cli.history.logs"
)
CANCEL = Command(help="ask the processes of invocations to stop", module="standpipe_orchestrator.cli.history.cancel")
COMPARE = Command(help="show in what invocations differ", module="standpipe_orchestrator.cli.history.compare")
ASSETS = Command(help="list assets, and what was reported on one", module="standpipe_orchestrator.cli.history.assets")
EXPORT = Command(
    help="write an invocation with everything it reported to a file", module="standpipe_orchestrator.cli.history.export"
)
IMPORT = Command(help="store an exported invocation as a new one", module="standpipe_orchestrator.cli.history.import_")
REPLAY = Command(
    help="rebuild results from stored events or an exported file", module="standpipe_orchestrator.cli.history.replay"
)
COMPLETION = Command(
    help="print what makes a shell complete verbs, options, ids and keys",
    module="standpipe_orchestrator.cli.command_line.completion",
)
OPEN = Command(help="open the server's pages in a browser", module="standpipe_orchestrator.cli.history.open")

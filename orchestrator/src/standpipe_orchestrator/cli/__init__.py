"""The orchestrator's verbs of the `standpipe` command: `materialize`, `ls` and `show`.

Each is an object with `help`, `configure(parser)` and `run(args) -> exit code`; nothing else is loaded until it runs.
Progress and complaints go to stderr, what was asked for goes to stdout. Text from outside is shown with its control
characters written out, so that nothing reported can move a cursor; forwarded output of external processes stays as is.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast


@dataclass(frozen=True, slots=True)
class Command:
    """One verb, implemented by `configure` and `run` of a module that is loaded when the verb is used."""

    help: str
    module: str

    def configure(self, parser: argparse.ArgumentParser) -> None:
        configure: Callable[[argparse.ArgumentParser], None] = importlib.import_module(self.module).configure
        configure(parser)

    def run(self, args: argparse.Namespace) -> int:
        return cast("int", importlib.import_module(self.module).run(args))


MATERIALIZE = Command(
    help="run the assets and checks of a file of definitions", module="standpipe_orchestrator.cli.materialize"
)
LS = Command(help="list invocations, newest first", module="standpipe_orchestrator.cli.ls")
SHOW = Command(help="show one invocation and everything it reported", module="standpipe_orchestrator.cli.show")

__all__ = ["LS", "MATERIALIZE", "SHOW", "Command"]

"""The command `standpipe`. Its verbs come with the distributions that are installed.

A verb is an entry point of the group `standpipe.commands`: its name is the verb, its object is a `Command`. Only the
requested verb is loaded, so that a small one does not pay for a large one.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "standpipe.commands"

_SERVER_VERBS = ("serve", "migrate")
_LAUNCH_VERBS = ("materialize", "cancel", "open", "completion")
_HISTORY_VERBS = ("ls", "show", "tail", "logs", "compare", "assets", "export", "import", "replay")
_DISTRIBUTIONS = {"standpipe-server": _SERVER_VERBS, "standpipe-orchestrator": _LAUNCH_VERBS + _HISTORY_VERBS}
"""The verbs of the distributions that may not be installed."""
COMPLETING_VARIABLE = "_ARGCOMPLETE"
"""Set where a shell asks for completions; the verb `completion`, which made its script, prints them."""

_USAGE = 2
_INTERRUPTED = 130


class Command(Protocol):
    """What an entry point of the group must be: any object, a module too, with these three."""

    @property
    def help(self) -> str:
        """One line that says what the verb does."""
        ...

    @property
    def configure(self) -> Callable[[argparse.ArgumentParser], None]:
        """Adds the verb's arguments to its parser."""
        ...

    @property
    def run(self) -> Callable[[argparse.Namespace], int]:
        """Runs the verb; returns the exit code."""
        ...


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one verb; returns its exit code (2 for wrong usage, 130 when interrupted)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verbs = _installed_verbs()
    if COMPLETING_VARIABLE in os.environ:
        words = ["completion"]
    if not words or words[0] in ("-h", "--help", "help"):
        sys.stdout.write(_overview(verbs))
        return 0 if words else _USAGE
    if words[0] in ("-V", "--version", "version"):
        sys.stdout.write(_versions())
        return 0
    verb, rest = words[0], words[1:]
    entry = verbs.get(verb)
    if entry is None:
        sys.stderr.write(_unknown(verb, verbs))
        return _USAGE
    command = cast("Command", entry.load())
    parser = argparse.ArgumentParser(prog=f"standpipe {verb}", description=command.help)
    command.configure(parser)
    try:
        return command.run(parser.parse_args(rest))
    except KeyboardInterrupt:
        return _INTERRUPTED


def _installed_verbs() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in sorted(entry_points(group=GROUP), key=lambda entry: entry.name)}


def _overview(verbs: dict[str, EntryPoint]) -> str:
    lines = ["usage: standpipe VERB [options]", "", "verbs:"]
    for name, entry in verbs.items():
        try:
            text = cast("Command", entry.load()).help
        except Exception as error:
            # One broken distribution must not hide the others.
            text = f"(cannot be loaded: {type(error).__name__}: {error})"
        lines.append(f"  {name:<12} {text}")
    missing = sorted(home for home, names in _DISTRIBUTIONS.items() if not set(names) & set(verbs))
    if missing:
        lines += ["", *(f"more with: pip install {home}" for home in missing)]
    return "\n".join([*lines, "", "standpipe VERB --help says more.", ""])


def _versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    lines: list[str] = []
    for name in ("standpipe", "standpipe-server", "standpipe-orchestrator"):
        try:
            lines.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return "\n".join(lines) + "\n"


def _unknown(verb: str, verbs: dict[str, EntryPoint]) -> str:
    home = next((home for home, names in _DISTRIBUTIONS.items() if verb in names), None)
    if home is not None:
        return f"standpipe: the verb `{verb}` comes with {home}, which is not installed: pip install {home}\n"
    known = ", ".join(verbs) or "none"
    return f"standpipe: there is no verb `{verb}`. Installed are: {known}.\n"


if __name__ == "__main__":
    sys.exit(main())

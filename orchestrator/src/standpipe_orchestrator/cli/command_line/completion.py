"""`standpipe completion SHELL`: the script that makes a shell complete verbs, options, invocation ids and asset keys.

The script runs `standpipe` itself at each Tab, so that what it suggests is what is installed and what is stored. Only
the verb on the line is loaded. Suggestions start nothing and change nothing.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib.metadata import EntryPoint, entry_points
from typing import cast

from standpipe.cli import COMPLETING_VARIABLE, GROUP, Command

SHELLS = ("bash", "zsh", "fish", "powershell")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = "Prints what makes a shell complete verbs, options, invocation ids and asset keys."
    parser.epilog = (
        'bash, zsh: eval "$(standpipe completion bash)" in ~/.bashrc or ~/.zshrc (there after compinit); '
        "fish: standpipe completion fish | source; "
        "PowerShell: standpipe completion powershell | Out-String | Invoke-Expression"
    )
    parser.add_argument("shell", metavar="SHELL", nargs="?", choices=SHELLS, help=", ".join(SHELLS))


def run(args: argparse.Namespace) -> int:
    if COMPLETING_VARIABLE in os.environ:
        return _answer()
    if args.shell is None:
        print(f"standpipe completion: name the shell: {', '.join(SHELLS)}.", file=sys.stderr)  # noqa: T201
        return 2
    from argcomplete.shell_integration import shellcode

    sys.stdout.write(shellcode(["standpipe"], shell=args.shell))
    return 0


def _answer() -> int:
    import argcomplete

    parser = argparse.ArgumentParser(prog="standpipe")
    verbs = parser.add_subparsers(dest="verb")
    installed = {entry.name: entry for entry in entry_points(group=GROUP)}
    words = os.environ.get("COMP_LINE", "").split()
    chosen = words[1] if len(words) > 1 else ""
    for name, entry in sorted(installed.items()):
        if name == chosen:
            command = cast("Command", entry.load())
            command.configure(verbs.add_parser(name, help=command.help))
        else:
            verbs.add_parser(name, help=None if chosen in installed else _help(entry))
    # Writes to where the script listens, and ends the process.
    argcomplete.autocomplete(parser, always_complete_options=False)
    return 1


def _help(entry: EntryPoint) -> str:
    try:
        return cast("Command", entry.load()).help
    except Exception:
        # `standpipe --help` says what is wrong with it; the others can still be completed.
        return ""

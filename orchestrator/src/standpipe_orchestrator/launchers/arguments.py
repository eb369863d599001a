"""What a launch is given, checked before anything is registered: a wrong argument is named at the call that has it."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import cast

from standpipe_orchestrator.launchers.protocol import Command
from standpipe_orchestrator.reading.execution_errors import PipesLaunchError


def require_command(command: Command) -> None:
    """Raises:
    TypeError: it is no command, or holds something that is no word.
    ValueError: it holds nothing, or what no system takes.
    """
    if isinstance(command, str):
        if not command.strip():
            raise ValueError(_EMPTY)
        _require_no_nul(command, "The command")
        return
    given = cast("object", command)
    if not isinstance(given, Sequence) or isinstance(given, bytes | bytearray):
        raise TypeError(
            f"The command is {given!r} ({type(given).__name__}); expected the words of a command as a list, or one "
            "text for the shell."
        )
    words = cast("Sequence[object]", given)
    if not words:
        raise ValueError(_EMPTY)
    for number, word in enumerate(words):
        text = os.fspath(cast("os.PathLike[str]", word)) if isinstance(word, os.PathLike) else word
        if not isinstance(text, str):
            found_nothing = " Did shutil.which() find nothing?" if word is None else ""
            raise TypeError(f"Word {number} of the command is {word!r}; expected a string or a path.{found_nothing}")
        _require_no_nul(text, f"Word {number} of the command")


def require_environment(env: Mapping[str, str] | None) -> dict[str, str]:
    """The variables, as a dictionary of their own.

    Raises:
        TypeError: it is no mapping of strings to strings.
        ValueError: a name or a value that no system takes.
    """
    if env is None:
        return {}
    given = cast("object", env)
    if not isinstance(given, Mapping):
        raise TypeError(f"`env` is {given!r}; expected a mapping of strings to strings.")
    for name, value in cast("Mapping[object, object]", given).items():
        if not isinstance(name, str):
            raise TypeError(f"`env` has the name {name!r} ({type(name).__name__}); expected a string.")
        if not name or "=" in name:
            raise ValueError(f"`env` has the name {name!r}; expected one that is not empty and holds no `=`.")
        _require_no_nul(name, "A name in `env`")
        if not isinstance(value, str):
            # Its value may be a secret.
            raise TypeError(f"The variable {name!r} in `env` is of type {type(value).__name__}; expected a string.")
        _require_no_nul(value, f"The variable {name!r} in `env`")
    return dict(env)


def require_path(cwd: str | os.PathLike[str] | None) -> None:
    """Raises:
    TypeError: it is no path.
    ValueError: it is one that no system takes.
    """
    if cwd is None:
        return
    path = os.fspath(cwd) if isinstance(cast("object", cwd), str | os.PathLike) else None
    if not isinstance(path, str):
        raise TypeError(f"`cwd` is {cwd!r} ({type(cwd).__name__}); expected a string or a path.")
    _require_no_nul(path, "`cwd`")


def require_folder(cwd: str | os.PathLike[str] | None, *, command: Command) -> None:
    """Raises:
    PipesLaunchError: there is no such folder.
    """
    if cwd is not None and not Path(cwd).is_dir():
        raise PipesLaunchError(no_such_folder(command, os.fspath(cwd)))


def require_seconds(name: str, seconds: float | None, *, zero: bool = False) -> None:
    """Raises:
    TypeError: they are no number.
    ValueError: they are below 0, or 0 where that is not allowed, or not finite.
    """
    if seconds is None:
        return
    expected = "a number of seconds, at least 0" if zero else "a number of seconds above 0"
    if isinstance(seconds, bool) or not isinstance(cast("object", seconds), int | float):
        raise TypeError(f"`{name}` is {seconds!r} ({type(seconds).__name__}); expected {expected}.")
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
        raise ValueError(f"`{name}` is {seconds!r}; expected {expected}.")


def no_such_folder(command: Command, folder: str) -> str:
    return f"The command {program_of(command)!r} could not be started in {folder!r}: there is no such folder."


def program_of(command: Command) -> str:
    """What a sentence calls the command."""
    return command if isinstance(command, str) else os.fspath(command[0])


_EMPTY = "The command is empty; expected the words of a command, or one text for the shell."


def _require_no_nul(text: str, what: str) -> None:
    if "\0" in text:
        raise ValueError(f"{what} holds a NUL character, which no system takes.")

"""The environment of an external process, for tests in this one."""

from __future__ import annotations

import os
from types import TracebackType

from standpipe.context import PipesContext

LEAVE_SECONDS = 10.0


class Environment(dict[str, str]):
    """The variables of an external process: a dictionary for a subprocess, a `with` block for this process.

    Entered, it puts the variables into `os.environ` and makes this process one without an open context; left, it
    restores both.
    """

    _before: dict[str, str | None]
    _context: PipesContext | None

    def __enter__(self) -> Environment:
        self._before = {name: os.environ.get(name) for name in self}
        self._context = PipesContext.get() if PipesContext.is_initialized() else None
        os.environ.update(self)
        PipesContext.set(None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if PipesContext.is_initialized():
            # Without `closed`: that a program forgets to close is something a test may want to see.
            PipesContext.get()._leave(LEAVE_SECONDS)  # pyright: ignore[reportPrivateUsage]  the same distribution
        PipesContext.set(self._context)
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

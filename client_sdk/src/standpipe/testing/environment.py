"""The environment of an external process, for tests in this one."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, cast

from standpipe.context.open_contexts import Registry, swap

if TYPE_CHECKING:
    from standpipe.context.open_contexts import OpenContext
    from standpipe.context.pipes_context import PipesContext

LEAVE_SECONDS = 10.0


class Environment(dict[str, str]):
    """The variables of an external process: a dictionary for a subprocess, a `with` block for this process.

    Entered, it puts the variables into `os.environ` and makes this process one without an open context; left, it
    restores both.
    """

    _before: dict[str, str | None]
    _opened: tuple[Registry, tuple[OpenContext, ...]]

    def __enter__(self) -> Environment:
        self._before = {name: os.environ.get(name) for name in self}
        os.environ.update(self)
        self._opened = swap(Registry())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        process, _ = swap(*self._opened)
        outer = self._opened[0].contexts()
        for context in process.contexts():
            if any(context is one for one in outer):
                continue
            # Without `closed`: that a program forgets to close is something a test may want to see.
            cast("PipesContext", context)._channel.close(LEAVE_SECONDS)  # pyright: ignore[reportPrivateUsage]  the same distribution
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value

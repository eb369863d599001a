"""Captured text cut into pieces worth storing. Pure: the clock is passed in.

Lines go at once. The beginning of a line waits for its end, for two seconds or 8 KiB, and so does a line that carriage
returns redraw, of which only the last state goes. A piece that goes on with a line whose beginning had to go says with
its `line` what that is together, so that a search finds it. The invariant: the pieces of a stream, joined,
are its text without the states of lines that were redrawn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from standpipe_orchestrator.reading.log_lines import last_state_so_far

PIECE_CHARACTERS = 64 * 1024
UNFINISHED_SECONDS = 2.0
UNFINISHED_CHARACTERS = 8 * 1024
REMEMBERED_CHARACTERS = 512
"""Of a line's beginning that has gone; no search takes longer words."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of a stream.

    Attributes:
        line: where it goes on with a line: the end of what went before, and this piece up to the end of the line.
    """

    text: str
    line: str | None = None


Pieces: TypeAlias = "Iterator[Piece]"


@dataclass(slots=True)
class CapturedText:
    """One stream on its way."""

    due: float | None = None
    """When what waits has to go; None while nothing waits."""
    _waiting: str = ""
    _gone: str = field(default="")

    def take(self, text: str, *, now: float) -> Pieces:
        lines = (self._waiting + text).split("\n")
        unfinished = _folded(lines.pop())
        self._waiting = ""
        if lines:
            yield from self._cut("".join(_folded(line) + "\n" for line in lines))
        if unfinished:
            self._waiting = unfinished
            self.due = now + UNFINISHED_SECONDS if self.due is None or lines else self.due
        else:
            self.due = None
        if len(unfinished) > UNFINISHED_CHARACTERS:
            yield from self.flush()
        else:
            yield from self.overdue(now=now)

    def overdue(self, *, now: float) -> Pieces:
        """What has waited long enough."""
        if self.due is not None and now >= self.due:
            yield from self.flush()

    def flush(self) -> Pieces:
        """What waits, as at the end of the stream."""
        waiting, self._waiting, self.due = self._waiting, "", None
        if waiting:
            yield from self._cut(waiting)

    def _cut(self, text: str) -> Pieces:
        for start in range(0, len(text), PIECE_CHARACTERS):
            piece = text[start : start + PIECE_CHARACTERS]
            first, is_whole, _ = piece.partition("\n")
            yield Piece(piece, self._line(first))
            end = piece.rpartition("\n")[2] if is_whole else self._gone + piece
            self._gone = last_state_so_far(end)[-REMEMBERED_CHARACTERS:]

    def _line(self, first: str) -> str | None:
        """What has gone of a line together with what comes of it now."""
        begun = self._gone.rstrip("\r")
        # A carriage return, at the end of what has gone or at the beginning of what comes, begins another state.
        if not begun or first.startswith("\r") or (first and begun != self._gone):
            return None
        return begun + first


def _folded(line: str) -> str:
    """A line without the states that were redrawn; the carriage return before the last one stays, for where an earlier
    state has gone already."""
    shown = line.rstrip("\r")
    begin = shown.rfind("\r")
    return line[begin:] if begin > 0 else line

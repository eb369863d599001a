"""The terminal while steps run: lines that stay, one that changes, and forwarded output in between, byte for byte.

Everything is drawn on the thread of an `OutputQueue`: who has something to show never waits for a terminal that is not
read. rich renders. The line that changes is drawn only on a terminal, and never in the middle of a forwarded line; it
is not rich's own live display, which passes what is printed in between through its renderer.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Generator
from functools import partial
from typing import TextIO

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from standpipe_orchestrator.reading.forwarded_output import flush_forwarded, forwarding_to, write_soon
from standpipe_orchestrator.reading.output_queue import OutputQueue, dropped_sentence, is_terminal

_ERASE_LINE = "\r\x1b[2K"
_REDRAW_SECONDS = 0.1


class Screen:
    """Writes lines to stderr; on a terminal it keeps a changing one below them.

    Args:
        status: what the changing line says; None or empty for nothing. Called on the thread that draws.
        console: where lines go; stderr by default.
    """

    def __init__(self, *, status: Callable[[], Text | None], console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._status = status
        self._on_terminal = is_terminal(self.console.file)
        self._queue = OutputQueue(name="standpipe-screen", may_drop=self._on_terminal, on_dropped=self._report_dropped)
        self._status_is_drawn = False
        self._line_is_open = False
        """Whether forwarded output has not ended its line."""
        self._ended = threading.Event()
        self.errors_forwarded = 0
        """Bytes of external processes' stderr so far."""
        self._animated = self.console.is_terminal and not self.console.is_dumb_terminal

    def line(self, text: Text) -> None:
        """A line that stays."""
        self._queue.put(partial(self._write_line, text), size=len(text) + 1)

    def flush(self) -> None:
        """Waits until everything is drawn and forwarded, unless the terminal is stalled."""
        self._queue.flush()
        flush_forwarded()

    def columns_after(self, text: str) -> int | None:
        """How many columns of a line are left after a text; None where lines are as long as they like."""
        return self.console.width - cell_len(text) if self.console.is_terminal else None

    @contextlib.contextmanager
    def running(self) -> Generator[None]:
        """While the block runs the changing line is kept up to date, and forwarded output goes through here."""
        ticks = threading.Thread(target=self._redraw, name="standpipe-screen-ticks", daemon=True)
        with forwarding_to(self._forward):
            if self._animated:
                ticks.start()
            try:
                yield
            finally:
                self._ended.set()
                if self._animated:
                    ticks.join()
                self._queue.put(self._erase, size=0)
                self.flush()

    def _forward(self, stream: str, data: bytes) -> None:
        """Takes output of an external process as it came."""
        self.errors_forwarded += len(data) if stream == "stderr" else 0
        target = sys.stderr if stream == "stderr" else sys.stdout
        if is_terminal(target) == self._on_terminal:
            self._queue.put(partial(self._write_forwarded, target, data), size=len(data))
        else:
            # Lines here and output there do not meet, and must not wait for each other.
            write_soon(target, data)

    def _redraw(self) -> None:
        while not self._ended.wait(_REDRAW_SECONDS):
            if self._queue.idle:
                self._queue.put(self._draw, size=0)

    # What follows runs on the queue's thread.

    def _write_line(self, text: Text) -> None:
        self._erase()
        if self._line_is_open:
            self._print("\n")
            self._line_is_open = False
        self._print(text)
        self._draw()

    def _write_forwarded(self, target: TextIO, data: bytes) -> None:
        self._erase()
        self._queue.write(target, data)
        if self._on_terminal:
            self._line_is_open = not data.endswith(b"\n")
        self._draw()

    def _report_dropped(self, size: int) -> None:
        self._write_line(Text(dropped_sentence(size), style="yellow"))

    def _draw(self) -> None:
        if not self._animated or self._ended.is_set() or self._line_is_open:
            return
        text = self._status()
        self._erase()
        if text:
            text.truncate(max(10, self.console.width - 1), overflow="ellipsis")
            self._print(text, end="")
            self._status_is_drawn = True

    def _erase(self) -> None:
        if self._status_is_drawn:
            self._status_is_drawn = False
            self._print(_ERASE_LINE)

    def _print(self, text: Text | str, *, end: str = "\n") -> None:
        if isinstance(text, Text):
            with self.console.capture() as capture:
                self.console.print(text, end=end)
            text = capture.get()
        file = self.console.file
        encoding, errors = getattr(file, "encoding", None) or "utf-8", getattr(file, "errors", None) or "strict"
        self._queue.write(file, text.encode(encoding, errors))  # pyright: ignore[reportArgumentType]  rich says IO[str]

"""The terminal while steps run: lines that stay, one that changes, and forwarded output in between, byte for byte.

rich renders; the line that changes is drawn only on a terminal, and never in the middle of somebody else's line. It is
not rich's own live display, since that one passes what is printed meanwhile through its renderer.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable, Generator

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from standpipe_orchestrator.reading.forwarded_output import forwarding_to

_ERASE_LINE = "\r\x1b[2K"
_REDRAW_SECONDS = 0.1


class Screen:
    """Writes lines to stderr; on a terminal it keeps a changing one below them.

    Args:
        status: what the changing line says; None or empty for nothing. Called from a thread of its own.
        console: where lines go; stderr by default.
    """

    def __init__(self, *, status: Callable[[], Text | None], console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        self._status = status
        self._lock = threading.RLock()
        self._drawn = False
        self._in_foreign_line = False
        self._ended = threading.Event()
        self.errors_forwarded = 0
        """Bytes of external processes' stderr so far."""
        self._animated = self.console.is_terminal and not self.console.is_dumb_terminal

    def line(self, text: Text) -> None:
        """A line that stays."""
        with self._above_status():
            if self._in_foreign_line:
                # Somebody's line has no end yet; ours does not go on in it.
                self.console.print()
                self._in_foreign_line = False
            self.console.print(text)

    def columns_after(self, text: str) -> int | None:
        """How many columns of a line are left after a text; None where lines are as long as they like."""
        return self.console.width - cell_len(text) if self.console.is_terminal else None

    @contextlib.contextmanager
    def running(self) -> Generator[None]:
        """While the block runs the changing line is kept up to date, and forwarded output goes through here."""
        redraw = threading.Thread(target=self._redraw, name="standpipe-screen", daemon=True)
        with forwarding_to(self._forward):
            if self._animated:
                redraw.start()
            try:
                yield
            finally:
                self._ended.set()
                if self._animated:
                    redraw.join()
                with self._lock:
                    self._erase()

    def _forward(self, stream: str, data: bytes) -> None:
        """Writes output of an external process as it came."""
        target = sys.stderr if stream == "stderr" else sys.stdout
        self.errors_forwarded += len(data) if stream == "stderr" else 0
        with self._above_status(), contextlib.suppress(OSError, ValueError):
            target.flush()
            target.buffer.write(data)
            target.flush()
            if target.isatty():
                self._in_foreign_line = not data.endswith(b"\n")

    def _redraw(self) -> None:
        while not self._ended.wait(_REDRAW_SECONDS):
            with self._lock:
                self._draw()

    @contextlib.contextmanager
    def _above_status(self) -> Generator[None]:
        with self._lock:
            self._erase()
            yield
            if self._animated and not self._ended.is_set():
                self._draw()

    def _draw(self) -> None:
        if self._in_foreign_line:
            return
        text = self._status()
        self._erase()
        if text:
            text.truncate(max(10, self.console.width - 1), overflow="ellipsis")
            self.console.print(text, end="")
            self._drawn = True

    def _erase(self) -> None:
        if self._drawn:
            self.console.file.write(_ERASE_LINE)
            self.console.file.flush()
            self._drawn = False

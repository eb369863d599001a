"""Commands on a pseudo-terminal, as a person runs them. POSIX only."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import child_environment


def on_terminal(command: Sequence[str], *, home: Path, columns: int = 100) -> tuple[str, int]:
    """Runs a command on a pseudo-terminal and gives what it wrote there, and its exit code."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        # What a variable says of the width wins over what the terminal says.
        env=child_environment({"TERM": "xterm-256color", "COLUMNS": None, "LINES": None}, home=home),
        close_fds=True,
    )
    os.close(theirs)
    written = bytearray()
    try:
        while chunk := os.read(ours, 65536):
            written += chunk
    except OSError:
        pass  # Linux says so when the other side is closed
    finally:
        os.close(ours)
    return written.decode("utf-8", errors="replace"), process.wait(30)

"""Spool files that are refused for good, or damaged: they stay beside the others for a month, with the reason.

The invariant: an undelivered message is deleted only after `SET_ASIDE_DAYS` here, and a line says so.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from standpipe.spool.creation import NEW_SUFFIX, SUFFIX
from standpipe.spool.spool_file import lock_file

FOLDER = "set-aside"
REASON_SUFFIX = ".reason.txt"
SET_ASIDE_DAYS = 30


def set_aside(path: Path, reason: str) -> Path:
    """Moves a spool file into the folder of those set aside and writes the reason beside it; returns where it is now.
    Raises OSError where it cannot be moved."""
    folder = path.parent / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    for number in range(1, 10_000):
        target = folder / (path.name if number == 1 else f"{path.stem}.{number}{SUFFIX}")
        if not target.exists():
            break
    else:
        raise FileExistsError(f"There are too many files named like {path.name} in {folder}.")
    path.replace(target)
    with os.fdopen(os.open(_reason_file(target), os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "wb") as file:
        file.write(f"{reason}\n".encode(errors="replace"))
    return target


def set_aside_files(folder: Path) -> list[tuple[Path, str]]:
    """The files of a spool folder that were set aside, each with the reason."""
    files: list[tuple[Path, str]] = []
    for path in sorted((folder / FOLDER).glob(f"*{SUFFIX}")):
        reason = "the reason was not written"
        with contextlib.suppress(OSError):
            reason = _reason_file(path).read_text(encoding="utf-8").strip()
        files.append((path, reason))
    return files


def tidy(folder: Path, *, now: float) -> list[Path]:
    """Deletes half-written files of dead processes, and what was set aside a month ago; returns the latter."""
    for path in folder.glob(f"*{NEW_SUFFIX}"):
        with contextlib.suppress(OSError), path.open("r+b") as file:
            lock_file(file)
            path.unlink()
    deleted: list[Path] = []
    for path, _ in set_aside_files(folder):
        with contextlib.suppress(OSError):
            if now - path.stat().st_ctime > SET_ASIDE_DAYS * 86_400:
                path.unlink()
                deleted.append(path)
                _reason_file(path).unlink()
    return deleted


def _reason_file(path: Path) -> Path:
    return path.with_name(path.name + REASON_SUFFIX)

"""Disks that misbehave, for the processes of a test: one whose fsync stalls, and one that is full.

Nothing of the product knows of it: the first is a library that is loaded before libc's, the second a file system of
a few MiB in memory.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_STALLS = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static void wait_while_stalled(void) {
    const char *file = getenv("STALLED_DISK");
    struct timespec pause = {0, 2000000};
    while (file && access(file, F_OK) == 0) nanosleep(&pause, NULL);
}

int fsync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    wait_while_stalled();
    return real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    wait_while_stalled();
    return real(fd);
}
"""


class CannotMisbehave(Exception):
    """This machine has no means for it; the text says which is missing."""


@dataclass(frozen=True, slots=True)
class StallingDisk:
    """Processes started with `env` wait in every fsync from `stall()` to `go_on()`."""

    env: dict[str, str]
    _file: Path

    def stall(self) -> None:
        self._file.touch()

    def go_on(self) -> None:
        self._file.unlink(missing_ok=True)


def stalling_disk(folder: Path) -> StallingDisk:
    """Compiled into `folder`, which must be readable for whoever is started with it.

    Raises:
        CannotMisbehave: there is no C compiler.
    """
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None:
        raise CannotMisbehave("there is no C compiler (cc, gcc, clang) to build the library that makes fsync stall")
    source, library, file = folder / "stall.c", folder / "stall.so", folder / "stalled"
    source.write_text(_STALLS)
    built = subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"],
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode != 0:
        raise CannotMisbehave(f"{compiler} cannot build the library that makes fsync stall: {built.stderr[:500]}")
    return StallingDisk({"LD_PRELOAD": str(library), "STALLED_DISK": str(file)}, file)


@contextmanager
def small_disk(folder: Path, *, mebibytes: int) -> Generator[Path]:
    """A file system of this size at `folder`, gone afterwards.

    Raises:
        CannotMisbehave: it cannot be mounted, for want of rights most often.
    """
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={mebibytes}m,mode=0777", "standpipe-test", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotMisbehave(f"a small file system cannot be mounted: {error}") from None
    if mounted.returncode != 0:
        raise CannotMisbehave(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)

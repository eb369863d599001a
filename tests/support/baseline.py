"""The last commit that speaks protocol 1.0, out of git: what is installed at users keeps working.

Programs and databases of that commit are made from its own code, never from today's. A clone without that commit (a
shallow one) is an error with a sentence, not a skipped test.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.clean_venv import CleanVenv
from tests.support.processes import REPOSITORY, child_environment, run

COMMIT = "1b8238988ec5a82860c93f3b355040e622e9e37b"


def unpack(folder: Path, *paths: str) -> None:
    """Writes the commit's files below `paths` (all of them, without any) into `folder`."""
    archive = subprocess.run(
        ["git", "-C", REPOSITORY, "archive", "--format=tar", COMMIT, *paths],
        env=child_environment(),
        capture_output=True,
        check=False,
    )
    if archive.returncode != 0:
        raise RuntimeError(
            f"git cannot take commit {COMMIT[:7]}, the last one of protocol 1.0, out of {REPOSITORY}: "
            f"{archive.stderr.decode(errors='replace').strip()}. The tests compare with it, so they need a clone with "
            "its whole history: run `git fetch --unshallow`, or clone without --depth."
        )
    folder.mkdir(parents=True)
    subprocess.run(["tar", "-x", "-f", "-", "-C", folder], input=archive.stdout, check=True)


def build_sdk(folder: Path) -> Path:
    """Builds the SDK's wheel below `folder`, with the backend that the lock pins; nothing is fetched."""
    tree = folder / "tree"
    unpack(tree, "client_sdk")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, tree / "client_sdk"]
    run(command, timeout=120)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install_sdk(folder: Path) -> None:
    """Makes a virtual environment in `folder` with the SDK and what it requires."""
    CleanVenv(folder / "venv").install(build_sdk(folder))


def sdk_python(folder: Path) -> Path:
    """The Python of the environment that `install_sdk` made."""
    return folder / "venv" / "bin" / "python"

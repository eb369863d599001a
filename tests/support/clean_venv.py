"""Virtual environments that hold given wheels, what those require, and nothing else; made without a network.

Third-party packages are copied from the environment the tests run in, which has them from the hashed lock.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.metadata import PathDistribution, distribution
from pathlib import Path
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.processes import child_environment, run


def requirements_of(wheel: Path) -> list[Requirement]:
    """What a wheel says it requires."""
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    return [Requirement(line.removeprefix("Requires-Dist: ")) for line in lines if line.startswith("Requires-Dist: ")]


def third_party(requirements: Sequence[Requirement], *, extra: str = "") -> set[str]:
    """The names of all packages needed for `requirements`, theirs included, without the members of this repository."""
    found: set[str] = set()
    waiting = list(_wanted(requirements, extras={extra}))
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        if name.startswith("standpipe"):
            continue
        declared = [Requirement(text) for text in distribution(name).requires or ()]
        if name not in found or requirement.extras:
            found.add(name)
            waiting += _wanted(declared, extras={"", *requirement.extras})
    return found


def _wanted(requirements: Sequence[Requirement], *, extras: set[str]) -> Iterator[Requirement]:
    for requirement in requirements:
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            yield requirement


class CleanVenv:
    """A virtual environment of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        made = subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", folder],
            env=child_environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert made.returncode == 0, made.stdout + made.stderr
        self.python = folder / "bin" / "python"
        self._packages = Path(
            sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}, scheme="venv")
        )

    def install(self, *wheels: Path, extra: str = "") -> set[str]:
        """Installs wheels and copies what they require; returns the names of what was copied."""
        names = third_party([requirement for wheel in wheels for requirement in requirements_of(wheel)], extra=extra)
        for name in sorted(names):
            self._copy(name)
        for wheel in wheels:
            with ZipFile(wheel) as archive:
                archive.extractall(self._packages)
            self._write_scripts(wheel)
        return names

    def run(self, *arguments: str | Path, check: bool = True, home: Path | None = None) -> str:
        """Runs the environment's Python; returns stdout and stderr."""
        done = run([self.python, *arguments], env=child_environment(home=home), cwd=self.folder, check=check)
        return done.stdout + done.stderr

    def standpipe(self, *arguments: str | Path, check: bool = True, home: Path | None = None) -> str:
        """Runs the environment's `standpipe` command; returns stdout and stderr."""
        done = run(
            [self.folder / "bin" / "standpipe", *arguments],
            env=child_environment(home=home),
            cwd=self.folder,
            check=check,
        )
        return done.stdout + done.stderr

    def _copy(self, name: str) -> None:
        found = distribution(name)
        for file in found.files or ():
            source = Path(str(found.locate_file(file)))
            if ".." in file.parts or not source.is_file():
                continue
            target = self._packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)

    def _write_scripts(self, wheel: Path) -> None:
        name, version = wheel.name.split("-")[:2]
        for entry in PathDistribution(self._packages / f"{name}-{version}.dist-info").entry_points:
            if entry.group != "console_scripts":
                continue
            script = self.folder / "bin" / entry.name
            script.write_text(
                f"#!{self.python}\nimport sys\nfrom {entry.module} import {entry.attr}\nsys.exit({entry.attr}())\n"
            )
            script.chmod(0o755)

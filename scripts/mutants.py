"""Applies each mutant of tests/mutants to a copy of the checkout and runs the tests that have to fail then.

`python scripts/mutants.py [--check] [PART ...]`: all mutants, or those with one of the parts in their name or file.
A mutant is a table `[[mutant]]` with `name`, `file`, `before`, `after` and `tests`; `before` stands in the file once.
It is killed when a test fails, and survives when all pass. The exit code is 1 when one survives, when its text does
not stand in the file any more, or when its tests fail without it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomllib

ROOT = Path(__file__).resolve().parents[1]
TABLES = ROOT / "tests" / "mutants"
MEMBERS = ("client_sdk", "server", "orchestrator")
_LEFT_OUT = shutil.ignore_patterns(".git", ".venv*", "node_modules", "__pycache__", ".*_cache", ".hypothesis", "dist")
_PASSED, _FAILED = 0, 1
_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    file: str
    before: str
    after: str
    tests: Sequence[str]

    def text(self, root: Path) -> str:
        """The file with the change in it.

        Raises:
            ValueError: the text does not stand in the file once.
        """
        text = (root / self.file).read_text(encoding="utf-8")
        if (count := text.count(self.before)) != 1:
            raise ValueError(f"{self.name}: `before` stands {count} times in {self.file}: change the mutant.")
        return text.replace(self.before, self.after)


def read_mutants(parts: Sequence[str]) -> list[Mutant]:
    """The mutants of all tables with one of the parts in their name or file; all of them without parts."""
    mutants: list[Mutant] = []
    for path in sorted(TABLES.glob("*.toml")):
        table: dict[str, list[dict[str, Any]]] = tomllib.loads(path.read_text(encoding="utf-8"))
        mutants += [Mutant(**each) for each in table["mutant"]]
    return [each for each in mutants if not parts or any(part in each.name or part in each.file for part in parts)]


def faults(mutants: Sequence[Mutant]) -> list[str]:
    """Mutants that do not fit the checkout."""
    found: list[str] = []
    for mutant in mutants:
        try:
            mutant.text(ROOT)
        except (ValueError, OSError) as error:
            found.append(str(error))
        missing = [test for test in mutant.tests if not (ROOT / test.partition("::")[0]).exists()]
        found += [f"{mutant.name}: there is no {test}." for test in missing]
    return found


def make_copy(folder: Path) -> Path:
    """The checkout, and beside it an environment that imports the members from there; the Python of that."""
    copy = folder / "checkout"
    shutil.copytree(ROOT, copy, symlinks=True, ignore=_LEFT_OUT)
    environment = copy / ".venv"
    venv.create(environment, symlinks=True)
    purelib = sysconfig.get_path("purelib", scheme="venv", vars={"base": str(environment)})
    # Packages come from the environment that runs this; its own entries for the members are not read.
    paths = [*(copy / member / "src" for member in MEMBERS), Path(sysconfig.get_path("purelib"))]
    (Path(purelib) / "members.pth").write_text("".join(f"{path}\n" for path in paths), encoding="utf-8")
    return environment / "bin" / "python"


def run_tests(python: Path, tests: Sequence[str]) -> tuple[int, str]:
    """pytest's exit code (1: a test failed) and the end of what it wrote."""
    command = [python, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    # Of all the modules one is changed: the others are compiled once.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(
        command,
        cwd=python.parents[2],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return _FAILED, "A test did not end."
    finally:
        # With the processes that the tests have started: what keeps the output open keeps the next one waiting.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    return process.returncode, "\n".join(output.splitlines()[-15:])


def try_mutant(mutant: Mutant, python: Path) -> str:
    """`killed`, `SURVIVED`, or what went wrong."""
    copy = python.parents[2]
    file = copy / mutant.file
    whole, changed = file.read_text(encoding="utf-8"), mutant.text(copy)
    try:
        file.write_text(changed, encoding="utf-8")
        code, end = run_tests(python, mutant.tests)
    finally:
        file.write_text(whole, encoding="utf-8")
    if code in (_PASSED, _FAILED):
        return "SURVIVED" if code == _PASSED else "killed"
    return f"NOT TRIED (pytest ended with {code})\n{end}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/mutants", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="a part of a mutant's name or file")
    parser.add_argument("--check", action="store_true", help="only look whether the mutants fit the code")
    arguments = parser.parse_args()
    mutants = read_mutants(arguments.parts)
    wrong = faults(mutants)
    if wrong or arguments.check or not mutants:
        print("\n".join(wrong) or f"{len(mutants)} mutants fit the code.")
        return 1 if wrong or not mutants else 0
    with tempfile.TemporaryDirectory(prefix="standpipe-mutants-") as folder:
        python = make_copy(Path(folder))
        tests = sorted({test for mutant in mutants for test in mutant.tests})
        code, end = run_tests(python, tests)
        if code != _PASSED:
            print(f"Without a mutant the tests do not pass either (pytest ended with {code}).\n{end}")
            return 1
        words: list[str] = []
        for mutant in mutants:
            words.append(try_mutant(mutant, python))
            print(f"{mutant.name}: {words[-1]}", flush=True)
    left = sum(word != "killed" for word in words)
    print(f"{len(words) - left} of {len(words)} mutants were killed.")
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())

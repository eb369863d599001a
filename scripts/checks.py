"""Checks that no ready-made tool makes: sizes of files and folders, words, and locks that are in step and name no host.

Runs on the standard library alone. `checks.py` runs all of them; `checks.py sign-lock FILE GROUP` writes into a lock
which declarations it was made from.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[1]
CEILING = 400
FOLDER_CEILING = 15
# Folders that hold rooms of code. A test may stand beside many others.
HOUSES = ("client_sdk/src", "server/src", "orchestrator/src", "server/pages/src", "bench", "chaos", "migrations")
# Words of a dialect: a sentence with one of them usually says more in plain words. So many in 10,000 lines of Python.
DIALECT = re.compile(r"\b(whoever|nobody|somebody|anybody|whom|whose|whatever|meanwhile)\b", re.IGNORECASE)
DIALECT_CEILING = 20
LOCKS = {
    "build.txt": "build",
    "dev.txt": "dev",
    "demo.txt": "demo",
    "image.txt": "image",
    "job.txt": "job",
    "pages.txt": "pages",
    "sdk310.txt": "sdk-tests",
    "tests.txt": "python-tests",
}
MEMBERS = ("client_sdk", "server", "orchestrator")
_GENERATED = "by scripts/generate"
_SIGNATURE = "# Made by scripts/lock from declarations "
# An address, or a path of the machine that made the lock.
_FOREIGN = re.compile(
    r"://|--(?:extra-)?index-url|--find-links|--trusted-host|^-e |@ file|(?:^|\s)/[a-z]+/", re.MULTILINE
)


def long_files() -> Iterator[str]:
    """Files of code with more lines than a reader keeps in mind."""
    for path in _tracked("*.py", "server/pages/*.ts", "server/pages/*.tsx", "server/pages/*.css", "server/pages/*.mjs"):
        lines = path.read_text(encoding="utf-8").splitlines()
        if len(lines) > CEILING and not any(_GENERATED in line for line in lines[:5]):
            yield f"{path.relative_to(ROOT)} has {len(lines)} lines; the ceiling is {CEILING}: split it by concept."


def crowded_folders() -> Iterator[str]:
    """Folders with more files than a newcomer looks through; folders inside them count for themselves."""
    code = ("*.py", "*.ts", "*.tsx")
    files = _tracked(*(f"{house}/{pattern}" for house in HOUSES for pattern in code))
    for folder, count in sorted(Counter(path.parent for path in files).items()):
        if count > FOLDER_CEILING:
            name = folder.relative_to(ROOT)
            yield f"{name} has {count} files; the ceiling is {FOLDER_CEILING}: put what belongs together into rooms."


def dialect_words() -> Iterator[str]:
    """More words of the house's own dialect than a plain text has, and where most of them stand."""
    lines, found = 0, Counter[Path]()
    for path in _tracked("client_sdk/src/*.py", "server/src/*.py", "orchestrator/src/*.py"):
        text = path.read_text(encoding="utf-8")
        lines += text.count("\n")
        found[path] = len(DIALECT.findall(text))
    rate = found.total() * 10_000 / max(lines, 1)
    if rate > DIALECT_CEILING:
        most = ", ".join(f"{path.relative_to(ROOT)} ({count})" for path, count in found.most_common(10))
        yield (
            f"The words {DIALECT.pattern[3:-3].replace('|', ', ')} come {rate:.0f} times in 10,000 lines of Python; "
            f"at most {DIALECT_CEILING} are plain English. Most stand in {most}."
        )


def lock_faults() -> Iterator[str]:
    """Locks that are out of step with the pyproject files, or that name a host or a path."""
    for name, group in LOCKS.items():
        text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
        found = _FOREIGN.search(text)
        if found:
            line = text.count("\n", 0, found.start()) + 1
            yield f"requirements/{name}:{line} names a host or a path of one machine."
        if not text.startswith(_SIGNATURE + declarations(group)):
            yield f"requirements/{name} is not made from the present pyproject files: run scripts/lock."
        if "--hash=sha256:" not in text:
            yield f"requirements/{name} holds no hashes: run scripts/lock."
    packages = (ROOT / "server" / "pages" / "package-lock.json").read_text(encoding="utf-8")
    if '"resolved"' in packages:
        yield "server/pages/package-lock.json names a registry's host: run npm in server/pages, where its .npmrc is."
    if '"integrity": "sha512-' not in packages:
        yield "server/pages/package-lock.json holds no hashes."


def declarations(group: str) -> str:
    """A digest of all that decides what a lock holds."""
    root = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = root["dependency-groups"]
    said: list[object] = [group, groups[group], groups["build"]]
    for member in MEMBERS:
        project = tomllib.loads((ROOT / member / "pyproject.toml").read_text(encoding="utf-8"))
        table = project["project"]
        parts = ("name", "requires-python", "dependencies", "optional-dependencies")
        said += [{part: table.get(part) for part in parts}, project["build-system"]["requires"]]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def sign_lock(path: Path, group: str) -> None:
    """Puts the digest of the declarations on the lock's first line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#")]
    path.write_text("\n".join([_SIGNATURE + declarations(group), *lines]) + "\n", encoding="utf-8")


def _tracked(*patterns: str) -> list[Path]:
    command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return [path for path in (ROOT / line for line in listed) if path.is_file()]


def main(arguments: list[str]) -> int:
    match arguments:
        case []:
            faults = [*long_files(), *crowded_folders(), *dialect_words(), *lock_faults()]
            sizes = f"No file has more than {CEILING} lines, no folder of code more than {FOLDER_CEILING} files"
            print("\n".join(faults) or f"{sizes}; the locks are in step.")
            return 1 if faults else 0
        case ["sign-lock", path, group]:
            sign_lock(Path(path), group)
            return 0
        case _:
            print("Usage: checks.py [sign-lock FILE GROUP]", file=sys.stderr)
            return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every relative link in the documents leads to a file that is there, and to a heading that is in it."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from urllib.parse import unquote

import pytest

from tests.support.processes import REPOSITORY

DOCUMENTS = sorted(
    [
        *REPOSITORY.glob("*.md"),
        *(REPOSITORY / "docs").rglob("*.md"),
        *(REPOSITORY / "examples").glob("*/README.md"),
        *(REPOSITORY / room / "README.md" for room in ("client_sdk", "server", "orchestrator", "migrations")),
    ]
)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```", flags=re.MULTILINE | re.DOTALL)


def text_of(document: Path) -> str:
    return _FENCED.sub("", document.read_text(encoding="utf-8"))


def anchors_of(document: Path) -> set[str]:
    """The ids of a document's headings, as code forges make them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *$", text_of(document), flags=re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower())
        found.add(words.replace(" ", "-"))
    return found


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    broken: list[str] = []
    for found in _LINK.finditer(text_of(document)):
        target = found["target"]
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        path, _, anchor = target.partition("#")
        there = (document.parent / unquote(path)).resolve() if path else document
        if not there.exists() or (anchor and there.suffix == ".md" and anchor not in anchors_of(there)):
            broken.append(target)
    assert broken == [], f"{document.relative_to(REPOSITORY)} links to what is not there: {broken}"


@pytest.mark.parametrize(
    "document",
    [path for path in DOCUMENTS if path.parent == REPOSITORY or path.is_relative_to(REPOSITORY / "docs")],
    ids=lambda path: path.relative_to(REPOSITORY).as_posix(),
)
def test_no_line_is_longer_than_120_characters(document: Path) -> None:
    lines = document.read_text(encoding="utf-8").splitlines()
    if lines and lines[0].startswith("<!-- Made by scripts/generate"):
        return  # a table's row cannot be wrapped, and nobody edits these
    long = [number for number, line in enumerate(lines, 1) if len(line) > 120]
    assert long == [], f"{document.relative_to(REPOSITORY)} has long lines: {long}"


_NAMED_FILE = re.compile(r"`([\w./-]+\.(?:py|tsx?|css|json|toml|md|mjs|yml))`")
_TRACKED = subprocess.run(["git", "ls-files"], cwd=REPOSITORY, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("document", ["CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_a_document_of_the_house_names_are_there(document: str) -> None:
    tracked = [f"/{line}" for line in _TRACKED.splitlines()]
    named = set(_NAMED_FILE.findall((REPOSITORY / document).read_text(encoding="utf-8")))
    missing = sorted(name for name in named if not any(path.endswith(f"/{name}") for path in tracked))
    assert named
    assert missing == [], f"{document} names files that are not there: {missing}"
